"""The names of W&B, for scripts that were written for it.

``import swath.compat.wandb as wandb`` in place of ``import wandb``: inside a trial of swath the
parameters of the trial are in ``wandb.config``, and ``wandb.log`` reports. By hand ``wandb.log``
prints. Nothing is sent anywhere, and wandb need not be installed.

A row of ``log`` that has an objective of the study is a report, on which the scheduler decides; any
other row is a row of metrics. ``wandb.sweep`` and ``wandb.agent`` run a study in this process, as
`swath.optimize` does.
"""

from __future__ import annotations

import atexit
import glob
import json
import math
import os
import tempfile
import time
import warnings
from fnmatch import fnmatchcase
from typing import Any, Callable, Iterator, Mapping, Sequence

from .. import _records, _trial
from .._records import SwathWarning
from ._unsupported import Unsupported, attribute_error_for

# The counter of rows, by which W&B orders them.
_STEP = "step"
# The number of rows with the metric of a sweep, which `early_terminate` counts.
_ITERATION = "iteration"
_SUMMARIES = ("min", "max", "mean", "last", "first", "best", "copy", "none")


class Error(Exception):
    """A mistake in the use of this module. Has the name that it has in W&B."""


class EndOfRun(BaseException):
    """Ends the function of `agent`. No `Exception`, so that the function does not catch it."""


class Config:
    """The configuration of a run: entries are attributes as well.

    The parameters of the trial hold against what the script sets, as those of a sweep do in W&B.
    """

    def __init__(self, locked: "Mapping[str, Any] | None" = None) -> None:
        object.__setattr__(self, "_values", _nested(locked or {}))
        object.__setattr__(self, "_locked", frozenset(_nested(locked or {})))

    def _set(self, name: str, value: Any) -> None:
        if name in self._locked:
            own = self._values[name]
            if isinstance(own, dict) and isinstance(value, Mapping):
                self._values[name] = _overlaid(value, own)
            elif own != value:
                _warn(f"`{name}` is a parameter of the study, so {own!r} holds, not {value!r}")
            return
        self._values[name] = value
        if isinstance(value, (bool, int, float, str)):
            _records._record({"kind": "param", name: value})

    def update(
        self, values: "Mapping[str, Any] | None" = None, allow_val_change: Any = None, **named: Any
    ) -> None:
        """Sets values. A value that the trial has as a parameter stays."""
        for name, value in {**(values or {}), **named}.items():
            self._set(str(name), value)

    def setdefaults(self, values: "Mapping[str, Any]") -> None:
        """Sets the values that are not set yet."""
        self.update({name: value for name, value in values.items() if name not in self._values})

    def as_dict(self) -> "dict[str, Any]":
        """Returns a copy as a dictionary."""
        return dict(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name, default)

    def keys(self) -> Any:
        return self._values.keys()

    def items(self) -> Any:
        return self._values.items()

    def values(self) -> Any:
        return self._values.values()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"the configuration has no `{name}`; it has: {', '.join(self._values) or 'nothing'}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._set(name, value)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._set(name, value)

    def __contains__(self, name: Any) -> bool:
        return name in self._values

    def __iter__(self) -> "Iterator[str]":
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


def _nested(params: "Mapping[str, Any]") -> "dict[str, Any]":
    """Returns parameters with dots in their names as nested dictionaries."""
    nested: "dict[str, Any]" = {}
    for name, value in params.items():
        *groups, last = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                # A parameter has the name of the group: the flat name stays.
                place, last = nested, name
                break
        place[last] = value
    return nested


def _overlaid(below: "Mapping[str, Any]", above: "Mapping[str, Any]") -> "dict[str, Any]":
    """Returns nested dictionaries merged, where ``above`` decides."""
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            value = _overlaid(inner, value)
        merged[name] = value
    return merged


