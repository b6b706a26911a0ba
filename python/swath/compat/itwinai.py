"""itwinai's loggers: ``swath.compat.itwinai`` in place of ``itwinai.loggers``.

Inside a trial every logger records through swath, whose trackers write to MLflow, W&B, TensorBoard
and PROV; in a collection of several loggers an item is recorded once. By hand metrics are printed.
The arguments that name servers and folders are accepted and have no effect.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from .. import _records
from . import _metrics, _saving, prov4ml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator

__all__ = [
    "ConsoleLogger",
    "EmptyLogger",
    "Logger",
    "LoggersCollection",
    "MLFlowLogger",
    "Prov4MLLogger",
    "TensorBoardLogger",
    "WandBLogger",
]

_KINDS = (
    "metric",
    "torch",
    "artifact",
    "figure",
    "image",
    "param",
    "text",
    "dict",
    "model",
    "best_model",
    "dataset",
    "watch",
    "flops_pb",
    "flops_pe",
    "system",
    "carbon",
    "execution_time",
    "prov_documents",
)


class Logger:
    """One interface for everything that a training logs.

    ``log_freq`` is ``"epoch"``, ``"batch"`` or a number of batches above 0. ``log_on_workers`` is
    the rank that logs, a list of ranks, or -1 for all.
    """

    # The kinds that the logger of this name records; it ignores the others, as the original does.
    supported_kinds: "tuple[str, ...]" = _KINDS

    def __init__(
        self,
        savedir: Any = "mllogs",
        log_freq: "int | str" = "epoch",
        log_on_workers: "int | list[int]" = 0,
        **options: Any,
    ) -> None:
        is_number = isinstance(log_freq, int) and log_freq > 0
        if not is_number and log_freq not in ("epoch", "batch"):
            raise ValueError(
                f"`log_freq` is 'epoch', 'batch' or a number of batches above 0, not {log_freq!r}"
            )
        self.savedir = savedir
        self.log_freq = log_freq
        self.log_on_workers = log_on_workers
        self.worker_rank = 0
        self.is_initialized = False
        # The number of values without a step and a batch, for each identifier: the epochs so far.
        self._epochs: "dict[str, int]" = {}

    @property
    def experiment_id(self) -> "str | None":
        """The name of the study, or ``None`` by hand."""
        return os.environ.get("SWATH_STUDY")

    @property
    def run_id(self) -> "str | None":
        """The number of the trial as a text, or ``None`` by hand."""
        return os.environ.get("SWATH_TRIAL")

    def create_logger_context(self, rank: "int | None" = 0, **options: Any) -> None:
        """Begins to log, for the worker of this rank. Must be called before `log`."""
        if self.is_initialized:
            _saving.warn_once("the logger has begun already; a second beginning has no effect")
            return
        # A rank that the launcher gave to the process holds, if the script names none.
        self.worker_rank = rank or _records.rank()
        self.is_initialized = True

    def destroy_logger_context(self) -> None:
        """Ends logging: values that wait in memory are written."""
        self._check()
        _metrics._report_rest()
        _records.flush()
        self.is_initialized = False

    @contextmanager
    def start_logging(self, rank: "int | None" = 0) -> "Iterator[None]":
        """Logs within a ``with`` block."""
        self.create_logger_context(rank=rank)
        try:
            yield
        finally:
            self.destroy_logger_context()

    def save_hyperparameters(self, params: Any) -> None:
        """Records parameters: a dictionary, or an object with attributes."""
        self._check()
        if self._logs_on_worker():
            prov4ml.log_params(params if isinstance(params, dict) else vars(params))

    def serialize(self, obj: Any, identifier: str) -> str:
        """Saves an object in the trial's folder and returns its path; in ``savedir`` by hand."""
        folder = _saving.folder("pickle") or os.fspath(self.savedir)
        path = os.path.join(folder, identifier)
        _saving.write_whole(path, lambda draft: _saving.pickle_to(obj, draft))
        return path

    def should_log(self, batch_idx: "int | None" = None) -> bool:
        """Returns whether an item is logged: of this worker, and of this batch or of an epoch.

        An item without a batch is always logged. With a number as ``log_freq``, batches are logged
        whose index is a multiple of it, including 0.
        """
        if not self._logs_on_worker():
            return False
        if batch_idx is None or self.log_freq == "batch":
            return True
        return isinstance(self.log_freq, int) and batch_idx % self.log_freq == 0

    def _logs_on_worker(self) -> bool:
        if isinstance(self.log_on_workers, int):
            return self.log_on_workers in (-1, self.worker_rank)
        return self.worker_rank in self.log_on_workers

    def _check(self) -> None:
        if not self.is_initialized:
            raise RuntimeError("call create_logger_context() before the logger is used")

    def _accepts(self, kind: str, batch_idx: "int | None") -> bool:
        return kind in self.supported_kinds and self.should_log(batch_idx)

    def log(
        self,
        item: Any,
        identifier: "str | list[str]",
        kind: str = "metric",
        step: "float | None" = None,
        batch_idx: "int | None" = None,
        context: "str | None" = None,
        **options: Any,
    ) -> None:
        """Records an item under a name, as its kind says.

        A metric without ``batch_idx`` is reported if it is an objective of the study. Its step is
        ``step``, else the number of values of this name so far, from 1.
        """
        self._check()
        if kind not in _KINDS:
            _saving.warn_once(f"there is no kind `{kind}`; there are: {', '.join(_KINDS)}")
            return
        if not self._accepts(kind, batch_idx):
            return
        name = identifier if isinstance(identifier, str) else ", ".join(identifier)
        if kind == "metric":
            self._log_metric(item, name, step, batch_idx, context)
        elif _records.inside():
            _log_item(item, name, kind, step, context)

    def _log_metric(self, item, identifier, step, batch_idx, context) -> None:
        if step is None and batch_idx is None:
            count = self._epochs.get(identifier)
            if count is None:
                count = int(_metrics._first_step())
            step = self._epochs[identifier] = count + 1
        if hasattr(item, "item") or hasattr(item, "tolist"):
            item = _records._plain(item)
        _metrics.record(
            {identifier: item},
            step=step,
            batch=batch_idx,
            context=prov4ml._context(context),
            rank=self.worker_rank,
        )


