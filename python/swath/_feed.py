"""Turns the lines of the journal into calls of a tracker.

The tracker ``program`` of a sweep file feeds a process with the lines. This module adds the rows of
the metric files, which are not in the journal, and remembers what was delivered, because each start
feeds the process from the first line.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Iterator, Mapping

from ._tracker import REPORTS, Row, Study, Tracker, Trial

# The journal's stand-ins for numbers that JSON lacks.
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# The reported keys that give the position of a row, in order of precedence.
_COUNTERS = ("step", "epoch", "iteration", "training_iteration")
# The keys of a metric row that locate it instead of holding a measured value.
_LOCATING = ("step", "batch", "context", "rank", "at")
# The first and the longest pause in seconds while a service is away.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
# The time in seconds for a service that is away to return after the end of the input. swath kills
# the process five seconds after that end, and the calls before and after this time last, too.
_LAST_PATIENCE = 1.5
# Failed calls after which the tracker is given up.
_FAILURES = 100
# The longest time in seconds between two flushes while the rows of a trial are delivered.
_BETWEEN_FLUSHES = 0.5


class GivenUp(Exception):
    """The tracker gets no further calls, for the reason in the text."""


class _Axis:
    """The reported key that gives the positions of a series; the row number without one."""

    def __init__(self, resource: "str | None") -> None:
        self.key = resource
        self.previous: "float | int | None" = None

    def place(self, number: int, row: "Mapping[str, Any]") -> "float | int | None":
        """Returns the position of the next row, whose number in its series is ``number``."""
        if self.key is None:
            self.key = next((key for key in _COUNTERS if _is_finite(row.get(key))), None)
        if self.key is None:
            return number
        if _is_finite(row.get(self.key)):
            value = row[self.key]
            self.previous = int(value) if float(value).is_integer() else value
        return self.previous


class _LastSteps:
    """The steps of the last values of a running attempt, by which late reports get their place.

    The last value of a key is that of the largest step; of several at that step, the one that
    arrived last. A value without a step comes after all that arrived before it.
    """

    def __init__(self, axis: "str | None" = None) -> None:
        self.axis = axis
        self.largest = -math.inf
        self.of_keys: "dict[str, float]" = {}

    def take(self, row: "Mapping[str, Any]") -> "set[str]":
        """Takes a report. Returns the keys whose values in it are the last ones so far."""
        step = self.largest
        if self.axis is not None and _is_finite(row.get(self.axis)):
            step = row[self.axis]
            self.largest = max(self.largest, step)
        is_last = {name for name in row if step >= self.of_keys.get(name, -math.inf)}
        self.of_keys.update(dict.fromkeys(is_last, step))
        return is_last


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and value is not True and value is not False and (
        math.isfinite(value)
    )


class _Cursor:
    """Remembers in a file what was delivered.

    The file has one JSON object a line: the id of the study, then what changed since the line
    before: the last entry, the number of rows of each log of a trial, and the calls that failed. A
    line that a crash tore is left out, so that what it said comes again.
    """

    def __init__(self, path: "Path | None", study: "str | None") -> None:
        self.path = path
        self.seq = -1
        # By trial: the attempt from which its rows count, and their number by log.
        self.rows: "dict[int, tuple[int, dict[str, int]]]" = {}
        self.missed: "set[str]" = set()
        self.changed: "set[int]" = set()
        self.saved_missed: "set[str]" = set()
        if path is None:
            return
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            lines = []
        if lines and _parsed(lines[0]).get("study") != study:
            # The folder was used by another study.
            lines = []
        for line in lines:
            self._take(_parsed(line))
        self.saved_missed = set(self.missed)
        # The file starts again with one line, so that it does not grow with the number of runs.
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        with open(draft, "w", encoding="utf-8") as file:
            file.write(json.dumps({"study": study}) + "\n")
            file.write(self._line(self.rows, self.missed))
        os.replace(draft, path)
        self.file = open(path, "a", encoding="utf-8")

    def _take(self, line: dict) -> None:
        self.seq = max(self.seq, line.get("seq", -1))
        for trial, (first, logs) in line.get("rows", {}).items():
            self.rows[int(trial)] = (first, logs)
        if "missed" in line:
            self.missed = set(line["missed"])

    def _line(self, trials: "Any", missed: "set[str] | None") -> str:
        line: dict = {"seq": self.seq, "rows": {trial: self.rows[trial] for trial in trials}}
        if missed is not None:
            line["missed"] = sorted(missed)
        return json.dumps(line) + "\n"

    def count(self, trial: Trial, log: str) -> int:
        """Returns the number of rows of a log that were delivered."""
        first, logs = self.rows.get(trial.id, (0, {}))
        return logs.get(log, 0) if first == trial.first_attempt else 0

    def set_count(self, trial: Trial, log: str, count: int) -> None:
        """Records that the first ``count`` rows of a log were delivered."""
        first, logs = self.rows.get(trial.id, (0, {}))
        if first != trial.first_attempt:
            logs = {}
            self.rows[trial.id] = (trial.first_attempt, logs)
        logs[log] = count
        self.changed.add(trial.id)

    def save(self) -> None:
        """Writes what changed since the last call."""
        if self.path is None:
            return
        missed = self.missed if self.missed != self.saved_missed else None
        self.file.write(self._line(sorted(self.changed), missed))
        self.file.flush()
        self.changed.clear()
        self.saved_missed = set(self.missed)


def _parsed(line: bytes) -> dict:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Feed:
    """Turns the lines of the journal into calls of a tracker."""

    # There once the study is open.
    cursor: _Cursor

    def __init__(self, tracker: Tracker, study_dir: Path, options: dict, descriptor: int) -> None:
        self.tracker = tracker
        self.study_dir = study_dir
        self.sweep_options = options
        self.descriptor = descriptor
        self.due = Due(tracker.log_freq, tracker.log_on_workers)
        self.is_open = False
        self.failures: "list[str]" = []
        self.told: "set[tuple]" = set()
        self.flushed_at = time.monotonic()
        self.ended_at: "float | None" = None
        self.is_unsaved = False
        self.frozen = False

    # The input.

    def run(self) -> None:
        """Reads the input to its end. Raises `GivenUp` if the tracker cannot go on."""
        try:
            self.read()
        except GivenUp:
            self.leave()
            raise

    def read(self) -> None:
        rest = b""
        while True:
            chunk = os.read(self.descriptor, 1 << 16)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.take(json.loads(line))
            self.flush()
        if self.is_open:
            self.flush()
            self.call("close", self.tracker.close)

    def leave(self) -> None:
        """Remembers what arrived before the tracker was given up, and closes it."""
        # What `init` prepares may not be there for `flush` and `close`.
        if not self.is_open:
            return
        try:
            if not self.frozen:
                self.tracker.flush()
                self.cursor.save()
            self.tracker.close()
        except Exception:
            traceback.print_exc()

    def take(self, entry: dict) -> None:
        """Delivers one line of the journal."""
        # A row of metrics, which any program gets on request. This module reads the files itself.
        if "event" not in entry:
            return
        [(kind, event)] = entry["event"].items()
        if not self.is_open:
            self.open(event["header"])
        is_new = entry["seq"] > self.cursor.seq
        trial = self.tracker.trials.get(event.get("trial", 0))
        calls = getattr(self, "on_" + kind, _nothing)(entry, event, trial) or ()
        self.deliver(f"{entry['seq']}/event", is_new, "event", self.tracker.event, entry)
        for name, *arguments in calls:
            if name == "rows":
                self.rows(is_new, *arguments)
                continue
            key = f"{entry['seq']}/{name}"
            self.deliver(key, is_new, name, getattr(self.tracker, name), *arguments)
        if is_new:
            self.cursor.seq = entry["seq"]
            self.is_unsaved = True

    def open(self, header: dict) -> None:
        """Prepares the tracker for the study, whose first line was read."""
        tracker = self.tracker
        tracker.study = Study(self.study_dir, header)
        tracker.trials = {}
        chosen = self.sweep_options.get("dir")
        own = self.study_dir / "trackers" / "program"
        tracker.dir = Path(chosen) / tracker.study.name if chosen else own
        tracker.dir.mkdir(parents=True, exist_ok=True)
        path = tracker.dir / f"{type(tracker).__name__}.cursor" if tracker.once else None
        self.cursor = _Cursor(path, tracker.study.id)
        tracker.is_resumed = self.cursor.seq >= 0
        if not self.call("init", tracker.init):
            raise GivenUp(self.failures[0])
        self.is_open = True

    # The events. Each returns the calls that it causes.

    def on_edited(self, entry: dict, event: dict, trial: None) -> None:
        self.tracker.study._change(event["header"])
        for one in self.tracker.trials.values():
            for name, value in event.get("fill", {}).items():
                one.params.setdefault(name, value)

    def on_created(self, entry: dict, event: dict, trial: None) -> "list[tuple]":
        created = Trial(event, self.study_dir / str(event["trial"]))
        self.tracker.trials[created.id] = created
        origin = event["origin"]
        cloned = origin.get("cloned", {}) if isinstance(origin, dict) else {}
        return self.give_up(self.tracker.trials.get(cloned.get("instead") or 0))

    def give_up(self, trial: "Trial | None") -> "list[tuple]":
        """A paused trial ends without a further attempt."""
        if trial is None:
            return []
        trial.state, trial.exit = "stopped", "stopped"
        return [("end", trial)]

    def on_started(self, entry: dict, event: dict, trial: Trial) -> "list[tuple]":
        trial.attempt, trial.resumes = event["attempt"], event["resume"]
        trial.state, trial.verdict, trial.exit = "running", None, None
        if not trial.resumes:
            trial._begin_anew()
        # The values of the new attempt come after all earlier ones.
        trial._last_steps = _LastSteps()
        return [("start", trial)]

    def on_judged(self, entry: dict, event: dict, trial: Trial) -> "list[tuple]":
        trial.verdict = event["verdict"]
        if trial.verdict == "stop" and trial.state == "paused":
            return self.give_up(trial)
        return []

    def on_requeued(self, entry: dict, event: dict, trial: Trial) -> None:
        trial.state = "waiting"

    def on_logged(self, entry: dict, event: dict, trial: Trial) -> "list[tuple]":
        [(kind, content)] = event["record"].items()
        if kind == "report":
            return [self.report(entry, content["values"], trial)]
        if kind in ("param", "output"):
            kept = trial.found if kind == "param" else trial.outputs
            kept[content["name"]] = content["value"]
            return [(kind, trial, content["name"], content["value"])]
        if kind in ("model", "artifact", "dataset"):
            content = dict(content)
            getattr(trial, kind + "s").append(content)
            return [(kind, trial, content)]
        if kind == "facts":
            for model in reversed(trial.models):
                if model["model_path"] == content["model_path"]:
                    model.setdefault("facts", {}).update(content["facts"])
                    break
        if kind == "invalid":
            trial._invalid = content["why"]
        return [("note", trial, content["text"])] if kind == "note" else []

    def report(self, entry: dict, values: dict, trial: Trial) -> tuple:
        row = Row({name: _number(value) for name, value in values.items()})
        row.key, row.at = str(entry["seq"]), _seconds(entry["at"])
        if trial._axis is None:
            trial._axis = _Axis(self.tracker.study.resource)
        trial._reports += 1
        row.step = trial._axis.place(trial._reports, row)
        if trial._last_steps.axis != trial._axis.key:
            trial._last_steps = _LastSteps(trial._axis.key)
        is_last = trial._last_steps.take(row)
        trial.values.update({name: row[name] for name in is_last})
        trial._finite.update(name for name, value in row.items() if _is_finite(value))
        return ("log", trial, row.step, row)

    def on_ended(self, entry: dict, event: dict, trial: Trial) -> "list[tuple]":
        trial.state, trial.exit = self.outcome(trial, event["exit"])
        trial.usage = event.get("usage", {})
        # The rows of an attempt come before its end.
        return [("rows", trial), ("end", trial)]

    def outcome(self, trial: Trial, exit: Any) -> "tuple[str, str]":
        """Returns the state of a trial after its attempt, and its exit in words."""
        missing = next(
            (o["metric"] for o in self.tracker.study.objectives if not _has_value(trial, o)), None
        )
        absent = ("failed", f"`{missing}` was never reported, or is not finite")
        if trial.verdict == "complete":
            return absent if missing else ("complete", "done")
        failure = exit.get("failed") if isinstance(exit, dict) else None
        if trial._invalid is not None:
            failure = {"invalid": trial._invalid}
        if isinstance(failure, dict) and "invalid" in failure:
            return "invalid", _words(failure)
        if trial.verdict == "stop" or exit == "stopped":
            return "stopped", "stopped"
        if trial.verdict == "pause" or exit == "paused":
            return "paused", "paused"
        if exit in ("lost", "interrupted"):
            return "waiting", exit
        if failure is None:
            return absent if missing else ("complete", "done")
        return "failed", _words(failure)

    # The metric files.

    def rows(self, is_new: bool, trial: Trial) -> None:
        """Delivers the rows of metrics of a trial that were not delivered yet."""
        prefix = f"{trial.id}/{trial.first_attempt}/"
        if not is_new and not any(key.startswith(prefix) for key in self.cursor.missed):
            return
        axes: "dict[str, _Axis]" = {}
        for log, number, values in _metric_rows(_folder_of_attempt(trial) / "metrics"):
            row, line = self.row(values), log
            if row.rank:
                log = f"worker_{row.rank}/{log}"
            row.log, row.key = log, f"{prefix}{line}/{number}"
            if not self.due.should_log(row.rank, row.batch):
                continue
            axis = axes.setdefault(log, _Axis(None))
            resource = self.tracker.study.resource
            if axis.key is None and resource and _is_finite(row.get(resource)):
                axis.key = resource
            row.step = axis.place(number, values)
            is_due = is_new and number >= self.cursor.count(trial, line)
            self.deliver(row.key, is_due, "log", self.tracker.log, trial, row.step, row)
            if is_due:
                self.cursor.set_count(trial, line, number + 1)
                self.is_unsaved = True
            if time.monotonic() - self.flushed_at > _BETWEEN_FLUSHES:
                self.flush()

    def row(self, values: dict) -> Row:
        """Returns the measured values of a row, with its place."""
        row = Row(
            (name, value)
            for name, value in values.items()
            if name not in _LOCATING and isinstance(value, (int, float, str))
        )
        row.batch = values.get("batch")
        row.context = values.get("context")
        row.at = values.get("at")
        row.rank = _count(values.get("rank")) or 0
        return row

    # The calls.

    def deliver(self, key: str, is_new: bool, name: str, method: Any, *arguments: Any) -> None:
        """Calls a method unless an earlier process did so with success."""
        if is_new or key in self.cursor.missed:
            if self.call(name, method, *arguments):
                self.cursor.missed.discard(key)
            else:
                self.cursor.missed.add(key)
            self.is_unsaved = True
            self.check_failures()

    def check_failures(self) -> None:
        """Raises `GivenUp` if so many calls have failed that the next one will fail, too."""
        if len(self.failures) >= _FAILURES:
            raise GivenUp(f"{_FAILURES} calls failed, the first one {self.failures[0]}")

    def call(self, name: str, method: Any, *arguments: Any) -> bool:
        """Calls a method of the tracker, and returns whether it returned.

        Repeats a call that finds a service away. Raises `GivenUp` if the service does not return.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                method(*arguments)
                return True
            except Exception as error:
                if not self.tracker.is_away(error):
                    self.tell(name, arguments, error)
                    return False
                if not self.waits(pause):
                    self.frozen |= name == "flush"
                    raise GivenUp(
                        f"the service is away: {_one_line(error)}; the next run or "
                        "`swath export program` delivers the rest"
                    ) from error
                if pause == _FIRST_PAUSE:
                    print(f"the service is away, trying again: {_one_line(error)}", flush=True)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def waits(self, pause: float) -> bool:
        """Waits before a repetition. Returns ``False`` if the input ended too long ago."""
        began = time.monotonic()
        while True:
            now = time.monotonic()
            if self.ended_at is None and self.has_ended():
                # The service may have returned during a long pause.
                self.ended_at, pause = now, 0.0
            if self.ended_at is not None:
                if now - self.ended_at > _LAST_PATIENCE:
                    return False
                pause = min(pause, _FIRST_PAUSE)
            if now - began >= pause:
                return True
            time.sleep(min(0.1, pause))

    def has_ended(self) -> bool:
        """Returns whether swath has closed the input, even if not all of it was read."""
        poll = select.poll()
        # Without an event to wait for, the answer is the end of the input alone.
        poll.register(self.descriptor, 0)
        return bool(poll.poll(0))

    def tell(self, name: str, arguments: tuple, error: Exception) -> None:
        """Prints the traceback of a failed call, once for each place that raised the error."""
        is_of_trial = bool(arguments) and isinstance(arguments[0], Trial)
        call = f"`{name}` of trial {arguments[0].id}" if is_of_trial else f"`{name}`"
        self.failures.append(f"{call}: {_one_line(error)}")
        # The frame of `call` says nothing about the tracker.
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        last = traceback.extract_tb(frames)[-1:]
        place = (name, type(error), *(f"{frame.filename}:{frame.lineno}" for frame in last))
        if place not in self.told:
            self.told.add(place)
            sys.stdout.flush()
            print(f"{call} failed:", file=sys.stderr)
            traceback.print_exception(type(error), error, frames)

    def flush(self) -> None:
        """Lets the tracker send what it holds, and remembers that it was delivered."""
        self.flushed_at = time.monotonic()
        if not self.is_unsaved:
            return
        # After a failed flush it is not known what arrived: it all comes again with the next start.
        self.frozen |= not self.call("flush", self.tracker.flush)
        self.check_failures()
        if not self.frozen:
            self.cursor.save()
            self.is_unsaved = False