class Summary(dict):
    """The summary of a run. Its entries are attributes as well.

    A value that the script sets is recorded at the end as a result of the trial.
    """

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "_own", {})

    def __setitem__(self, name: str, value: Any) -> None:
        self._own[name] = value
        dict.__setitem__(self, name, value)

    def update(self, values: "Mapping[str, Any] | None" = None, **named: Any) -> None:
        for name, value in {**(values or {}), **named}.items():
            self[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the summary has no `{name}`") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class _Rule:
    """What `define_metric` says of the metrics of a name or a pattern."""

    def __init__(self, name: str, summary: "tuple[str, ...]", step: "str | None", goal: str) -> None:
        self.name, self.summary, self.step, self.goal = name, summary, step, goal


class Run:
    """A run: the rows that a script logs, its configuration and its summary."""

    def __init__(self, options: "dict[str, Any]") -> None:
        trial = _trial.trial()
        self.is_disabled = options["mode"] == "disabled"
        self.project = options["project"] or trial.study or "uncategorized"
        self.id = options["id"] or (str(trial.id) if trial.id is not None else f"{os.getpid()}")
        self.name = options["name"] or f"trial-{self.id}"
        self.group, self.job_type = options["group"] or trial.study, options["job_type"]
        self.entity: "str | None" = options["entity"]
        self.tags, self.notes = tuple(options["tags"] or ()), options["notes"]
        self.path = f"{self.project}/{self.id}"
        self.sweep_id = trial.study
        self.url: "str | None" = None
        self.offline, self.disabled, self.resumed = True, self.is_disabled, False
        self.dir = str(trial.dir or os.getcwd())
        self.summary = Summary()
        self.step = 0
        # The step of the last row that was written, to which models belong.
        self._last_step = 0
        self._rules: "list[_Rule]" = []
        self._series: "dict[str, list[float]]" = {}
        self._row: "dict[str, Any]" = {}
        self._objectives = _objectives()
        self._iterations = 0
        self._is_finished = False
        locked = dict(_trial.params()) if not self.is_disabled else {}
        decode = _agent.decode if _agent is not None else {}
        locked = {
            name: decode[name](value) if name in decode else value
            for name, value in locked.items()
        }
        self.config = Config(locked)

    def log(
        self,
        data: "Mapping[str, Any]",
        step: "int | None" = None,
        commit: "bool | None" = None,
        sync: Any = None,
    ) -> None:
        """Logs a row of values.

        Without ``step`` a call is a row of its own; ``commit=False`` adds to the row of the next
        call. With ``step`` the calls of one step make one row, which is complete when a later step
        begins, with ``commit=True`` or at the end of the run.
        """
        if self._is_finished:
            raise Error("the run is finished; call wandb.init for another one")
        if not isinstance(data, Mapping):
            raise ValueError("log takes a dictionary of values")
        if self.is_disabled:
            return
        if step is not None:
            if step < self.step:
                _warn(
                    f"a row of step {step} is left out: the run is at step {self.step}, and steps "
                    "only grow"
                )
                return
            if step > self.step:
                self._commit()
                self.step = int(step)
        self._row.update(_flat(data, "", self))
        if commit or commit is None and step is None:
            self._commit()
            self.step += 1

    def _commit(self) -> None:
        """Writes the row that is open: a report if it has an objective, else metrics."""
        row, self._row = self._row, {}
        if not row:
            return
        self._last_step = self.step
        for name, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self._series.setdefault(name, []).append(float(value))
            dict.__setitem__(self.summary, name, value)
        named = self._objectives
        if named is None or not named.isdisjoint(row):
            self._iterations += 1
            self._report({_STEP: self.step, _ITERATION: self._iterations, **row})
        else:
            numbers = {
                name: value for name, value in row.items() if not isinstance(value, str)
            }
            if numbers:
                _records.log(numbers, step=numbers.pop(_STEP, self.step))

    def _report(self, record: "dict[str, Any]") -> None:
        if _agent is None or not _agent.counts:
            del record[_ITERATION]
        _records.flush()
        waits = _records.inside() and _agent is None
        if _records.report(record, wait=waits) == "continue":
            return
        self._is_finished = True
        # The function of an agent, or the script that `swath run` started, ends here.
        raise EndOfRun if _agent is not None else SystemExit(0)

    def define_metric(
        self,
        name: str,
        step_metric: "str | None" = None,
        step_sync: Any = None,
        hidden: Any = None,
        summary: "str | None" = None,
        goal: "str | None" = None,
        overwrite: Any = None,
    ) -> Any:
        """Says how the summary of a metric comes about: ``min``, ``max``, ``mean``, …

        ``name`` may be a pattern such as ``"val/*"``. The objective of a study is the sweep file's,
        whatever is said here.
        """
        kinds = tuple(kind.strip() for kind in (summary or "").split(",") if kind.strip())
        unknown = [kind for kind in kinds if kind not in _SUMMARIES]
        if unknown:
            raise Error(f"the summary is {unknown[0]!r}; it can be {', '.join(_SUMMARIES)}")
        rule = _Rule(name, kinds, step_metric, (goal or "minimize")[:3])
        self._rules.append(rule)
        return rule

    def _summaries(self) -> "dict[str, Any]":
        """Returns the values that `define_metric` asked for, as ``loss.min``."""
        values: "dict[str, Any]" = {}
        for name, series in self._series.items():
            finite = [value for value in series if math.isfinite(value)]
            if not finite:
                continue
            by_kind = {
                "min": min(finite),
                "max": max(finite),
                "mean": sum(finite) / len(finite),
                "first": finite[0],
                "last": finite[-1],
            }
            for rule in self._rules:
                if rule.name == name or fnmatchcase(name, rule.name):
                    by_kind["best"] = by_kind["min" if rule.goal == "min" else "max"]
                    for kind in rule.summary:
                        if kind in by_kind:
                            values[f"{name}.{kind}"] = by_kind[kind]
        return values

    def finish(self, exit_code: "int | None" = None, quiet: Any = None) -> None:
        """Ends the run: writes the open row and the summary."""
        global _run
        if self._is_finished:
            return
        if not self.is_disabled:
            self._commit()
            own = _flat(self.summary._own, "", self)
            named = self._objectives or set()
            unreported = {name: own.pop(name) for name in named if name in own}
            # An objective that stands in the summary only is reported now.
            if unreported and not any(name in self._series for name in unreported):
                self._report({_STEP: self.step, _ITERATION: self._iterations + 1, **unreported})
            results = {**own, **self._summaries()}
            dict.update(self.summary, results)
            if results:
                _records.output(results)
            _records.flush()
        self._is_finished = True
        if _run is self:
            _run = None

    join = finish

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: "str | None" = None,
        type: "str | None" = None,
        aliases: "Sequence[str] | None" = None,
        tags: "Sequence[str] | None" = None,
    ) -> "Artifact":
        """Records the files of an artifact: a model, a data set, or copies with the trial."""
        artifact = artifact_or_path
        if not isinstance(artifact, Artifact):
            path = os.fspath(artifact)
            artifact = Artifact(name or os.path.basename(path), type or "file")
            artifact._paths.append(path)
        if not self.is_disabled:
            artifact._record(self._last_step)
        return artifact

    def log_model(
        self, path: str, name: "str | None" = None, aliases: "Sequence[str] | None" = None
    ) -> None:
        """Records a model that was written to a path."""
        if not self.is_disabled:
            _records.model(path, step=self._last_step, **({"name": name} if name else {}))

    def log_code(self, *arguments: Any, **options: Any) -> None:
        """Does nothing: a study records the code by itself."""

    def save(self, glob_str: str, base_path: Any = None, policy: str = "live") -> "list[str]":
        """Keeps copies of files with the trial."""
        paths = sorted(glob.glob(os.fspath(glob_str)))
        if not self.is_disabled:
            for path in paths:
                _records.artifact(path)
        return paths

    def watch(self, *arguments: Any, **options: Any) -> None:
        """Does nothing but warn: gradients and weights are not recorded."""
        _warn("wandb.watch records nothing here; log the norms that you need with wandb.log")

    def unwatch(self, *arguments: Any, **options: Any) -> None:
        """Does nothing."""

    def alert(self, title: str, text: str = "", level: Any = None, wait_duration: Any = None) -> None:
        """Records a note."""
        if not self.is_disabled:
            _records.note(f"{title}: {text}" if text else title)

    def use_artifact(self, artifact_or_name: Any, **options: Any) -> Any:
        """Records a data set of this machine that the trial reads.

        Raises `Unsupported` for the name of an artifact, which only the service of W&B has.
        """
        if isinstance(artifact_or_name, Artifact):
            artifact_or_name._record(self._last_step, role="input")
            return artifact_or_name
        raise Unsupported(
            f"the artifact {artifact_or_name!r} is not on this machine",
            "name its path: swath.dataset('data/train', role='train')",
        )

    def mark_preempting(self) -> None:
        """Does nothing: swath tries a trial again that was lost."""

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.finish(1 if kind else 0)

    def __repr__(self) -> str:
        return f"<wandb run {self.path} in swath>"


