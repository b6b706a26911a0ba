"""Record lines: the way a trial reports to the swath that started it.

Every function also works in a script that was started by hand: reports are printed, and everything
else does nothing. The format of the lines is that of ``docs/records.md``.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
import warnings

# `typing` is not imported: it would cost a third of the time of this import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, NoReturn

# The variables of launchers with a rank, each with that of the number of processes: the same rank
# with another number of processes comes from another launcher.
_LAUNCHERS = (
    ("SWATH_RANK",),
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
# Metrics wait in memory until there are this many rows, or until the oldest row has this age in
# seconds when the next call is made. A report, an artifact and the end of the program write them.
_ROWS = 256
_AGE = 1.0
# The time in seconds after which waiting for a decision is an error.
_ANSWER_LIMIT = 60.0


class SwathWarning(UserWarning):
    """Something that is probably not what was meant. The program goes on."""


def _plain(value: Any) -> Any:
    """Turns scalars and arrays of numpy, torch, jax and others into what JSON has."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "size", 1) in (1, ()):
        return item()
    if item is not None and callable(getattr(value, "numel", None)) and value.numel() == 1:
        return item()
    tolist = getattr(value, "tolist", None)
    if tolist is not None:
        return tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(
        f"a value of type {type(value).__name__} cannot be recorded; "
        "convert it to a number, a text or a list of them"
    )


_encode = json.JSONEncoder(
    default=_plain, check_circular=False, separators=(",", ":"), ensure_ascii=False
).encode


def rank() -> int:
    """Returns the rank of this process among the workers of the trial; 0 for a single process.

    A variable that the trial only inherited from the environment of swath does not count.
    """
    outer = dict(
        pair.partition("=")[::2] for pair in os.environ.get("SWATH_OUTER_RANKS", "").split()
    )
    for names in _LAUNCHERS:
        own = [os.environ.get(name, "").strip() for name in names]
        is_own = any(
            value.isdigit() and value != outer.get(name) for name, value in zip(names, own)
        )
        if own[0].isdigit() and is_own:
            return int(own[0])
    # Lightning starts processes without RANK; torchrun, which may run around swath, sets it.
    local = os.environ.get("LOCAL_RANK", "").strip()
    if local.isdigit() and "WORLD_SIZE" in os.environ and "RANK" not in os.environ:
        return int(local)
    return 0


class _Writer:
    """Appends lines to the records file of the trial; one write for each call."""

    def __init__(self, path: str, folder: str) -> None:
        self.path = path
        self.folder = folder
        self.rank = rank()
        self.lock = threading.Lock()
        self.descriptor = -1
        self.rows: list = []
        self.oldest = 0.0
        self.questions = 0
        # The decision to end that a report was answered with. The stop file may come later.
        self.ending = ""
        self.awaits_decision = False
        self.nan_names: set = set()

    def open(self) -> int:
        if self.descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self.descriptor = os.open(self.path, flags, 0o666)
        return self.descriptor

    def append(self, text: str) -> None:
        """Writes the buffered rows and then ``text``, which ends with a line break."""
        with self.lock:
            rows, self.rows = self.rows, []
            if rows:
                text = "".join([_row(row) for row in rows]) + text
            if not text:
                return
            data = text.encode("utf-8", "surrogatepass")
            descriptor = self.descriptor if self.descriptor >= 0 else self.open()
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])

    def line(self, record: dict) -> None:
        if self.rank:
            record["rank"] = self.rank
        self.append(_encode(record) + "\n")

    def after_fork(self) -> None:
        # The parent writes the rows that it has buffered. The lock may be held by a thread that
        # does not exist in the child.
        self.rows = []
        self.lock = threading.Lock()


def _row(row: tuple) -> str:
    at, values, step, batch, context, log, worker = row
    record = {"kind": "metric", **values, "at": at}
    if step is not None:
        record["step"] = step
    if batch is not None:
        record["batch"] = batch
    if context is not None:
        record["context"] = context
    if log is not None:
        record["log"] = log
    if worker:
        record["rank"] = worker
    return _encode(record) + "\n"


def _writer_of_environment() -> "_Writer | None":
    path = os.environ.get("SWATH_RECORDS")
    if not path:
        return None
    return _Writer(path, os.environ.get("SWATH_TRIAL_DIR") or os.path.dirname(path))


_writer = _writer_of_environment()
# Takes the reports of this process in place of the records file, if it is not None.
_relay: "Any" = None


