"""prov4ml: ``import swath.compat.prov4ml as prov4ml`` in place of ``import prov4ml``.

Calls become record lines of the trial. The provenance document is that of swath's tracker ``prov``,
so `end_run` writes none. By hand metrics are printed, and everything else does nothing.
"""

from __future__ import annotations

import os
import time

from .. import _records
from . import _metrics, _saving
from ._unsupported import attribute_error_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

__all__ = [
    "Context",
    "end_run",
    "log_artifact",
    "log_carbon_metrics",
    "log_current_execution_time",
    "log_dataset",
    "log_execution_end_time",
    "log_execution_start_time",
    "log_flops_per_batch",
    "log_flops_per_epoch",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_optimizer",
    "log_param",
    "log_params",
    "log_system_metrics",
    "save_model_version",
    "start_run",
    "start_run_ctx",
]


class Context:
    """The part of an experiment to which a value belongs. A text of your own does as well."""

    TRAINING = "train"
    VALIDATION = "validation"
    TESTING = "test"
    EVALUATION = "evaluation"
    DATASETS = "datasets"
    MODELS = "models"


# The names that the original uses in files and documents.
_SPELLINGS = {
    "training": Context.TRAINING,
    "testing": Context.TESTING,
}


def _context(context: Any) -> "str | None":
    """Returns the word of a context: of this module, of an enumeration of prov4ml, or a text."""
    if context is None:
        return None
    word = str(getattr(context, "name", context)).lower()
    return _SPELLINGS.get(word, word)


_start = time.time()
# The number of versions of each model that this process has saved.
_versions: "dict[str, int]" = {}


class _Run:
    """What `start_run` returns: usable in a ``with`` statement, as in early versions."""

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *error: Any) -> None:
        end_run()


def start_run(*arguments: Any, **options: Any) -> _Run:
    """Begins the run. The trial is the run, so the arguments of every version are accepted.

    Execution times count from here.
    """
    global _start
    _start = time.time()
    return _Run()


start_run_ctx = start_run


def end_run(create_graph: bool = False, create_svg: bool = False, **options: Any) -> None:
    """Ends the run: values that wait in memory are written."""
    _metrics._report_rest()
    _records.flush()


def log_metric(
    key: str,
    value: float,
    context: Any = None,
    step: "float | None" = None,
    source: "str | None" = None,
    synchronous: bool = True,
    timestamp: "float | None" = None,
) -> None:
    """Records a metric in a context, and reports it if it is an objective of the study.

    The study may call it ``key`` or ``<context>.<key>``, such as ``validation.loss``.
    ``timestamp`` is in milliseconds since 1970. With ``synchronous=False`` the value may wait in
    memory for up to a second. ``source`` is not recorded.
    """
    # Early versions have `synchronous` in the fifth place.
    if isinstance(source, bool):
        synchronous = source
    _metrics.record(
        {key: value},
        step=step,
        context=_context(context),
        at=None if timestamp is None else timestamp / 1000,
        buffer=not synchronous,
    )


def log_metrics(
    metrics: "Mapping[str, Any]",
    step: "float | None" = None,
    context: Any = None,
    synchronous: bool = True,
    timestamp: "float | None" = None,
) -> None:
    """Records several metrics of a step. A value may be a pair of the value and its context."""
    rows: "dict[str | None, dict]" = {}
    for key, value in metrics.items():
        own = context
        if isinstance(value, (tuple, list)) and len(value) == 2:
            value, own = value
        rows.setdefault(_context(own), {})[key] = value
    for word, row in rows.items():
        _metrics.record(
            row,
            step=step,
            context=word,
            at=None if timestamp is None else timestamp / 1000,
            buffer=not synchronous,
        )


def log_param(key: str, value: Any, context: Any = None, source: Any = None, **_: Any) -> None:
    """Records a parameter. A dictionary becomes one parameter for each of its entries."""
    if _records.inside() and not _records.rank():
        _records._record({"kind": "params", **_flat(key, value)})


def log_params(params: "Mapping[str, Any]") -> None:
    """Records parameters; the names of nested ones are joined by dots."""
    if _records.inside() and not _records.rank():
        record: dict = {}
        for key, value in params.items():
            record.update(_flat(str(key), value))
        if record:
            _records._record({"kind": "params", **record})