def _objectives() -> "set[str] | None":
    """Returns the names of the study's objectives, or ``None`` if they are not known.

    With a scheduler that another value drives, such as ``epoch``, that value stands in the rows of
    the objective anyway.
    """
    if _agent is not None:
        return _agent.objectives
    try:
        return {objective["metric"] for objective in _trial._header_of_study()["objectives"]}
    except (KeyError, TypeError):
        return None


def _flat(data: "Mapping[str, Any]", prefix: str, run: Run) -> "dict[str, Any]":
    """Returns values by names joined with dots. Media are stored, lists become results."""
    row: "dict[str, Any]" = {}
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            row.update(_flat(value, f"{name}.", run))
        elif isinstance(value, _Media):
            value._store(name, run.step)
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], _Media):
            for index, item in enumerate(value):
                item._store(f"{name}_{index}", run.step)
        elif hasattr(value, "savefig") or hasattr(value, "write_html"):
            _records.figure(value, f"{name}_{run.step}")
        elif value is not None:
            if not isinstance(value, (bool, int, float, str)):
                try:
                    value = _records._plain(value)
                except TypeError:
                    value = str(value)
            if isinstance(value, (list, tuple)):
                _records.output({name: value})
            else:
                row[name] = value
    return row


class _Media:
    """A value that is stored as a file or a result."""

    def _store(self, name: str, step: int) -> None:
        raise NotImplementedError


