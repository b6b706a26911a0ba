"""The parameters and the identity of a trial, its epochs and its checkpoints."""

from __future__ import annotations

import atexit
import json
import os
import warnings

from . import _records
from ._records import SwathWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Iterator

# Checkpoints of this module: the newest and the one before it, which serves if the newest turns out
# to be unreadable.
_KEPT = 2


class Params(dict):
    """The parameters of a trial: a dictionary whose entries are also attributes.

    A parameter with dots in its name, such as ``optimizer.lr``, is ``p["optimizer.lr"]`` and
    ``p.optimizer.lr``. Reading an unknown name is an ``AttributeError`` that names the parameters.
    """

    _read: "set[str] | None" = None

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            pass
        prefix = name + "."
        inner = {key[len(prefix) :]: key for key in dict.keys(self) if key.startswith(prefix)}
        if inner:
            return Params({short: self[key] for short, key in inner.items()})
        raise AttributeError(
            f"there is no parameter `{name}`; there are: {', '.join(dict.keys(self)) or 'none'}"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_read":
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __getitem__(self, key: str) -> Any:
        if self._read is not None:
            self._read.add(key)
        return dict.__getitem__(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default

    # Iterating over the parameters reads all of them.
    def _all_are_read(self) -> None:
        if self._read is not None:
            self._read.update(dict.keys(self))

    def __iter__(self) -> "Iterator[str]":
        self._all_are_read()
        return dict.__iter__(self)

    def keys(self):  # type: ignore[override]
        self._all_are_read()
        return dict.keys(self)

    def items(self):  # type: ignore[override]
        self._all_are_read()
        return dict.items(self)

    def values(self):  # type: ignore[override]
        self._all_are_read()
        return dict.values(self)


def params(**defaults: Any) -> Params:
    """Returns the parameters of the trial, over the defaults that are given.

    By hand the defaults hold. Under swath a warning names a default that is no parameter of the
    sweep, and another one, at the end of the program, a parameter that was never read.
    """
    path = os.environ.get("SWATH_PARAMS")
    if not path:
        return Params(defaults)
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    result = Params({**defaults, **given})
    result._read = set()
    # The other processes of the trial would only repeat the warnings.
    if not _records.rank():
        _warn_of_unknown(defaults, given)
        atexit.register(_warn_of_unread, result, given)
    return result


def _warn_of_unknown(defaults: dict, given: dict) -> None:
    """Warns of defaults that no trial of the study ever gets a value for, often spelled wrongly."""
    if all(name in given for name in defaults):
        return
    parameters = _parameters_of_study()
    # A parameter that the list lacks means that the list is not that of this trial.
    if parameters is None or not parameters.issuperset(given):
        return
    unknown = [name for name in defaults if name not in parameters]
    if not unknown:
        return
    from difflib import get_close_matches

    names = ", ".join(f"`{name}`" for name in unknown)
    one = len(unknown) == 1
    text = f"{names} {'is no parameter' if one else 'are no parameters'} of the sweep, so "
    text += "its default holds in every trial" if one else "their defaults hold in every trial"
    unused = [name for name in given if name not in defaults]
    similar = [match for name in unknown for match in get_close_matches(name, unused, 1)]
    if similar:
        text += f"; did you mean `{similar[0]}`?"
    _warn(text)


# Above this size in bytes a journal is not read for a warning.
_JOURNAL_LIMIT = 16 << 20


def _parameters_of_study() -> "set[str] | None":
    """Returns the parameters that a trial of the study may have, or ``None`` if it is not known.

    The trial's own file lacks those whose condition does not hold.
    """
    try:
        return set(_header_of_study()["params"])
    except (KeyError, TypeError):
        return None


def _header_of_study() -> dict:
    """Returns what the journal says of the study; empty if that is not known.

    The first line of the journal says it, and the line of each edit of the sweep file anew.
    """
    folder = os.environ.get("SWATH_TRIAL_DIR")
    if not folder:
        return {}
    path = os.path.join(os.path.dirname(folder.rstrip("/")), "journal.jsonl")
    try:
        if os.path.getsize(path) > _JOURNAL_LIMIT:
            return {}
        with open(path, "rb") as file:
            journal = file.read()
        edit = journal.rfind(b'"event":{"edited":')
        start = journal.rfind(b"\n", 0, edit) + 1 if edit >= 0 else 0
        end = journal.find(b"\n", start)
        event = json.loads(journal[start : end if end >= 0 else None])["event"]
        return dict((event.get("edited") or event["opened"])["header"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _warn_of_unread(result: Params, given: dict) -> None:
    read = result._read or set()
    unread = [f"`{name}`" for name in given if name not in read]
    if unread:
        _warn(
            f"the parameter {', '.join(unread)} was never read, so it had no effect in this trial"
        )


def _warn(text: str) -> None:
    """Warns on standard error and in the trial's records."""
    warnings.warn(text, SwathWarning, stacklevel=3)
    _records.note(f"warning: {text}")


def _number(text: "str | None") -> "float | int | None":
    if not text:
        return None
    number = float(text)
    return int(number) if number.is_integer() else number


class Trial:
    """The trial that this process belongs to.

    By hand, ``id``, ``seed``, ``dir`` and ``checkpoint_dir`` are ``None`` and ``attempt`` is 1.
    """

    def __init__(self) -> None:
        variable = os.environ.get
        trial, seed = variable("SWATH_TRIAL"), variable("SWATH_SEED")
        self.id: "int | None" = int(trial) if trial else None
        self.seed: "int | None" = int(seed) if seed else None
        self.attempt: int = int(variable("SWATH_ATTEMPT") or 1)
        self.study: "str | None" = variable("SWATH_STUDY")
        # The resource up to which the scheduler wants the trial to train.
        self.until: "float | int | None" = _number(variable("SWATH_UNTIL"))
        self._dir = variable("SWATH_TRIAL_DIR")
        self._checkpoint_dir = variable("SWATH_CHECKPOINT_DIR")
        self._resumes = variable("SWATH_RESUME") == "1"
        self._is_terminated = False

    @property
    def dir(self) -> "Path | None":
        """The trial's folder, for files of your own."""
        return _path(self._dir)

    @property
    def checkpoint_dir(self) -> "Path | None":
        """The folder for checkpoints; the next attempt of the trial gets the same one."""
        return _path(self._checkpoint_dir)

    @property
    def resume_step(self) -> "float | int | None":
        """The step of the checkpoint from which this attempt continues, or ``None``."""
        if not self._resumes:
            return None
        step = _number(os.environ.get("SWATH_RESUME_STEP"))
        if step is not None:
            return step
        saved = self._checkpoints()
        return saved[-1][0] if saved else None

    def report(self, values=None, /, *, wait: bool = False, **named: Any) -> str:
        """Reports values; see `swath.report`."""
        return _records.report(values, wait=wait, **named)

    def log(self, values=None, /, **named: Any) -> None:
        """Records metrics; see `swath.log`."""
        _records.log(values, **named)

    def should_stop(self) -> bool:
        """Returns whether swath has asked the trial to end."""
        return self._is_terminated or _records.should_stop()

    def epochs(self, count: int, *, first: int = 1) -> "Iterator[int]":
        """Yields the numbers of the epochs from ``first``, ``count`` in all.

        Starts after the checkpoint if the attempt resumes from one. Ends early, after the body of
        the loop, when swath has asked the trial to end, and at the epoch up to which the scheduler
        wants it to train. While the loop runs, the first SIGTERM lets the epoch finish, and
        the second one ends the program.
        """
        start = first
        resume_step = self.resume_step
        if resume_step is not None:
            start = int(resume_step) + 1
        import signal

        handles_signal = self.id is not None and _is_main_thread()
        if handles_signal:
            previous = signal.signal(signal.SIGTERM, self._terminate)
        try:
            for epoch in range(start, first + count):
                if self.should_stop():
                    return
                yield epoch
                if self.until is not None and epoch >= self.until:
                    return
        finally:
            if handles_signal:
                signal.signal(signal.SIGTERM, previous)

    def _terminate(self, number: int, frame: Any) -> None:
        import signal

        self._is_terminated = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def save_checkpoint(self, state: Any, step: "float | int") -> None:
        """Saves a state that `load_checkpoint` returns in the next attempt.

        Written by ``torch.save`` if torch is imported, else by pickle. A crash leaves the previous
        checkpoint whole. By hand nothing is saved.
        """
        folder = self._checkpoint_dir
        if not folder or _records.rank():
            return
        os.makedirs(folder, exist_ok=True)
        torch = _imported("torch")
        extension = "pt" if torch is not None else "pkl"
        path = os.path.join(folder, f"step-{_text(step)}.{extension}")
        draft = f"{path}.{os.getpid()}.draft"
        try:
            with open(draft, "wb") as file:
                if torch is not None:
                    torch.save(state, file)
                else:
                    import pickle

                    pickle.dump(state, file, protocol=5)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            _remove(draft)
            raise
        _sync_folder(folder)
        _records._record({"kind": "checkpoint", "step": _plain_step(step)})
        for _, old in self._checkpoints()[:-_KEPT]:
            _remove(old)

    def load_checkpoint(self) -> Any:
        """Returns the state of the last checkpoint, or ``None`` if there is none.

        A checkpoint that cannot be read is skipped with a warning.
        """
        for step, path in reversed(self._checkpoints() if self._resumes else []):
            try:
                return _load(path)
            except Exception as error:
                _warn(f"the checkpoint of step {_text(step)} cannot be read: {error}")
        return None

    def _checkpoints(self) -> "list[tuple[float, str]]":
        """Returns the checkpoints of this module with their steps, the newest one last."""
        folder = self._checkpoint_dir
        found = []
        try:
            names = os.listdir(folder) if folder else []
        except OSError:
            names = []
        for name in names:
            stem, extension = os.path.splitext(name)
            if stem.startswith("step-") and extension in (".pt", ".pkl"):
                try:
                    found.append((_number(stem[len("step-") :]), os.path.join(folder, name)))
                except ValueError:
                    pass
        return sorted(found)

    def __repr__(self) -> str:
        if self.id is None:
            return "<swath.Trial: not started by swath>"
        return f"<swath.Trial {self.id} of {self.study}, attempt {self.attempt}>"


def _path(text: "str | None") -> "Path | None":
    if not text:
        return None
    from pathlib import Path

    return Path(text)


def _is_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _imported(name: str) -> Any:
    import sys

    return sys.modules.get(name)


def _plain_step(step: Any) -> "float | int":
    number = float(step)
    return int(number) if number.is_integer() else number


def _text(step: Any) -> str:
    return str(_plain_step(step))


def _load(path: str) -> Any:
    if path.endswith(".pt"):
        import torch

        # The file was written by an earlier attempt of this very trial.
        return torch.load(path, weights_only=False)
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


_trial: "Trial | None" = None


def trial() -> Trial:
    """Returns the trial that this process belongs to; the same object at every call."""
    global _trial
    if _trial is None:
        _trial = Trial()
    return _trial
