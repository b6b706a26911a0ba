"""The class from which trackers of one's own derive, and what its methods are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ._trial import Params

# The log of the reports, which are in the journal as well.
REPORTS = "report"
# Errors of an HTTP service that may pass.
_BUSY = (408, 429, 502, 503, 504)


class Study:
    """The study that a tracker follows.

    ``dir`` is its folder, ``objectives`` a list of ``{"metric", "goal", "take"}``, ``parameters``
    the names of its parameters, and ``header`` the whole header of the journal.
    """

    def __init__(self, folder: Path, header: dict) -> None:
        self.dir = folder
        self._change(header)

    def _change(self, header: dict) -> None:
        """Takes the header of a journal, or the one after an edit of the sweep file."""
        self.header = header
        self.id: "str | None" = header.get("id")
        self.name: str = header["name"]
        self.pipeline: str = header["pipeline"]
        self.stage: str = header["stage"]
        self.seed: int = header["seed"]
        self.objectives: "list[dict]" = header["objectives"]
        self.parameters: "list[str]" = header["params"]
        self.resource: "str | None" = header.get("resource")

    def __repr__(self) -> str:
        return f"<swath.tracker.Study {self.name}>"


class Trial:
    """A trial as a tracker sees it. The same object in all calls about the trial.

    ``params`` is its configuration, ``found`` the parameters it recorded itself, ``values`` the
    last value of every reported key (that of the largest step), ``outputs`` its final results, ``models`` its models with the
    facts about them, ``artifacts`` and ``datasets`` the records about these.

    ``state`` is ``waiting``, ``running``, ``paused``, ``complete``, ``stopped``, ``failed`` or
    ``invalid``; ``exit`` says in words how the last attempt ended. ``resumes`` says whether the
    attempt goes on from a checkpoint; if not, what earlier attempts reported no longer counts.
    """

    def __init__(self, event: dict, folder: Path) -> None:
        self.id: int = event["trial"]
        self.params = Params(event["params"])
        self.seed: int = event["seed"]
        self.dir = folder
        self.attempt = 0
        self.resumes = False
        self.state = "waiting"
        self.exit: "str | None" = None
        self.usage: "dict[str, float]" = {}
        self.verdict: "str | None" = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forgets what earlier attempts recorded."""
        self.first_attempt = self.attempt
        self.values: "dict[str, Any]" = {}
        self.found: "dict[str, Any]" = {}
        self.outputs: "dict[str, Any]" = {}
        self.models: "list[dict]" = []
        self.artifacts: "list[dict]" = []
        self.datasets: "list[dict]" = []
        self._axis: Any = None
        self._reports = 0
        self._last_steps: Any = None
        self._finite: "set[str]" = set()
        self._invalid: "str | None" = None

    def __repr__(self) -> str:
        return f"<swath.tracker.Trial {self.id}, {self.state}>"


class Row(dict):
    """The values of one report, or of one row of metrics, by name.

    ``log`` is ``"report"`` for a report. For metrics it is the name of their log, such as
    ``train``; rows of worker 1 and above have ``worker_1/train``. ``step`` is the position on the
    trial's axis, ``at`` the time in seconds since 1970. ``batch``, ``context`` and ``rank`` are
    those of a metric row. ``key`` is unique in the study, and the same if the row comes again.
    """

    log = REPORTS
    step: "float | int | None" = None
    batch: "float | int | None" = None
    context: "str | None" = None
    rank = 0
    at: "float | None" = None
    key = ""

    @property
    def is_report(self) -> bool:
        """Whether the trial reported these values; otherwise they are metrics."""
        return self.log == REPORTS


class Tracker:
    """The base of a tracker. Override what you need; every method does nothing by default::

        class Mine(swath.Tracker):
            def init(self): self.file = open(self.dir / "values.txt", "a")
            def log(self, trial, step, values): print(trial.id, step, values, file=self.file)
            def close(self): self.file.close()

    The sweep file names it::

        [[tracker]]
        name = "program"
        command = ["python3", "-m", "swath.tracker", "mine:Mine"]

    ``study`` is the study, ``trials`` its trials by id, ``dir`` the folder for files of the
    tracker, and ``options`` holds the words ``key=value`` that follow ``mine:Mine`` in the command.
    """

    #: The rows of metrics that `log` gets: ``"batch"``, ``"epoch"``, or a number. ``log_freq`` of
    #: the sweep file has precedence.
    log_freq: "str | int" = "batch"
    #: The ranks of the workers whose rows `log` gets: a rank, a list of them, or -1 for all.
    #: ``log_on_workers`` of the sweep file has precedence.
    log_on_workers: "int | list[int]" = -1
    #: Whether each report and row comes once. If not, everything comes again from the beginning
    #: whenever a run starts, for a tracker that writes its files anew.
    once = True

    study: Study
    trials: "dict[int, Trial]"
    dir: Path
    options: "dict[str, str]"
    #: Whether an earlier process of this tracker delivered something.
    is_resumed = False

    def init(self) -> None:
        """Is called once, before all others, when the process starts."""

    def start(self, trial: Trial) -> None:
        """Is called when an attempt of a trial starts.

        Unless ``trial.resumes``, what its earlier attempts reported no longer counts.
        """

    def log(self, trial: Trial, step: "float | int | None", values: Row) -> None:
        """Is called for each report at once, and for each row of metrics at the attempt's end."""

    def param(self, trial: Trial, name: str, value: Any) -> None:
        """Is called for a parameter that the trial itself recorded. See also ``trial.params``."""

    def model(self, trial: Trial, model: dict) -> None:
        """Is called for each version of a model; ``model["model_path"]`` is its path.

        Facts about the model are in ``trial.models`` by the end of the attempt.
        """

    def artifact(self, trial: Trial, artifact: dict) -> None:
        """Is called for a stored file; ``artifact["path"]`` is relative to ``trial.dir``."""

    def dataset(self, trial: Trial, dataset: dict) -> None:
        """Is called for a data set that the trial read; ``dataset["data_dir"]`` is its path."""

    def output(self, trial: Trial, name: str, value: Any) -> None:
        """Is called for a final result."""

    def note(self, trial: Trial, text: str) -> None:
        """Is called for a note."""

    def end(self, trial: Trial) -> None:
        """Is called when an attempt has ended, and when a paused trial is given up."""

    def event(self, entry: dict) -> None:
        """Is called for every line of the journal, before the methods that it causes."""

    def flush(self) -> None:
        """Is called when the input is idle, and before `close`: the place to send or commit.

        What was told since the last call that returned comes again after a crash.
        """

    def close(self) -> None:
        """Is called at the end of the run."""

    def is_away(self, error: BaseException) -> bool:
        """Returns whether an error means that a service is away, and may pass.

        Such a call is repeated, with pauses of up to 30 s.
        """
        if isinstance(error, (ConnectionError, TimeoutError)):
            return True
        socket = sys.modules.get("socket")
        # A class of its own before Python 3.10.
        if socket is not None and isinstance(error, socket.timeout):
            return True
        urllib = sys.modules.get("urllib.error")
        if urllib is not None and isinstance(error, urllib.HTTPError):
            return error.code in _BUSY
        if urllib is not None and isinstance(error, urllib.URLError):
            return not isinstance(error.reason, Exception) or self.is_away(error.reason)
        requests = sys.modules.get("requests")
        return requests is not None and isinstance(
            error, (requests.ConnectionError, requests.Timeout)
        )