def _nothing(*_: Any) -> None:
    """Stands for the events that cause no call."""


class Due:
    """Selects rows of metrics: the options ``log_freq`` and ``log_on_workers``.

    Raises `ValueError` for a value that a sweep file could not have either.
    """

    def __init__(self, log_freq: Any, log_on_workers: Any) -> None:
        is_count = type(log_freq) is int and log_freq > 0
        if log_freq not in ("batch", "epoch") and not is_count:
            raise ValueError(
                f'`log_freq` must be "batch", "epoch", or a whole number from 1, not {log_freq!r}'
            )
        ranks = log_on_workers if isinstance(log_on_workers, (list, tuple)) else [log_on_workers]
        if log_on_workers != -1 and not all(type(rank) is int and rank >= 0 for rank in ranks):
            raise ValueError(
                "`log_on_workers` must be a rank, a list of ranks, or -1 for all, "
                f"not {log_on_workers!r}"
            )
        self.log_freq = log_freq
        self.ranks = None if log_on_workers == -1 else set(ranks)

    def should_log(self, rank: int, batch: Any) -> bool:
        if self.ranks is not None and rank not in self.ranks:
            return False
        number = _count(batch)
        if number is None or self.log_freq == "batch":
            return True
        return self.log_freq != "epoch" and number % self.log_freq == 0