def _rebind() -> None:
    """Reads the environment again. For processes in which it changed after the import."""
    global _writer
    _writer = _writer_of_environment()


def _after_fork() -> None:
    if _writer is not None:
        _writer.after_fork()


def inside() -> bool:
    """Returns whether this process belongs to a trial."""
    return _writer is not None


def flush() -> None:
    """Writes the metrics that wait in memory. Called by ``report`` and at the end by itself."""
    if _writer is not None and _writer.rows:
        _writer.append("")


def report(
    values: "Mapping[str, Any] | None" = None, /, *, wait: bool = False, **named: Any
) -> str:
    """Reports values of the trial: objectives, the resource such as ``epoch``, and others.

    Values are numbers, texts and booleans; scalars of numpy, torch and jax are accepted. Names that
    are no identifiers go into a dictionary: ``report({"val/loss": 0.4}, epoch=3)``. ``model_path``
    names a model that was saved with this report.

    Returns the scheduler's decision: ``"continue"``, ``"pause"`` or ``"stop"``. With ``wait`` the
    decision on this very report is waited for; otherwise it is the last one that is known.

    By hand, the report is printed.
    """
    record = {**values, **named} if values else named
    writer = _writer
    if writer is None and _relay is not None:
        return _relay(record)
    if writer is None:
        print(" ".join(f"{name}={_text(value)}" for name, value in record.items()), flush=True)
        return "continue"
    if not record:
        raise ValueError("a report needs at least one value: swath.report(epoch=1, val_loss=0.4)")
    for name, value in record.items():
        if value != value and name not in writer.nan_names:
            writer.nan_names.add(name)
            warnings.warn(f"`{name}` is NaN", SwathWarning, stacklevel=2)
    if _relay is not None:
        return _relay(record)
    if "kind" in record and record["kind"] != "report":
        raise ValueError("`kind` is not the name of a reported value; give it another name")
    if writer.rank:
        record = {**record, "rank": writer.rank}
    if "model_path" in record:
        record = {**record, "model_path": _relative(os.fspath(record["model_path"]))}
    line = _encode(record) + "\n"
    if wait and not writer.rank:
        return _ask(writer, line)
    writer.append(line)
    return _stop_word(writer) if _is_ending(writer) else "continue"


def _text(value: Any) -> str:
    try:
        value = _plain(value)
    except TypeError:
        pass
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _ask(writer: _Writer, line: str) -> str:
    """Writes the report and a question in one write, and waits for the answer."""
    writer.questions += 1
    question = f"{os.getpid()}-{writer.questions}"
    writer.append(line + _encode({"kind": "ask", "id": question}) + "\n")
    path = os.path.join(writer.folder, "answer")
    deadline = time.monotonic() + _ANSWER_LIMIT
    pause = 0.0005
    while time.monotonic() < deadline:
        try:
            with open(path, encoding="utf-8") as file:
                answer = json.load(file)
            if answer.get("id") == question:
                directive = answer.get("directive", "continue")
                if directive != "continue":
                    writer.ending = directive
                return directive
        except (OSError, ValueError):
            pass
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    raise TimeoutError(
        f"swath has not answered a report for {_ANSWER_LIMIT:.0f} s; does its process still run?"
    )


def _is_ending(writer: _Writer) -> bool:
    return bool(writer.ending) or os.access(os.path.join(writer.folder, "stop"), os.F_OK)


def _stop_word(writer: _Writer) -> str:
    if writer.ending:
        return writer.ending
    try:
        with open(os.path.join(writer.folder, "stop"), encoding="utf-8") as file:
            return "pause" if "pause" in file.read() else "stop"
    except OSError:
        return "stop"


def should_stop() -> bool:
    """Returns whether swath has asked the trial to end. Save a checkpoint and return then."""
    return _writer is not None and _is_ending(_writer)


def log(
    values: "Mapping[str, Any] | None" = None,
    /,
    *,
    step: "float | None" = None,
    batch: "float | None" = None,
    context: "str | None" = None,
    log: "str | None" = None,
    **named: Any,
) -> None:
    """Records metrics of one moment, such as those of a batch. Metrics decide nothing.

    ``context`` is ``train``, ``validation``, ``test`` or a word of your own. Rows are buffered for
    up to a second; `flush` writes them at once. By hand this does nothing.
    """
    writer = _writer
    if writer is None:
        return
    now = time.time()
    rows = writer.rows
    if not rows:
        writer.oldest = now
    rows.append(
        (now, {**values, **named} if values else named, step, batch, context, log, writer.rank)
    )
    if len(rows) >= _ROWS or now - writer.oldest > _AGE:
        writer.append("")