class Image(_Media):
    """An image: a path, an object of PIL or matplotlib, or an array of pixels (with PIL)."""

    def __init__(self, data_or_path: Any, caption: "str | None" = None, **options: Any) -> None:
        self.data, self.caption = data_or_path, caption

    def _store(self, name: str, step: int) -> None:
        data, file = self.data, f"{_safe(name)}_{step}.png"
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


def _safe(name: str) -> str:
    """Returns a name as the name of a file."""
    return name.replace("/", "_").replace(os.sep, "_")


class Table(_Media):
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

    def _store(self, name: str, step: int) -> None:
        rows = [dict(zip(self.columns, map(_cell, row))) for row in self.data]
        _records.table(rows, f"{_safe(name)}_{step}")


def _cell(value: Any) -> Any:
    if isinstance(value, _Media):
        return str(getattr(value, "data", ""))
    return value


class Histogram(_Media):
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

    def _store(self, name: str, step: int) -> None:
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


class Html(_Media):
    """A page of HTML: its text, or the path of a file."""

    def __init__(self, data: Any, inject: bool = True, **options: Any) -> None:
        self.data = data

    def _store(self, name: str, step: int) -> None:
        text = self.data.read() if hasattr(self.data, "read") else str(self.data)
        if "\n" not in text and os.path.isfile(text):
            _records.artifact(text, type="html")
        else:
            _records._stored("html", f"{_safe(name)}_{step}.html", _writer_of(text))


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
        self._paths: "list[str]" = []

    def add_file(self, local_path: str, name: "str | None" = None, **options: Any) -> None:
        """Adds a file. It keeps its own name."""
        if not os.path.isfile(local_path):
            raise ValueError(f"{local_path} is not a file")
        self._paths.append(os.fspath(local_path))

    def add_dir(self, local_path: str, name: "str | None" = None, **options: Any) -> None:
        """Adds a folder."""
        if not os.path.isdir(local_path):
            raise ValueError(f"{local_path} is not a folder")
        self._paths.append(os.fspath(local_path))

    def new_file(self, name: str, mode: str = "w", encoding: "str | None" = None) -> Any:
        """Opens a new file of the artifact for writing, among the trial's artifacts."""
        base = os.environ.get("SWATH_TRIAL_DIR") or tempfile.mkdtemp(prefix="artifact-")
        path = os.path.join(base, "artifacts", _safe(self.type), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._paths.append(path)
        return open(path, mode, encoding=encoding)

    def add_reference(self, uri: str, name: "str | None" = None, **options: Any) -> None:
        """Records the address of a file as a fact."""
        self.metadata[f"reference {name or len(self.metadata)}"] = str(uri)

    def wait(self, timeout: Any = None) -> "Artifact":
        """Returns the artifact at once: there is no upload."""
        return self

    def _record(self, step: int, role: "str | None" = None) -> None:
        for path in self._paths:
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
                _records.artifact(path, type=_safe(self.type))
        if not self._paths and self.metadata:
            _records.note(f"artifact {self.name}: {json.dumps(self.metadata, default=str)}")


class Settings:
    """Settings of W&B. They have no effect."""

    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)