def _count(value: Any) -> "int | None":
    """Returns a whole number from 0; ``None`` for any other value."""
    return int(value) if _is_finite(value) and value >= 0 and float(value).is_integer() else None


def _folder_of_attempt(trial: Trial) -> Path:
    """Returns the folder with the files of an attempt.

    They are moved when a later attempt starts anew, together with those of the attempts that it
    resumed, to a folder with the number of the last one.
    """
    moved = trial.dir / "attempts"
    try:
        numbers = [int(name) for name in os.listdir(moved) if name.isdigit()]
    except FileNotFoundError:
        numbers = []
    later = [number for number in numbers if number >= trial.attempt]
    return moved / str(min(later)) if later else trial.dir


def _metric_rows(folder: Path) -> "Iterator[tuple[str, int, dict]]":
    """Yields the rows of the metric files: the log, the number of the row in it, and the values."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    logs = sorted(name[: -len(".json")] for name in names if name.endswith(".json"))
    for log in logs:
        path = folder / f"{log}.json"
        # The reports are in the journal. A named pipe would never end.
        if log == REPORTS or not path.is_file():
            continue
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                # What a killed program left of a line is no row.
                values = _parsed(line)
                if values:
                    yield log, number, values


def _has_value(trial: Trial, objective: dict) -> bool:
    metric = objective["metric"]
    if objective.get("take") == "last":
        return _is_finite(trial.values.get(metric))
    return metric in trial._finite


def _number(value: Any) -> Any:
    """Returns a reported value, with NaN and the infinities as numbers."""
    return _SPECIAL.get(value, value) if isinstance(value, str) else value


def _seconds(at: str) -> float:
    """Returns the seconds since 1970 of a time of the journal, such as 2026-11-29T08:06:31.5Z."""
    from datetime import datetime, timezone

    whole, _, fraction = at.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


def _words(failure: Any) -> str:
    """Returns a failure of an attempt in words."""
    if not isinstance(failure, dict):
        return {"memory": "used more memory than it was given"}.get(failure, str(failure))
    [(kind, content)] = failure.items()
    if kind == "raised":
        return f"{content['error']} ({_words(content['ended'])})"
    if kind == "timeout":
        return f"ran longer than {content['secs'] + content['nanos'] / 1e9:g} s"
    begin = {
        "code": "exit status ",
        "signal": "killed by signal ",
        "spawn": "could not start: ",
        "error": "returned an error: ",
        "panic": "panicked: ",
        "invalid": "invalid configuration: ",
    }
    return f"{begin.get(kind, '')}{content}"


def _one_line(error: BaseException) -> str:
    """Returns an error as Python shows it, on one line of at most 120 characters."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 120 else text[:119] + "…"