def _flat(key: str, value: Any) -> dict:
    if isinstance(value, dict):
        flat: dict = {}
        for name, item in value.items():
            flat.update(_flat(f"{key}.{name}", item))
        return flat
    try:
        # `null` would mean that there is no value.
        if value is None:
            value = "None"
        elif not isinstance(value, (int, float, str)):
            value = _records.json.loads(_records._encode(value))
    except (TypeError, ValueError):
        value = str(value)
    # A parameter of this name would be taken for the kind of the line.
    return {"kind_" if key == "kind" else key: value}


def log_artifact(artifact_path: Any, *arguments: Any, **options: Any) -> None:
    """Stores a copy of a file or folder. Later versions name it first: ``(name, path)``."""
    path = artifact_path
    second = arguments[0] if arguments else options.get("path")
    if not os.path.exists(path) and isinstance(second, (str, os.PathLike)):
        path = second if os.path.exists(second) else path
    _records.artifact(path)


def log_dataset(label: str, dataset: Any, *arguments: Any, **options: Any) -> None:
    """Records a data set: a path with its digest, or a loader with the number of its samples."""
    if isinstance(dataset, (str, os.PathLike)):
        _records.dataset(dataset, role=label)
        return
    sized = getattr(dataset, "dataset", dataset)
    facts = {}
    if hasattr(sized, "__len__"):
        facts[f"{label}.samples"] = len(sized)
    size = getattr(dataset, "batch_size", None)
    if isinstance(size, int):
        facts[f"{label}.batch_size"] = size
    if facts:
        log_params(facts)


def log_model(
    model: Any,
    model_name: Any = "default",
    log_model_info: bool = True,
    log_as_artifact: bool = True,
    **options: Any,
) -> None:
    """Saves a model in the trial's folder and records it.

    With ``log_model_info`` the record has the number of parameters and their memory in bytes.
    With ``log_as_artifact=False`` the model is not saved, and only these facts are recorded as
    parameters. Later versions name the model first, which is understood too.
    """
    if isinstance(model, str):
        model, model_name = model_name, model
        # The third argument of those versions is a context, and the model is always saved.
        log_model_info, log_as_artifact = options.get("log_model_info", True), True
    if not _records.inside() or _records.rank():
        return
    facts = _saving.facts(model) if log_model_info else {}
    if not log_as_artifact:
        log_params({"model_name": model_name, **{f"model_{k}": v for k, v in facts.items()}})
        return
    folder = _saving.folder("model")
    path = _saving.save_object(model, os.path.join(folder or "", model_name), state_only=True)
    _records.model(path, name=model_name, **facts)


def save_model_version(
    model: Any, model_name: Any, context: Any = None, step: "float | None" = None, **options: Any
) -> None:
    """Saves a version of a model, the state dictionary of one of PyTorch, which swath keeps.

    Files are ``<model_name>_<n>``, where n counts from 0, among the trial's artifacts.
    """
    if isinstance(model, str):
        model, model_name = model_name, model
    if not _records.inside() or _records.rank():
        return
    folder = _saving.folder("model", model_name)
    count = _versions.get(model_name)
    if count is None:
        # An earlier attempt of the trial may have saved versions.
        count = len(os.listdir(folder or "."))
    _versions[model_name] = count + 1
    file = os.path.join(folder or "", f"{model_name}_{count}")
    path = _saving.save_object(model, file, state_only=True)
    facts = _saving.facts(model)
    word = _context(context)
    if word is not None:
        facts["context"] = word
    _records.model(path, step=step, keep=True, name=model_name, **facts)


def log_optimizer(optimizer: Any) -> None:
    """Records ``optimizer_name``, the class, and ``optimizer_lr``, the rate of its first group."""
    if not _records.inside() or _records.rank():
        return
    record = {"kind": "optimizer", "name": type(optimizer).__name__}
    groups = getattr(optimizer, "param_groups", None)
    if groups and "lr" in groups[0]:
        record["lr"] = groups[0]["lr"]
    _records._record(record)


