"""Metrics of scripts that were written for other loggers: which of them are reports.

Such a script does not say which of its metrics decide. The study does: the first line of its
journal names the objectives, the resource of the scheduler, and the metrics of outcome constraints.
A row with an objective or a constrained metric is reported; every other row is a metric.
"""

from __future__ import annotations

import atexit
import json
import os

from .. import _records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

# Keys that have a meaning of their own in a metric line. A metric of such a name gets its own line.
_KEYS_OF_A_LINE = {"kind", "name", "value", "rank", "log", "context", "at", "path"}
# Names that say when a row was measured, in the order in which they count.
_AXES = ("step", "epoch", "iteration")


class _Names:
    """The names that decide in the study of this trial."""

    def __init__(self, header: dict) -> None:
        self.objectives = [entry["metric"] for entry in header["objectives"]]
        self.resource: "str | None" = header.get("resource")
        constrained = [entry.get("metric") for entry in header.get("limits") or []]
        self.others = {name for name in [*constrained, header.get("price")] if name}

    def decides(self, name: str) -> bool:
        return name in self.objectives or name in self.others


def _names_of_study() -> "_Names | None":
    """Returns the names that decide, or ``None`` if they are not known."""
    folder = os.environ.get("SWATH_TRIAL_DIR")
    if not folder:
        return None
    path = os.path.join(os.path.dirname(folder.rstrip("/")), "journal.jsonl")
    try:
        with open(path, "rb") as file:
            return _Names(json.loads(file.readline())["event"]["opened"]["header"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _State:
    """What this process has recorded so far."""

    def __init__(self) -> None:
        self.names = _names_of_study()
        # The values of a report that lacks an objective, and their step.
        self.waiting: dict = {}
        self.waiting_step: Any = None
        # The log or context from which each objective came first, and the names already warned of.
        self.places: "dict[str, str | None]" = {}
        self.warned: "set[str]" = set()
        self.reports = 0


_state: "_State | None" = None


def _current() -> _State:
    global _state
    if _state is None:
        _state = _State()
        atexit.register(_report_rest)
    return _state


def is_active() -> bool:
    """Returns whether this process belongs to a trial, of a program or of a function."""
    return _records.inside() or _records._relay is not None


def step_of(values: "Mapping[str, Any]") -> "Any":
    """Returns the step that a row names among its values, or ``None``."""
    names = _current().names
    resource = names.resource if names is not None else None
    for name in (resource, *_AXES):
        if name is not None and isinstance(values.get(name), (int, float)):
            return values[name]
    return None


def record(
    values: "Mapping[str, Any]",
    *,
    step: "float | None" = None,
    batch: "float | None" = None,
    context: "str | None" = None,
    log: "str | None" = None,
    at: "float | None" = None,
    rank: int = 0,
    buffer: bool = False,
    wait: bool = False,
) -> str:
    """Records a row of metrics, and reports it if it has a value that decides.

    ``at`` is the time in seconds since 1970. A row of a batch, or of a rank other than 0, is never
    reported. With ``buffer`` the row may wait in memory for a second; otherwise it is written at
    once. With ``wait`` the scheduler's decision on a report is waited for. Returns that decision.

    By hand, rows are printed, without those of batches.
    """
    place = log if log is not None else context
    rank = rank or _records.rank()
    if step is None:
        step = step_of(values)
    is_candidate = batch is None and rank == 0
    if not is_active():
        if is_candidate:
            _records.report(_qualified(values, place, step))
        return "continue"
    state = _current()
    report = _report_of(state, values, place) if is_candidate else None
    # Without a log or context, the report says all that the metric would.
    if report is None or place is not None:
        _write_row(values, step, batch, context, log, at, rank, buffer)
    if report is None:
        return "continue"
    return _submit(state, report, step, wait)


def _qualified(values: "Mapping[str, Any]", place: "str | None", step: Any) -> dict:
    """Returns the row under the names ``<place>.<name>``, with its step."""
    axes = {name: values[name] for name in _AXES if name in values}
    if not axes and step is not None:
        axes = {"step": step}
    prefix = f"{place}." if place else ""
    return {**axes, **{prefix + name: value for name, value in values.items() if name not in axes}}


def _report_of(state: _State, values: "Mapping[str, Any]", place: "str | None") -> "dict | None":
    """Returns the values to report, or ``None`` if none of them decides.

    An objective may be called as the script calls it (``loss``), or with the log or context before
    it (``train.loss``). The rest of the row follows the spelling of the objective.
    """
    names = state.names
    if names is None:
        return {name: value for name, value in values.items() if name not in ("kind", "rank")}
    axes = {*_AXES, names.resource}
    plain = [name for name in values if names.decides(name) and name not in axes]
    prefix = f"{place}." if place else ""
    prefixed = [name for name in values if prefix and names.decides(prefix + name)]
    if not plain and not prefixed:
        return None
    for name in plain:
        _warn_of_second_place(state, name, place)
    report = {}
    for name, value in values.items():
        keeps_name = name in axes or name in plain or not prefixed
        report[name if keeps_name else prefix + name] = value
    report.pop("kind", None)
    report.pop("rank", None)
    return report


def _warn_of_second_place(state: _State, name: str, place: "str | None") -> None:
    first = state.places.setdefault(name, place)
    if first != place and name not in state.warned:
        state.warned.add(name)
        from .._trial import _warn

        _warn(
            f"`{name}` is logged in `{first}` and in `{place}`, and both decide; "
            f'name one of them in the sweep file: metric = "{place}.{name}"'
        )


def _write_row(values, step, batch, context, log, at, rank, buffer) -> None:
    writer = _records._writer
    if writer is None:
        return
    row = {name: value for name, value in values.items() if name not in _KEYS_OF_A_LINE}
    named = [name for name in values if name in _KEYS_OF_A_LINE]
    if buffer and at is None and not named and rank == writer.rank:
        _records.log(row, step=step, batch=batch, context=context, log=log)
        return
    import time

    moment = {"at": time.time() if at is None else at}
    for key, value in (("step", step), ("batch", batch), ("context", context), ("log", log)):
        if value is not None:
            moment[key] = value
    if rank:
        moment["rank"] = rank
    if row:
        writer.line({"kind": "metric", **row, **moment})
    for name in named:
        writer.line({"kind": "metric", "name": name, "value": values[name], **moment})


def _submit(state: _State, report: dict, step: Any, wait: bool) -> str:
    """Reports the values, once all objectives of the step are there."""
    names = state.names
    objectives = names.objectives if names is not None else []
    if state.waiting and state.waiting_step != step:
        _report_rest()
    state.waiting.update(report)
    state.waiting_step = step
    if any(name not in state.waiting for name in objectives):
        # What is no objective need not wait for one that was reported before.
        if any(name in state.waiting for name in objectives) or not state.reports:
            return "continue"
    return _report_rest(wait)


def _report_rest(wait: bool = False) -> str:
    """Reports the values that wait for another objective."""
    state = _state
    if state is None or not state.waiting:
        return "continue"
    report, step = state.waiting, state.waiting_step
    state.waiting, state.waiting_step = {}, None
    names = state.names
    resource = names.resource if names is not None else None
    state.reports += 1
    if resource is not None and resource not in report:
        report[resource] = step if step is not None else _first_step() + state.reports
    elif step is not None and not any(name in report for name in _AXES):
        report["step"] = step
    return _records.report(report, wait=wait)


def _first_step() -> "float | int":
    """Returns the step before the first one of this attempt."""
    from .._trial import trial

    return trial().resume_step or 0
