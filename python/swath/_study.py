"""Ask and tell: a study whose trials this program runs."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import warnings
from typing import Any, Iterator, Mapping

from ._binary import binary
from ._errors import RequestError, StudyBusy, SweepError, SwathError
from ._records import SwathWarning, _plain
from ._trial import Params

# The exit codes of the binary; see docs/environment.md.
_UNUSABLE_SWEEP, _BUSY = 2, 5


class Offer:
    """A trial that was handed out: ``trial`` is its id, ``params`` its configuration.

    ``folder`` is the trial's folder, ``until`` the resource up to which the scheduler wants it to
    train, ``resume`` whether it continues from its checkpoint, and ``env`` the variables that make
    ``swath.log`` and its siblings record into this trial.
    """

    __slots__ = ("attempt", "env", "folder", "params", "resume", "seed", "trial", "until")

    def __init__(self, reply: dict) -> None:
        self.trial: int = reply["trial"]
        self.params = Params(reply["params"])
        self.seed: int = reply["seed"]
        self.attempt: int = reply.get("attempt", 1)
        self.until: "float | None" = reply.get("until")
        self.resume: bool = reply.get("resume", False)
        self.folder: "str | None" = reply.get("folder")
        self.env: "dict[str, str]" = reply.get("env", {})

    def __repr__(self) -> str:
        return f"<swath.Offer: trial {self.trial} {dict(self.params)!r}>"


class Study:
    """A study that is open for ask and tell.

    ``sweep`` is a sweep file, the text of one, or, with ``space``, the name of the study::

        with swath.Study("bowl", space={"x": (-1.0, 1.0)}, trials=50) as study:
            for offer in study:
                study.tell(offer, offer.params.x ** 2)
            print(study.best())

    Opening a study again continues it. One process at a time holds it; others may read it.

    Raises `SweepError` if the sweep is not accepted, and `StudyBusy` if another process holds the
    study.
    """

    def __init__(
        self,
        sweep: "str | os.PathLike[str]",
        *,
        space: "Mapping[str, Any] | None" = None,
        logs: "str | os.PathLike[str] | None" = None,
        jobs: int = 1,
        **options: Any,
    ) -> None:
        if space is not None:
            from ._space import sweep_text

            first: dict = {"sweep": sweep_text(name=os.fspath(sweep), space=space, **options)}
        elif options:
            raise TypeError(f"{next(iter(options))!r} is for a study with a `space`")
        elif isinstance(sweep, str) and "\n" in sweep:
            first = {"sweep": sweep}
        else:
            first = {"file": os.fspath(sweep)}
        command = [binary(), "ask-tell", "-", "--jobs", str(jobs)]
        if logs is not None:
            command += ["--logs", os.fspath(logs)]
        self._lock = threading.Lock()
        # Ctrl-C in a notebook or a terminal is for Python. The process ends with its input.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            opened = self._call(first)
        except BaseException:
            self.close()
            raise
        self.dir: str = opened["study"]
        self.name: str = os.path.basename(self.dir)
        for text in opened.get("warnings", ()):
            warnings.warn(text, SwathWarning, stacklevel=2)

    def _call(self, request: dict) -> dict:
        return self._calls(request, 1)[0]

    def _calls(self, request: dict, replies: int) -> "list[dict]":
        """Sends a request and reads its replies. Raises the error of a refusal."""
        line = json.dumps(request, default=_plain).encode() + b"\n"
        with self._lock:
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                raise self._ended() from None
            lines = []
            for _ in range(replies):
                text = self._process.stdout.readline()
                if not text:
                    raise self._ended()
                reply = json.loads(text)
                if "error" in reply:
                    raise self._error(reply["error"])
                lines.append(reply)
        return lines

    def _error(self, error: dict) -> SwathError:
        cause, cure = error.get("cause", ""), error.get("cure", "")
        if error.get("line"):
            return RequestError(cause, cure)
        self._process.stdin.close()
        status = self._process.wait()
        kind = {_UNUSABLE_SWEEP: SweepError, _BUSY: StudyBusy}.get(status, SwathError)
        return kind(cause, cure)

    def _ended(self) -> SwathError:
        status = self._process.wait()
        message = self._process.stderr.read().decode(errors="replace").strip()
        return SwathError(message or f"swath ended with status {status}")

    def ask(self) -> "Offer | None":
        """Returns the next trial, or ``None`` if there is none; `why` then says why."""
        offers = self.ask_many(1)
        return offers[0] if offers else None

    def ask_many(self, count: int) -> "list[Offer]":
        """Returns up to ``count`` trials to run at the same time."""
        replies = self._calls({"ask": count, "folder": True}, count)
        self.why: "str | None" = next((r.get("why") for r in replies if r["trial"] is None), None)
        return [Offer(reply) for reply in replies if reply["trial"] is not None]

    def report(
        self, trial: "Offer | int", values: "Mapping[str, Any] | float", step: Any = None
    ) -> str:
        """Reports values of a running trial and returns the scheduler's verdict.

        After ``"stop"`` and ``"pause"`` the trial has ended.
        """
        report: dict = {"trial": _id(trial)}
        report["values" if isinstance(values, Mapping) else "value"] = values
        if step is not None:
            report["step"] = step
        return self._call({"report": report})["verdict"]

    def tell(
        self,
        trial: "Offer | int",
        value: Any = None,
        *,
        state: "str | None" = None,
        why: "str | None" = None,
    ) -> str:
        """Ends a trial and returns its state.

        ``value`` is that of the objective, a list for several objectives, or a dictionary by name.
        ``state`` is ``"complete"``, ``"failed"``, ``"stopped"``, ``"invalid"``, whose configuration
        cannot work, or ``"waiting"``, which gives the trial back.
        """
        tell: dict = {"trial": _id(trial)}
        if value is not None:
            several = isinstance(value, (Mapping, list, tuple))
            tell["values" if several else "value"] = value
        if state is not None:
            tell["state"] = state
        elif value is None:
            tell["state"] = "complete"
        if why is not None:
            tell["why"] = why
        return self._call({"tell": tell})["state"]

    def add(self, params: "Mapping[str, Any]", *, again: bool = False) -> int:
        """Adds a configuration that is tried next, and returns the id of its trial.

        Missing parameters are drawn.
        """
        request: dict = {"add": dict(params)}
        if again:
            request["again"] = True
        return self._call(request)["trial"]

    def best(self) -> "dict | None":
        """Returns the best trial as a dictionary, or ``None``; its ``value`` is the objective."""
        rows = self.best_trials(1)
        return rows[0] if rows else None

    def best_trials(self, count: int) -> "list[dict]":
        """Returns the best trials; with several objectives those of the Pareto front."""
        rows = self._call({"best": count})["best"]
        for row in rows:
            values = list(row["objectives"].values())
            row["value"] = values[0] if len(values) == 1 else values
        return rows

    def open_trials(self) -> "list[int]":
        """Returns the ids of trials that were handed out and not told."""
        return self._call({"open": True})["open"]

    def read(self, **options: Any):
        """Returns the table of the study; see `swath.read`."""
        from ._read import read

        return read(self.dir, **options)

    def compare(self, *arguments: str) -> dict:
        """Returns the comparison of the trials, as ``swath compare --json`` gives it."""
        from ._read import query

        return query("compare", self.dir, *arguments)

    def show(self, height: int = 700, live: "bool | None" = None):
        """Shows the study's page in a notebook; elsewhere returns the path of the page.

        The page of an open study is live: ``swath ui`` serves it on this machine until the notebook
        ends. ``live=False`` shows the page of this moment, which is also the default where the
        browser is on another machine.
        """
        from . import _read

        if live is None:
            live = self._process.poll() is None and not _read.is_remote()
        if live and _read.is_notebook():
            return _read.live_page(self.dir, height)
        return _read.page(self.dir, height)

    def close(self) -> None:
        """Closes the study. Trials that were not told wait for the next time."""
        process = self._process
        for stream in (process.stdin, process.stdout, process.stderr):
            try:
                stream.close()
            except OSError:
                pass
        process.wait()

    def __iter__(self) -> "Iterator[Offer]":
        while True:
            offer = self.ask()
            if offer is None:
                return
            yield offer

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<swath.Study {self.name}>"


def _id(trial: "Offer | int") -> int:
    return trial.trial if isinstance(trial, Offer) else int(trial)