_run: "Run | None" = None


def init(
    project: "str | None" = None,
    config: "Any" = None,
    *,
    entity: "str | None" = None,
    name: "str | None" = None,
    id: "str | None" = None,
    group: "str | None" = None,
    job_type: "str | None" = None,
    tags: "Sequence[str] | None" = None,
    notes: "str | None" = None,
    mode: "str | None" = None,
    sync_tensorboard: "bool | None" = None,
    **options: Any,
) -> Run:
    """Begins a run, which is the trial that this process belongs to, and returns it.

    ``config`` has defaults: the parameters of the trial hold against them. ``mode="disabled"``
    records nothing; the other options have no effect.

    Raises `Unsupported` for ``sync_tensorboard``.
    """
    global _run
    if sync_tensorboard:
        raise Unsupported(
            "sync_tensorboard is not supported: event files are not read by this module",
            "log the values with wandb.log",
        )
    if _run is not None:
        _run.finish()
    _run = run = Run(
        {
            "project": project,
            "entity": entity,
            "name": name,
            "id": id,
            "group": group,
            "job_type": job_type,
            "tags": tags,
            "notes": notes,
            "mode": mode,
        }
    )
    if config is not None:
        if not isinstance(config, Mapping):
            config = vars(config)
        run.config.update(config)
    if not run.is_disabled:
        if notes:
            _records.note(notes)
        if tags:
            _records.note(f"tags: {', '.join(map(str, tags))}")
    return run


def _current() -> Run:
    if _run is None:
        raise Error("call wandb.init() first")
    return _run


def log(
    data: "Mapping[str, Any]",
    step: "int | None" = None,
    commit: "bool | None" = None,
    sync: Any = None,
) -> None:
    """Logs a row of values; see `Run.log`."""
    _current().log(data, step=step, commit=commit)


def finish(exit_code: "int | None" = None, quiet: Any = None) -> None:
    """Ends the run, if there is one."""
    if _run is not None:
        _run.finish(exit_code)


join = finish


def define_metric(name: str, **options: Any) -> Any:
    """Says how the summary of a metric comes about; see `Run.define_metric`."""
    return _current().define_metric(name, **options)


def log_artifact(artifact_or_path: Any, **options: Any) -> Artifact:
    """Records the files of an artifact; see `Run.log_artifact`."""
    return _current().log_artifact(artifact_or_path, **options)


def use_artifact(artifact_or_name: Any, **options: Any) -> Any:
    """Records a data set of this machine; see `Run.use_artifact`."""
    return _current().use_artifact(artifact_or_name, **options)