def model(
    path: "str | os.PathLike[str]", *, step: "float | None" = None, keep: bool = False, **facts: Any
) -> None:
    """Records that the trial wrote a model: a file or folder inside the working directory.

    ``step`` places it among the reports. ``keep`` keeps this version whatever comes later. Further
    names are facts about the model, such as ``framework`` or ``parameters``.
    """
    record: dict = {"kind": "model", "path": os.fspath(path), **facts}
    if step is not None:
        record["step"] = step
    if keep:
        record["keep"] = True
    _record(record)


def artifact(path: "str | os.PathLike[str]", *, type: "str | None" = None) -> None:
    """Stores a copy of a file or folder in the trial's folder, in ``artifacts/<type>/``."""
    record = {"kind": "artifact", "path": os.fspath(path)}
    if type is not None:
        record["type"] = type
    _record(record)


def dataset(path: "str | os.PathLike[str]", *, role: "str | None" = None) -> None:
    """Records that the trial read a data set, with its size and digest."""
    record = {"kind": "dataset", "path": os.fspath(path)}
    if role is not None:
        record["role"] = role
    _record(record)


def note(text: str) -> None:
    """Records a note in free text."""
    _record({"kind": "note", "text": str(text)})


def invalid(why: str) -> "NoReturn":
    """Says that the trial's configuration cannot work, and ends the program.

    The trial is ``invalid``: it is not tried again and is no failure, and the sampler learns to
    stay away. Raises `SystemExit`, so that ``finally`` blocks still run.
    """
    from ._errors import TrialInvalid

    if _writer is None and _relay is None:
        raise TrialInvalid(f"this configuration cannot work: {why}")
    _record({"kind": "invalid", "why": str(why)})
    error = TrialInvalid(0)
    error.why = str(why)
    raise error


def output(values: "Mapping[str, Any] | None" = None, /, **named: Any) -> None:
    """Records final results of the trial. Lists and arrays are allowed."""
    _record({"kind": "output", **(values or {}), **named})


def figure(figure: Any, name: str) -> None:
    """Stores a figure of matplotlib or plotly as an artifact of the trial.

    ``name`` has no extension: a figure of matplotlib becomes ``name.png``, one of plotly
    ``name.html``.
    """
    if _writer is None:
        return
    if hasattr(figure, "savefig"):
        _stored("image", f"{name}.png", lambda path: figure.savefig(path, bbox_inches="tight"))
    elif hasattr(figure, "write_html"):
        _stored("html", f"{name}.html", lambda path: figure.write_html(path))
    else:
        raise TypeError(
            f"a figure of type {type(figure).__name__} is not known; "
            "save it to a file, and call swath.artifact(path, type='image')"
        )


def table(rows: Any, name: str) -> None:
    """Stores a table as the artifact ``name.csv``.

    ``rows`` is a data frame of pandas or polars, or a list of dictionaries.
    """
    if _writer is None:
        return
    if hasattr(rows, "to_csv"):
        _stored("table", f"{name}.csv", lambda path: rows.to_csv(path, index=False))
    elif hasattr(rows, "write_csv"):
        _stored("table", f"{name}.csv", lambda path: rows.write_csv(path))
    else:
        _stored("table", f"{name}.csv", lambda path: _write_rows(list(rows), path))


def _write_rows(rows: list, path: str) -> None:
    import csv

    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _stored(type: str, name: str, write: Any) -> None:
    """Writes a file straight into the trial's artifacts, and records it."""
    if _writer is None:
        return
    folder = os.path.join(_writer.folder, "artifacts", type)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write(path)
    _record({"kind": "artifact", "path": path, "type": type})


def _record(record: dict) -> None:
    if _writer is not None:
        if "path" in record:
            record["path"] = _relative(record["path"])
        _writer.line(record)


def _relative(path: str) -> str:
    """Returns an absolute path inside the working directory relative to it, as swath wants it."""
    if not os.path.isabs(path):
        return path
    here = os.path.realpath(os.getcwd()) + os.sep
    real = os.path.realpath(path)
    return real[len(here) :] if real.startswith(here) else path


atexit.register(flush)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