def _log_item(item: Any, identifier: str, kind: str, step: Any, context: Any) -> None:
    """Records an item that is no metric."""
    if kind == "param":
        prov4ml.log_params({identifier: item})
    elif kind == "text":
        _records._record({"kind": "text", "name": identifier, "text": str(item)})
    elif kind == "dict":
        _records._record({"kind": "dict", "name": identifier, "value": item})
    elif kind in ("figure", "image"):
        _log_image(item, identifier)
    elif kind == "artifact":
        if _is_path(item):
            _records.artifact(item)
        else:
            _store(item, identifier, "pickle")
    elif kind == "torch":
        _store(item, identifier, "torch")
    elif kind in ("model", "best_model"):
        _log_model(item, identifier, kind, step)
    elif kind == "dataset":
        prov4ml.log_dataset(identifier, item)
    elif kind in ("flops_pb", "flops_pe"):
        _log_flops(item, identifier, kind, step, context)
    elif kind == "system":
        prov4ml.log_system_metrics(context, step)
    elif kind == "carbon":
        prov4ml.log_carbon_metrics(context, step)
    elif kind == "execution_time":
        prov4ml.log_current_execution_time(identifier, context, step)
    elif kind == "watch":
        _saving.warn_once("`watch` records nothing: gradients and weights are not logged by swath")
    elif kind == "prov_documents":
        _saving.warn_once(
            "`prov_documents` records nothing: swath's tracker `prov` writes the documents"
        )


def _is_path(item: Any) -> bool:
    return isinstance(item, (str, os.PathLike)) and os.path.exists(item)


def _store(item: Any, identifier: str, type: str) -> None:
    """Saves an object as an artifact of the trial."""
    folder = _saving.folder(type)
    path = _saving.save_object(item, os.path.join(folder or "", identifier))
    _records._record({"kind": "artifact", "path": path, "type": type})