def log_model(path: str, **options: Any) -> None:
    """Records a model; see `Run.log_model`."""
    _current().log_model(path, **options)


def save(glob_str: str, **options: Any) -> "list[str]":
    """Keeps copies of files with the trial."""
    return _current().save(glob_str, **options)


def watch(*arguments: Any, **options: Any) -> None:
    """Does nothing but warn; see `Run.watch`."""
    _current().watch()


def unwatch(*arguments: Any, **options: Any) -> None:
    """Does nothing."""


def alert(title: str, text: str = "", **options: Any) -> None:
    """Records a note."""
    _current().alert(title, text)


def login(*arguments: Any, **options: Any) -> bool:
    """Does nothing: nothing is sent to a service."""
    return True


def setup(*arguments: Any, **options: Any) -> None:
    """Does nothing."""


def teardown(*arguments: Any, **options: Any) -> None:
    """Ends the run, if there is one."""
    finish()


def termlog(text: str, **options: Any) -> None:
    """Prints a line."""
    print(f"wandb: {text}", flush=True)


termwarn = termerror = termlog


def _finish_at_exit() -> None:
    try:
        finish()
    except (SystemExit, EndOfRun):
        pass


# Registered after that of the record lines, so that it runs before it.
atexit.register(_finish_at_exit)


def _warn(text: str) -> None:
    warnings.warn(text, SwathWarning, stacklevel=4)


# Sweeps


class _Agent:
    """What a trial of `agent` knows of its sweep."""

    def __init__(
        self, objectives: "set[str] | None", decode: "dict[str, Callable]", counts: bool
    ) -> None:
        self.objectives, self.decode, self.counts = objectives, decode, counts


# The agent to which this process, a trial, belongs.
_agent: "_Agent | None" = None


class _Sweep:
    """A sweep that this process knows: its configuration, and the runs that agents were asked for."""

    def __init__(self, config: "dict[str, Any]") -> None:
        self.config = config
        self.runs = 0


_sweeps: "dict[str, _Sweep]" = {}


def sweep(
    sweep: "Mapping[str, Any] | Callable[[], Mapping[str, Any]]",
    entity: "str | None" = None,
    project: "str | None" = None,
    prior_runs: Any = None,
) -> str:
    """Takes the configuration of a sweep and returns its id, the name of the study to come.

    Raises `Unsupported` for what a study has no counterpart of, and `ValueError` for a mistake.
    """
    config = dict(sweep() if callable(sweep) else sweep)
    _Plan(config)
    name = _safe(str(config.get("name") or project or "sweep"))
    name = identity = f"{name}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    number = 1
    folder = os.environ.get("SWATH_LOGS") or "logs"
    while identity in _sweeps or os.path.exists(os.path.join(folder, identity)):
        number += 1
        identity = f"{name}-{number}"
    _sweeps[identity] = _Sweep(config)
    return identity


def agent(
    sweep_id: str,
    function: "Callable[[], Any] | None" = None,
    entity: "str | None" = None,
    project: "str | None" = None,
    count: "int | None" = None,
    *,
    jobs: int = 1,
) -> None:
    """Runs trials of a sweep that `sweep` made in this program, ``count`` of them.

    ``function`` has no arguments; it calls `init`. Each trial is a process of its own, ``jobs`` at a
    time. A second call runs ``count`` more.

    Raises `Unsupported` for a sweep of a program, and for the id of a sweep made elsewhere.
    """
    from .._optimize import optimize

    known = _sweeps.get(str(sweep_id).rpartition("/")[2])
    if known is None:
        raise Unsupported(
            f"the sweep {sweep_id!r} was not made in this program, and there is no service that "
            "knows it",
            "call wandb.sweep(config) in this program; or write the sweep as a file, and run it "
            "with `swath run`",
        )
    if function is None:
        raise Unsupported(
            "a sweep of a program is run by `swath run`, not by an agent",
            "name the program in [run] of a sweep file: "
            'command = ["python3", "train.py", "{args}"]; `swath init train.py` writes one',
        )
    plan = _Plan(known.config)
    cap = known.config.get("run_cap")
    if count is None and cap is None and plan.sampler != "grid":
        raise Unsupported(
            "a sweep without a number of runs would never end",
            "give it: wandb.agent(sweep_id, function, count=20)",
        )
    trials = None
    if count is not None or cap is not None:
        known.runs += count if count is not None else cap
        trials = known.runs if cap is None else min(known.runs, cap)
    optimize(
        _Function(function, plan),
        plan.space,
        name=str(sweep_id).rpartition("/")[2],
        metric=plan.metric or _STEP,
        goal=plan.goal,
        trials=trials,
        sampler=plan.sampler,
        scheduler=plan.scheduler,
        jobs=jobs,
        objective=plan.objective,
    )