def log_system_metrics(context: Any = None, step: "float | None" = None) -> None:
    """Records the use of processors, memory and disk of the machine, in percent.

    ``cpu_usage`` is the mean since the last call. swath itself samples the processes of the trial
    and the GPUs, in ``metrics/system.json``.
    """
    if not _records.inside():
        return
    values = {"cpu_usage": _cpu_usage(), "memory_usage": _memory_usage()}
    usage = os.statvfs(os.getcwd())
    values["disk_usage"] = round(100 * (1 - usage.f_bavail / max(usage.f_blocks, 1)), 3)
    row = {name: value for name, value in values.items() if value is not None}
    _metrics.record(row, step=step, context=_context(context))


_cpu_times = (0, 0)


def _cpu_usage() -> "float | None":
    """Returns the busy share of all processors since the last call, in percent."""
    global _cpu_times
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(text) for text in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    idle, total = ticks[3] + ticks[4], sum(ticks)
    (old_idle, old_total), _cpu_times = _cpu_times, (idle, total)
    span = total - old_total
    return round(100 * (1 - (idle - old_idle) / span), 3) if span > 0 else None


def _memory_usage() -> "float | None":
    """Returns the share of the machine's memory that is in use, in percent."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in file}
        return round(100 * (1 - sizes["MemAvailable"] / sizes["MemTotal"]), 3)
    except (OSError, ValueError, KeyError, IndexError):
        return None


def log_carbon_metrics(context: Any = None, step: "float | None" = None) -> None:
    """Records nothing: swath records the energy itself, and makes no estimate of emissions."""
    if _records.inside():
        _saving.warn_once(
            "log_carbon_metrics records nothing; `energy_joules` in metrics/system.json is the "
            "energy that the machine's processors used"
        )


def log_current_execution_time(
    label: str, context: Any = None, step: "float | None" = None
) -> None:
    """Records the seconds since `start_run` as the metric ``label``."""
    if _records.inside():
        _metrics.record({label: time.time() - _start}, step=step, context=_context(context))


def log_execution_start_time() -> None:
    """Records the time in seconds since 1970 as the parameter ``execution_start_time``."""
    log_param("execution_start_time", time.time())


def log_execution_end_time() -> None:
    """Records the time in seconds since 1970 as the parameter ``execution_end_time``."""
    log_param("execution_end_time", time.time())


def log_flops_per_epoch(
    label: str, model: Any, dataset: Any, context: Any = None, step: "float | None" = None
) -> None:
    """Records the floating-point operations of one pass over a data set, as the metric ``label``.

    Those of the first sample times the number of samples. ``dataset`` has samples (input, target).
    """
    if not _records.inside():
        return
    sample = dataset[0]
    first = sample[0] if isinstance(sample, (tuple, list)) else sample
    count = _flops(model, first, is_sample=True)
    if count is not None:
        _metrics.record({label: count * len(dataset)}, step=step, context=_context(context))


def log_flops_per_batch(
    label: str, model: Any, batch: Any, context: Any = None, step: "float | None" = None
) -> None:
    """Records the floating-point operations of one batch (inputs, targets), as the metric."""
    if not _records.inside():
        return
    inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
    count = _flops(model, inputs, is_sample=False)
    if count is not None:
        _metrics.record({label: count}, step=step, context=_context(context))


def _flops(model: Any, inputs: Any, is_sample: bool) -> "int | None":
    """Returns the operations of a forward pass, or ``None`` for a model that is not of PyTorch."""
    if not _saving.is_torch_module(model):
        _saving.warn_once(
            f"the operations of a {type(model).__name__} cannot be counted; record the number "
            "itself with log_metric"
        )
        return None
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    was_training = model.training
    # A forward pass in training mode would change running statistics.
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(inputs.unsqueeze(0) if is_sample else inputs)
    finally:
        model.train(was_training)
    return counter.get_total_flops()


__getattr__ = attribute_error_with(
    __name__,
    {
        "log_provenance_documents": "the tracker `prov` of the sweep file writes them",
        "log_source_code": "swath records the commit and the changed files by itself",
        "log_execution_command": "swath records the command by itself, in metadata/info.yaml",
        "create_context": "a text is a context: log_metric(key, value, 'warm-up')",
        "log_context": "a text is a context: log_metric(key, value, 'warm-up')",
        "ProvMLLogger": "use the callback of swath.integrations.lightning",
    },
)