def _log_image(item: Any, identifier: str) -> None:
    """Stores a figure of matplotlib or plotly, an image of Pillow, an array, or a file."""
    if _is_path(item):
        _records.artifact(item, type="image")
        return
    name = identifier[:-4] if identifier.endswith(".png") else identifier
    if hasattr(item, "savefig") or hasattr(item, "write_html"):
        _records.figure(item, name)
    elif hasattr(item, "save"):
        _records._stored("image", f"{name}.png", item.save)
    elif hasattr(item, "shape"):
        _records._stored("image", f"{name}.png", lambda path: _write_png(item, path))
    else:
        _saving.warn_once(f"an image of type {type(item).__name__} is not known; it is left out")


def _write_png(array: Any, path: str) -> None:
    """Writes an array (H, W), (H, W, C) or (C, H, W), with C of 1, 3 or 4, as a PNG.

    Floating-point values are those between 0 and 1; integers those between 0 and 255.
    """
    import struct
    import zlib

    import numpy

    array = array.detach().cpu() if hasattr(array, "detach") else array
    pixels = numpy.asarray(array)
    if pixels.ndim == 3 and pixels.shape[-1] not in (1, 3, 4) and pixels.shape[0] in (1, 3, 4):
        pixels = numpy.moveaxis(pixels, 0, -1)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise ValueError(f"an array of the shape {array.shape} is no image")
    if pixels.dtype.kind == "f":
        pixels = numpy.rint(pixels.clip(0, 1) * 255)
    pixels = pixels.clip(0, 255).astype(numpy.uint8)
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    colour = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def _log_model(item: Any, identifier: str, kind: str, step: Any) -> None:
    """Records a model: an object, which is saved, or the path of one."""
    facts: dict = {"name": identifier}
    if _is_path(item):
        path = os.fspath(item)
    else:
        folder = _saving.folder("model")
        name = identifier if step is None else f"{identifier}-{step}"
        path = _saving.save_object(item, os.path.join(folder or "", name))
        facts.update(_saving.facts(item))
    record = {"kind": kind, "path": path, **facts}
    if step is not None:
        record["step"] = step
    _records._record(record)


def _log_flops(item: Any, identifier: str, kind: str, step: Any, context: Any) -> None:
    """Records a number of operations, or counts those of a pair of a model and its data."""
    per = "epoch" if kind == "flops_pe" else "batch"
    if isinstance(item, (tuple, list)) and len(item) == 2:
        count = prov4ml.log_flops_per_epoch if per == "epoch" else prov4ml.log_flops_per_batch
        count(identifier, item[0], item[1], context, step)
        return
    record = {"kind": "flops", "value": item, "per": per}
    if step is not None:
        record["step"] = step
    _records._record(record)


class EmptyLogger(Logger):
    """Logs nothing."""

    supported_kinds = ()

    def _check(self) -> None:
        pass

    def save_hyperparameters(self, params: Any) -> None:
        pass


class ConsoleLogger(Logger):
    """Logs metrics and files; parameters are ignored, as in the original."""

    supported_kinds = ("metric", "artifact", "torch")

    def save_hyperparameters(self, params: Any) -> None:
        self._check()


class MLFlowLogger(Logger):
    """Logs what the MLflow tracker of swath takes. The server is that of the sweep file."""

    supported_kinds = (
        "metric",
        "artifact",
        "torch",
        "dict",
        "figure",
        "image",
        "param",
        "text",
        "model",
        "best_model",
        "dataset",
    )

    def __init__(
        self,
        savedir: Any = "mllogs",
        experiment_name: str = "unnamed-experiment",
        tracking_uri: "str | None" = None,
        run_description: "str | None" = None,
        run_name: "str | None" = None,
        log_freq: "int | str" = "epoch",
        log_on_workers: "int | list[int]" = 0,
        **options: Any,
    ) -> None:
        super().__init__(savedir, log_freq, log_on_workers)
        self.experiment_name = experiment_name
        self.tracking_uri = tracking_uri
        self.run_description = run_description
        self.run_name = run_name