class _Function:
    """The function of an agent, as the objective of a study."""

    def __init__(self, function: "Callable[[], Any]", plan: "_Plan") -> None:
        self.function, self.plan = function, plan

    def __call__(self, swath_trial_: Any, /) -> None:
        global _agent
        objectives = {self.plan.metric} if self.plan.metric else None
        _agent = _Agent(objectives, self.plan.decode, self.plan.scheduler is not None)
        try:
            self.function()
            finish()
        except EndOfRun:
            from .._errors import TrialPruned

            raise TrialPruned from None


class _Plan:
    """The configuration of a sweep as that of a study."""

    def __init__(self, config: "Mapping[str, Any]") -> None:
        methods = {"random": "random", "grid": "grid", "bayes": "auto"}
        method = config.get("method")
        if method not in methods:
            raise ValueError(f"the method is {method!r}; it can be random, grid or bayes")
        self.sampler = methods[method]
        metric = dict(config.get("metric") or {})
        self.metric: "str | None" = metric.get("name")
        self.goal = "max" if metric.get("goal") == "maximize" or not self.metric else "min"
        self.objective: "dict[str, Any]" = {"take": "last"}
        if "target" in metric:
            self.objective["target"] = metric["target"]
        if not self.metric and method == "bayes":
            raise ValueError("the method bayes needs a metric: {'name': 'loss', 'goal': 'minimize'}")
        parameters = config.get("parameters")
        if not parameters:
            raise ValueError("the sweep has no parameters")
        self.space: "dict[str, Any]" = {}
        # Functions that give the values of choices that a sweep file cannot have.
        self.decode: "dict[str, Callable[[Any], Any]]" = {}
        self._take(parameters, "")
        self.scheduler = _early_termination(config.get("early_terminate"), self.metric)

    def _take(self, parameters: "Mapping[str, Any]", prefix: str) -> None:
        for name, described in parameters.items():
            name = f"{prefix}{name}"
            if not isinstance(described, Mapping):
                raise ValueError(f"`{name}` is {described!r}; write {{'value': …}} or a range")
            if "parameters" in described:
                self._take(described["parameters"], f"{name}.")
                continue
            entry, domain = _entry(name, described)
            self.space[name] = entry
            if domain is not None:
                self.decode[name] = domain.value


def _entry(name: str, described: "Mapping[str, Any]") -> "tuple[Any, Any]":
    """Returns the entry of a parameter in a sweep file, and the choices it stands for."""
    from .ray._space import Categorical

    kind = described.get("distribution")
    if "value" in described or "values" in described:
        values = list(described["values"]) if "values" in described else [described["value"]]
        choices = Categorical(values)
        entry: Any = choices.entry
        if described.get("probabilities"):
            entry = {"choice": entry, "weights": list(described["probabilities"])}
        return entry, choices
    if kind in ("normal", "q_normal") and "q" not in described:
        return {"mean": float(described.get("mu", 0)), "std": float(described.get("sigma", 1))}, None
    if "min" not in described or "max" not in described:
        raise Unsupported(
            f"`{name}` has the distribution {kind!r}, which is not supported with these keys",
            "give `values`, `value`, or `min` and `max`",
        )
    low, high = described["min"], described["max"]
    return _range(name, kind, low, high, described.get("q")), None


