"""Exceptions. Their text is that of the binary."""

from __future__ import annotations


class SwathError(Exception):
    """An error of swath. ``cure`` says what to do; it may be empty."""

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(f"{cause}\n  help: {cure}" if cure else cause)
        self.cause = cause
        self.cure = cure


class SweepError(SwathError, ValueError):
    """The sweep file or the search space is not accepted."""


class StudyBusy(SwathError):
    """Another process runs the study."""


class RequestError(SwathError, ValueError):
    """A request to a study was refused. The study is unchanged and can be used further."""


class TrialPruned(Exception):
    """The scheduler ended the trial. Raise it, or let it pass: the trial counts as stopped."""


class TrialInvalid(SystemExit):
    """The trial's configuration cannot work, as ``swath.invalid`` said. Ends the program."""


class TrialTimeout(SwathError):
    """A trial took longer than its time limit."""