class WandBLogger(Logger):
    """Logs what W&B takes. ``watch`` records nothing."""

    supported_kinds = ("watch", "metric", "figure", "image", "torch", "dict", "param", "text")

    def __init__(
        self,
        savedir: Any = "mllogs",
        project_name: str = "unnamed-experiment",
        log_freq: "int | str" = "epoch",
        log_on_workers: "int | list[int]" = 0,
        offline_mode: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(savedir, log_freq, log_on_workers)
        self.project_name = project_name
        self.offline_mode = offline_mode


class TensorBoardLogger(Logger):
    """Logs what TensorBoard takes."""

    supported_kinds = ("metric", "image", "text", "figure", "torch")

    def __init__(
        self,
        savedir: Any = "mllogs",
        log_freq: "int | str" = "epoch",
        framework: str = "pytorch",
        log_on_workers: "int | list[int]" = 0,
        **options: Any,
    ) -> None:
        super().__init__(savedir, log_freq, log_on_workers)
        if framework.lower() not in ("pytorch", "tensorflow"):
            raise ValueError(f"`framework` is 'pytorch' or 'tensorflow', not {framework!r}")
        self.framework = framework


class Prov4MLLogger(Logger):
    """Logs what prov4ml takes; a metric is of the context ``training`` unless it names another."""

    supported_kinds = (
        "metric",
        "flops_pb",
        "flops_pe",
        "system",
        "carbon",
        "execution_time",
        "model",
        "best_model",
        "torch",
        "prov_documents",
    )

    def __init__(
        self,
        prov_user_namespace: str = "www.example.org",
        experiment_name: str = "experiment_name",
        provenance_save_dir: Any = "mllogs/prov_logs",
        save_after_n_logs: int = 100,
        create_graph: bool = True,
        create_svg: bool = True,
        log_freq: "int | str" = "epoch",
        log_on_workers: "int | list[int]" = 0,
        **options: Any,
    ) -> None:
        super().__init__(provenance_save_dir, log_freq, log_on_workers)
        self.prov_user_namespace = prov_user_namespace
        self.experiment_name = experiment_name

    def log(
        self,
        item: Any,
        identifier: "str | list[str]",
        kind: str = "metric",
        step: "float | None" = None,
        batch_idx: "int | None" = None,
        context: "str | None" = "training",
        **options: Any,
    ) -> None:
        """Records an item as `Logger.log` does, in a context."""
        super().log(item, identifier, kind, step, batch_idx, context, **options)


class LoggersCollection(Logger):
    """Several loggers as one. An item that one of them takes is recorded, and only once."""

    def __init__(self, loggers: "Iterable[Logger]") -> None:
        super().__init__("mllogs")
        self.loggers = list(loggers)
        types = [type(logger) for logger in self.loggers]
        if len(set(types)) != len(types):
            raise ValueError("two loggers of a collection are of one type")

    def create_logger_context(self, rank: "int | None" = 0, **options: Any) -> None:
        """Begins to log with every logger."""
        super().create_logger_context(rank)
        for logger in self.loggers:
            logger.create_logger_context(rank=rank, **options)

    def destroy_logger_context(self) -> None:
        """Ends logging with every logger."""
        for logger in self.loggers:
            logger.destroy_logger_context()
        super().destroy_logger_context()

    def save_hyperparameters(self, params: Any) -> None:
        """Records parameters, if one of the loggers takes them."""
        self._check()
        takers = [logger for logger in self.loggers if not _ignores_parameters(logger)]
        if takers:
            takers[0].save_hyperparameters(params)

    def should_log(self, batch_idx: "int | None" = None) -> bool:
        """Returns whether one of the loggers logs such an item."""
        return any(logger.should_log(batch_idx) for logger in self.loggers)

    def _accepts(self, kind: str, batch_idx: "int | None") -> bool:
        return any(logger._accepts(kind, batch_idx) for logger in self.loggers)


def _ignores_parameters(logger: Logger) -> bool:
    return isinstance(logger, (ConsoleLogger, EmptyLogger))