def _range(name: str, kind: "str | None", low: Any, high: Any, step: Any) -> "dict[str, Any]":
    are_integers = isinstance(low, int) and isinstance(high, int)
    if kind is None:
        kind = "int_uniform" if are_integers else "uniform"
    if kind == "int_uniform":
        return {"min": int(low), "max": int(high)}
    quantized = kind.startswith("q_")
    shape = kind[2:] if quantized else kind
    if shape not in ("uniform", "log_uniform", "log_uniform_values"):
        raise Unsupported(
            f"`{name}` has the distribution {kind!r}, which is not supported",
            "use uniform, log_uniform_values, normal, or `values`",
        )
    if shape == "log_uniform":
        # The bounds are exponents of e.
        low, high = math.exp(low), math.exp(high)
    entry: "dict[str, Any]" = {"min": float(low), "max": float(high)}
    if shape != "uniform":
        entry["log"] = True
    if quantized:
        entry["step"] = float(step if step is not None else 1)
    return entry


# The lowest rung of a sweep without `max_iter`, times eta to the power of this, is far enough that
# no run gets there.
_RUNGS = 8


def _early_termination(table: "Mapping[str, Any] | None", metric: "str | None") -> "dict | None":
    """Returns the scheduler for the early termination of a sweep."""
    if not table:
        return None
    if table.get("type") != "hyperband":
        raise ValueError(f"the type of early_terminate is {table.get('type')!r}; it is hyperband")
    if metric is None:
        raise ValueError("early_terminate needs the metric that it compares")
    reduction = int(table.get("eta", 3))
    if "max_iter" in table:
        highest = int(table["max_iter"])
        lowest = max(highest // reduction ** int(table.get("s", 2)), 1)
    elif "min_iter" in table:
        lowest = int(table["min_iter"])
        highest = lowest * reduction**_RUNGS
    else:
        raise ValueError("early_terminate needs min_iter, or max_iter and s")
    return {
        "name": "asha",
        "resource": _ITERATION,
        "min": lowest,
        "max": highest,
        "reduction": reduction,
    }


def _lacking(what: str, cure: str) -> "tuple[str, str]":
    return (f"{what} is not supported", cure)


_AS_FILE = "save it to a file, and keep that: wandb.save(path)"
_REASONS = {
    "Api": _lacking(
        "the public API of W&B", "read a study: swath.read('name').pandas(), `swath ls`"
    ),
    "controller": _lacking("a controller of one's own", "docs/search-programs.md shows a sampler"),
    "plot": _lacking("wandb.plot", "log a figure of matplotlib or plotly, or a wandb.Table"),
    "plot_table": _lacking("wandb.plot_table", "log a wandb.Table"),
    "Video": _lacking("wandb.Video", _AS_FILE),
    "Audio": _lacking("wandb.Audio", _AS_FILE),
    "Object3D": _lacking("wandb.Object3D", _AS_FILE),
    "Molecule": _lacking("wandb.Molecule", _AS_FILE),
    "Graph": _lacking("wandb.Graph", _AS_FILE),
    "Plotly": _lacking("wandb.Plotly", "log the figure itself"),
    "link_model": _lacking("the registry of W&B", "name a model in a tracker of the sweep file"),
    "use_model": _lacking("the registry of W&B", "read the model from its path"),
    "keras": _lacking("wandb.keras", "use swath.integrations.keras.SwathCallback()"),
    "xgboost": _lacking("wandb.xgboost", "use swath.integrations.xgboost.SwathCallback()"),
    "lightgbm": _lacking("wandb.lightgbm", "use swath.integrations.lightgbm.SwathCallback()"),
    "catboost": _lacking("wandb.catboost", "use swath.integrations.catboost.SwathCallback()"),
    "sklearn": _lacking("wandb.sklearn", "log figures and tables"),
}
_attribute_error = attribute_error_for(__name__, _REASONS)


def __getattr__(name: str) -> Any:
    # These change with the run.
    if name == "run":
        return _run
    if name == "config":
        return _current().config
    if name == "summary":
        return _current().summary
    return _attribute_error(name)
