"""Media and artifacts of W&B, stored with the trial."""

from __future__ import annotations

import json
import math
import os
import tempfile
from typing import Any, Callable, Iterator, Mapping, Sequence

from .. import _records
from ._unsupported import Unsupported


class Media:
    """A value that is stored as a file or a result."""

    def store(self, name: str, step: int) -> None:
        raise NotImplementedError


class Image(Media):
    """An image: a path, an object of PIL or matplotlib, or an array of pixels (with PIL)."""

    def __init__(self, data_or_path: Any, caption: "str | None" = None, **options: Any) -> None:
        self.data, self.caption = data_or_path, caption

    def store(self, name: str, step: int) -> None:
        data, file = self.data, f"{safe(name)}_{step}.png"
        if isinstance(data, (str, os.PathLike)):
            _records.artifact(data, type="image")
        elif hasattr(data, "savefig"):
            _records.figure(data, file[: -len(".png")])
        elif hasattr(data, "save"):
            _records._stored("image", file, data.save)
        else:
            picture = _picture(data)
            _records._stored("image", file, picture.save)
        if self.caption:
            _records.note(f"{name}: {self.caption}")


def _picture(data: Any) -> Any:
    """Returns an array of pixels, height x width (x channels), as an image of PIL.

    Floats are taken to be between 0 and 1.
    """
    try:
        import numpy
        import PIL.Image
    except ImportError:
        raise Unsupported(
            "an array as an image needs the packages pillow and numpy",
            "install them, or give the path of an image file",
        ) from None
    pixels = numpy.asarray(data)
    if pixels.dtype.kind == "f":
        pixels = (pixels.clip(0, 1) * 255).astype("uint8")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return PIL.Image.fromarray(pixels.astype("uint8"))


def safe(name: str) -> str:
    """Returns a name as the name of a file."""
    return name.replace("/", "_").replace(os.sep, "_")


class Table(Media):
    """A table, stored as CSV."""

    def __init__(
        self,
        columns: "Sequence[str] | None" = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        **options: Any,
    ) -> None:
        if dataframe is None and hasattr(data, "to_csv"):
            dataframe, data = data, None
        if dataframe is not None:
            columns, data = list(dataframe.columns), dataframe.values.tolist()
        self.columns = [str(column) for column in columns or ["Input", "Output", "Expected"]]
        self.data = [list(row) for row in (data if data is not None else rows or [])]

    def add_data(self, *values: Any) -> None:
        """Adds a row. Raises `ValueError` if it has not one value for each column."""
        if len(values) != len(self.columns):
            raise ValueError(
                f"the row has {len(values)} values, and the table {len(self.columns)} columns"
            )
        self.data.append(list(values))

    def store(self, name: str, step: int) -> None:
        rows = [dict(zip(self.columns, map(_cell, row))) for row in self.data]
        _records.table(rows, f"{safe(name)}_{step}")


def _cell(value: Any) -> Any:
    if isinstance(value, Media):
        return str(getattr(value, "data", ""))
    return value


class Histogram(Media):
    """A histogram: the number of values in bins of equal width, recorded as a result."""

    def __init__(
        self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64
    ) -> None:
        if np_histogram is not None:
            counts, edges = np_histogram
            self.counts = [float(count) for count in counts]
            self.edges = [float(edge) for edge in edges]
            return
        values = _records._plain(sequence) if hasattr(sequence, "tolist") else list(sequence)
        self.counts, self.edges = _histogram(list(_leaves(values)), num_bins)

    def store(self, name: str, step: int) -> None:
        _records.output({f"{name}.counts": self.counts, f"{name}.edges": self.edges})


def _leaves(values: Any) -> "Iterator[float]":
    for value in values if isinstance(values, (list, tuple)) else [values]:
        if isinstance(value, (list, tuple)):
            yield from _leaves(value)
        elif math.isfinite(float(value)):
            yield float(value)


def _histogram(values: "list[float]", bins: int) -> "tuple[list[float], list[float]]":
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    width = (high - low) / bins or 1.0 / bins
    counts = [0.0] * bins
    for value in values:
        counts[min(int((value - low) / width), bins - 1)] += 1
    return counts, [low + width * index for index in range(bins + 1)]


class Html(Media):
    """A page of HTML: its text, or the path of a file."""

    def __init__(self, data: Any, inject: bool = True, **options: Any) -> None:
        self.data = data

    def store(self, name: str, step: int) -> None:
        text = self.data.read() if hasattr(self.data, "read") else str(self.data)
        if "\n" not in text and os.path.isfile(text):
            _records.artifact(text, type="html")
        else:
            _records._stored("html", f"{safe(name)}_{step}.html", _writer_of(text))


def _writer_of(text: str) -> "Callable[[str], None]":
    def write(path: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    return write


class Artifact:
    """Files with a name and a type.

    Of the type ``model`` they are recorded as models, of ``dataset`` as data sets, and otherwise
    copies are kept with the trial.
    """

    def __init__(
        self,
        name: str,
        type: str,
        description: "str | None" = None,
        metadata: "Mapping[str, Any] | None" = None,
        **options: Any,
    ) -> None:
        self.name, self.type, self.description = name, type, description
        self.metadata = dict(metadata or {})
        self.paths: "list[str]" = []

    def add_file(self, local_path: str, name: "str | None" = None, **options: Any) -> None:
        """Adds a file. It keeps its own name."""
        if not os.path.isfile(local_path):
            raise ValueError(f"{local_path} is not a file")
        self.paths.append(os.fspath(local_path))

    def add_dir(self, local_path: str, name: "str | None" = None, **options: Any) -> None:
        """Adds a folder."""
        if not os.path.isdir(local_path):
            raise ValueError(f"{local_path} is not a folder")
        self.paths.append(os.fspath(local_path))

    def new_file(self, name: str, mode: str = "w", encoding: "str | None" = None) -> Any:
        """Opens a new file of the artifact for writing, among the trial's artifacts."""
        base = os.environ.get("SWATH_TRIAL_DIR") or tempfile.mkdtemp(prefix="artifact-")
        path = os.path.join(base, "artifacts", safe(self.type), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.paths.append(path)
        return open(path, mode, encoding=encoding)

    def add_reference(self, uri: str, name: "str | None" = None, **options: Any) -> None:
        """Records the address of a file as a fact."""
        self.metadata[f"reference {name or len(self.metadata)}"] = str(uri)

    def wait(self, timeout: Any = None) -> "Artifact":
        """Returns the artifact at once: there is no upload."""
        return self

    def record(self, step: int, role: "str | None" = None) -> None:
        for path in self.paths:
            if self.type == "model":
                facts = {
                    key: value
                    for key, value in self.metadata.items()
                    if isinstance(value, (bool, int, float, str)) and key not in ("kind", "path")
                }
                _records.model(path, **{"name": self.name, **facts, "step": step})
            elif self.type == "dataset":
                _records.dataset(path, role=role or self.name)
            else:
                _records.artifact(path, type=safe(self.type))
        if not self.paths and self.metadata:
            _records.note(f"artifact {self.name}: {json.dumps(self.metadata, default=str)}")
