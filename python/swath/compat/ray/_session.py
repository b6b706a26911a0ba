"""The inside of a trial: reports, checkpoints and the context that a function of Ray Tune uses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from typing import Any, Callable, Iterator, Mapping

from ... import _records, _trial
from ..._errors import TrialPruned
from .._unsupported import Unsupported

ITERATION = "training_iteration"
# The configuration that the function got, in the trial's folder.
CONFIG_FILE = "config.json"
_CHECKPOINT = "checkpoint_"
# A checkpoint made from a dictionary is a folder with this file.
_DICTIONARY = "dictionary.pkl"


class EndOfTrial(BaseException):
    """Ends the function at a report. No `Exception`, so that a function does not catch it."""

    def __init__(self, is_finished: bool) -> None:
        super().__init__("the trial has ended")
        self.is_finished = is_finished


class Checkpoint:
    """A folder with the state of a training."""

    def __init__(self, path: "str | os.PathLike[str]") -> None:
        self.path = os.fspath(path)

    @classmethod
    def from_directory(cls, path: "str | os.PathLike[str]") -> "Checkpoint":
        """Returns a checkpoint of a folder. A report with it copies the folder."""
        return cls(path)

    @classmethod
    def from_dict(cls, data: "Mapping[str, Any]") -> "Checkpoint":
        """Returns a checkpoint of a dictionary, which pickle stores."""
        import pickle

        folder = tempfile.mkdtemp(prefix="checkpoint-")
        with open(os.path.join(folder, _DICTIONARY), "wb") as file:
            pickle.dump(dict(data), file, protocol=4)
        checkpoint = cls(folder)
        checkpoint._is_temporary = True
        return checkpoint

    # Whether a report may delete the folder after it has copied it.
    _is_temporary = False

    def to_dict(self) -> "dict[str, Any]":
        """Returns the dictionary of `from_dict`. Read only checkpoints that you trust."""
        import pickle

        with open(os.path.join(self.path, _DICTIONARY), "rb") as file:
            return pickle.load(file)

    def to_directory(self, path: "str | os.PathLike[str] | None" = None) -> str:
        """Copies the files into a folder, by default a new temporary one, and returns its path."""
        path = os.fspath(path) if path is not None else tempfile.mkdtemp(prefix="checkpoint-")
        shutil.copytree(self.path, path, dirs_exist_ok=True)
        return path

    @contextlib.contextmanager
    def as_directory(self) -> "Iterator[str]":
        """Gives the path of the folder for reading."""
        yield self.path

    def get_metadata(self) -> "dict[str, Any]":
        """Returns the metadata that `set_metadata` stored; empty if there is none."""
        try:
            with open(os.path.join(self.path, ".metadata.json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}

    def set_metadata(self, metadata: "Mapping[str, Any]") -> None:
        """Stores metadata beside the files of the checkpoint."""
        with open(os.path.join(self.path, ".metadata.json"), "w", encoding="utf-8") as file:
            json.dump(dict(metadata), file)

    def update_metadata(self, metadata: "Mapping[str, Any]") -> None:
        """Adds to the metadata."""
        self.set_metadata({**self.get_metadata(), **metadata})

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Checkpoint) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Checkpoint(filesystem=local, path={self.path})"


def checkpoints_in(folder: str) -> "list[tuple[int, Checkpoint]]":
    """Returns the checkpoints of a trial with their iterations, the newest one last."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    numbers = sorted(
        int(name[len(_CHECKPOINT) :])
        for name in names
        if name.startswith(_CHECKPOINT) and name[len(_CHECKPOINT) :].isdigit()
    )
    return [(number, Checkpoint(_checkpoint_path(folder, number))) for number in numbers]


def _checkpoint_path(folder: str, iteration: int) -> str:
    return os.path.join(folder, f"{_CHECKPOINT}{iteration:06d}")


class Session:
    """What the running function belongs to: its trial, its configuration, its stop criterion.

    ``stop`` gets the trial's id and a result, and says whether the trial ends. ``kept`` is the
    number of checkpoints that stay, ``None`` for all.
    """

    def __init__(
        self,
        trial: Any,
        config: "dict[str, Any]",
        *,
        metric: "str | None" = None,
        experiment: "str | None" = None,
        resources: "Mapping[str, Any] | None" = None,
        stop: "Callable[[str, dict], bool] | None" = None,
        kept: "int | None" = None,
        score: "tuple[str, str] | None" = None,
    ) -> None:
        self.trial, self.config, self.stop = trial, config, stop
        self.metric, self.experiment, self.resources = metric, experiment, resources
        self.kept, self.score = kept, score
        self.folder: "str | None" = os.environ.get("SWATH_TRIAL_DIR")
        self.iteration = 0
        self.begun = time.monotonic()
        self.scores: "dict[int, float]" = {}

    def report(self, metrics: "Mapping[str, Any]", checkpoint: "Checkpoint | None") -> None:
        self.iteration = int(metrics.get(ITERATION, self.iteration + 1))
        record, details = flat(metrics)
        record[ITERATION] = self.iteration
        record.setdefault("time_total_s", round(time.monotonic() - self.begun, 6))
        if "model_path" in record:
            record["model_path"] = path = _records._relative(os.fspath(record["model_path"]))
            _records.model(path, step=self.iteration)
        if checkpoint is not None:
            self._store(checkpoint, record)
        if details:
            _records.output(details)
        # The study takes in the lines of this trial at each report.
        _records.flush()
        verdict = self.trial.report(record)
        if verdict != "continue":
            raise EndOfTrial(is_finished=False)
        if record.get("done") is True or self.stop is not None and self._is_at_end(record):
            raise EndOfTrial(is_finished=True)

    def _is_at_end(self, record: "dict[str, Any]") -> bool:
        return self.stop(str(self.trial.id), {**record, "config": self.config})

    def _store(self, checkpoint: Checkpoint, record: "dict[str, Any]") -> None:
        """Copies a checkpoint into the trial's folder, and deletes those that need not stay."""
        if self.folder is None:
            return
        path = _checkpoint_path(self.folder, self.iteration)
        draft = f"{path}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(checkpoint.path, draft)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(draft, path)
        if checkpoint._is_temporary:
            shutil.rmtree(checkpoint.path, ignore_errors=True)
        if self.score is not None:
            name, order = self.score
            value = float(record[name])
            self.scores[self.iteration] = value if order == "max" else -value
        if self.kept is None:
            return
        stored = checkpoints_in(self.folder)
        # The newest one stays in any case: the trial continues from it.
        old = [number for number, _ in stored[:-1]]
        old.sort(key=lambda number: self.scores.get(number, float(number)))
        for number in old[: max(len(stored) - self.kept, 0)]:
            shutil.rmtree(_checkpoint_path(self.folder, number), ignore_errors=True)

    def latest_checkpoint(self) -> "Checkpoint | None":
        stored = checkpoints_in(self.folder) if self.folder else []
        if not stored:
            return None
        if self.iteration == 0:
            # The function continues the count of the attempt that wrote the checkpoint.
            self.iteration = stored[-1][0]
        return stored[-1][1]


_session: "Session | None" = None


def flat(metrics: "Mapping[str, Any]", prefix: str = "") -> "tuple[dict, dict]":
    """Returns the values of a report by names joined with slashes, and the lists among them."""
    record: "dict[str, Any]" = {}
    details: "dict[str, Any]" = {}
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            inner, inner_details = flat(value, f"{name}/")
            record.update(inner)
            details.update(inner_details)
            continue
        if value is None:
            continue
        if not isinstance(value, (bool, int, float, str)):
            try:
                value = _records._plain(value)
            except TypeError:
                value = str(value)
        (details if isinstance(value, list) else record)[name] = value
    return record, details


def report(
    metrics: "Mapping[str, Any] | None" = None,
    *,
    checkpoint: "Checkpoint | None" = None,
    checkpoint_dir_name: "str | None" = None,
    **named: Any,
) -> None:
    """Reports metrics of one iteration, and a checkpoint that was saved with it.

    ``training_iteration`` counts the reports. ``model_path`` names a model that was saved with this
    report. The function ends here if the scheduler or the stop criterion ends the trial.

    By hand, the report is printed.
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        named = {"_metric": metrics, **named}
        metrics = None
    metrics = {**(metrics or {}), **named}
    if _session is not None:
        _session.report(metrics, checkpoint)
        return
    record, details = flat(metrics)
    if details:
        _records.output(details)
    # A script that `swath run` started ends in the usual way.
    if _records.report(record, wait=_records.inside()) != "continue":
        raise SystemExit(0)


def get_checkpoint() -> "Checkpoint | None":
    """Returns the checkpoint from which the trial continues, or ``None`` at its beginning."""
    return _session.latest_checkpoint() if _session is not None else None


@contextlib.contextmanager
def checkpoint_dir(step: int) -> "Iterator[str]":
    """Gives a folder for the files of a checkpoint, as Ray Tune 1 did."""
    folder = _session.folder if _session is not None else None
    if folder is None:
        with tempfile.TemporaryDirectory() as path:
            yield path
        return
    path = _checkpoint_path(folder, int(step))
    os.makedirs(path, exist_ok=True)
    yield path


class Context:
    """The trial of the running function. By hand its values are ``None``."""

    def get_trial_id(self) -> "str | None":
        """Returns the number of the trial as a text."""
        trial = _trial.trial().id
        return None if trial is None else str(trial)

    def get_trial_name(self) -> "str | None":
        """Returns the name of the study and the number of the trial."""
        trial = self.get_trial_id()
        return None if trial is None else f"{self.get_experiment_name()}_{trial}"

    def get_trial_dir(self) -> "str | None":
        """Returns the folder of the trial."""
        return os.environ.get("SWATH_TRIAL_DIR")

    def get_experiment_name(self) -> "str | None":
        """Returns the name of the study."""
        return os.environ.get("SWATH_STUDY")

    def get_trial_resources(self) -> "Mapping[str, Any]":
        """Returns the resources that the call of ``tune`` named."""
        return dict((_session.resources if _session else None) or {"cpu": 1})

    def get_metadata(self) -> "dict[str, Any]":
        return {}

    def get_storage(self) -> Any:
        raise Unsupported(
            "a study has no storage context", "write into tune.get_context().get_trial_dir()"
        )

    def get_world_rank(self) -> int:
        """Returns 0: a trial of a function is one process."""
        return 0

    get_local_rank = get_node_rank = get_world_rank

    def get_world_size(self) -> int:
        """Returns 1: a trial of a function is one process."""
        return 1

    get_local_world_size = get_world_size


def get_context() -> Context:
    """Returns the context of the running function."""
    return Context()


def get_trial_id() -> "str | None":
    """Returns the number of the trial as a text."""
    return Context().get_trial_id()


def get_trial_name() -> "str | None":
    """Returns the name of the study and the number of the trial."""
    return Context().get_trial_name()


def get_trial_dir() -> "str | None":
    """Returns the folder of the trial."""
    return Context().get_trial_dir()


def get_experiment_name() -> "str | None":
    """Returns the name of the study."""
    return Context().get_experiment_name()


def get_trial_resources() -> "Mapping[str, Any]":
    """Returns the resources that the call of ``tune`` named."""
    return Context().get_trial_resources()


def get_world_rank() -> int:
    """Returns 0: a trial of a function is one process."""
    return 0


def get_world_size() -> int:
    """Returns 1: a trial of a function is one process."""
    return 1


def is_session_enabled() -> bool:
    """Returns whether this is the process of a trial."""
    return _session is not None


class Trainable:
    """A training as a class: ``setup`` once, and ``step`` for each iteration, until the end."""

    def __init__(self, config: "dict[str, Any] | None" = None) -> None:
        self.config = dict(config or {})
        self.iteration = 0

    @property
    def training_iteration(self) -> int:
        return self.iteration

    @property
    def trial_id(self) -> "str | None":
        return get_trial_id()

    @property
    def logdir(self) -> "str | None":
        return get_trial_dir()

    def setup(self, config: "dict[str, Any]") -> None:
        """Prepares the training. Override it."""

    def step(self) -> "dict[str, Any]":
        """Does one iteration and returns its metrics. Override it."""
        raise NotImplementedError("a Trainable needs a method `step`")

    def save_checkpoint(self, checkpoint_dir: str) -> Any:
        """Saves the state into a folder, or returns it as a dictionary."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Restores what `save_checkpoint` saved or returned."""

    def cleanup(self) -> None:
        """Called at the end of the trial."""

    stop = cleanup


def call_class(kind: type, config: "dict[str, Any]", frequency: int, at_end: bool) -> None:
    """Runs a trial of a `Trainable`. A checkpoint is saved every ``frequency`` iterations."""
    training = kind(config)
    training.setup(config)
    stored = get_checkpoint()
    if stored is not None:
        is_dictionary = os.path.exists(os.path.join(stored.path, _DICTIONARY))
        training.load_checkpoint(stored.to_dict() if is_dictionary else stored.path)
        training.iteration = _session.iteration
    try:
        while True:
            metrics = training.step()
            training.iteration += 1
            is_due = frequency > 0 and training.iteration % frequency == 0
            is_due = is_due or at_end and bool(metrics.get("done"))
            report(metrics, checkpoint=_saved(training) if is_due else None)
    finally:
        training.cleanup()


def _saved(training: Trainable) -> "Checkpoint | None":
    folder = tempfile.mkdtemp(prefix="checkpoint-")
    state = training.save_checkpoint(folder)
    if isinstance(state, Mapping):
        shutil.rmtree(folder, ignore_errors=True)
        return Checkpoint.from_dict(state)
    checkpoint = Checkpoint(folder)
    checkpoint._is_temporary = True
    return checkpoint


def run_trainable(trainable: Any, session: Session, frequency: int, at_end: bool) -> None:
    """Calls the function or class of a trial until it returns or the trial has ended.

    Raises `TrialPruned` if the scheduler ended the trial.
    """
    global _session
    _session = session
    try:
        if isinstance(trainable, type):
            call_class(trainable, session.config, frequency, at_end)
            return
        result = trainable(session.config)
        if hasattr(result, "__next__"):
            for metrics in result:
                report(metrics)
        elif isinstance(result, Mapping):
            report(result)
        elif result is not None:
            report({session.metric or "_metric": result})
    except EndOfTrial as end:
        if not end.is_finished:
            raise TrialPruned from None
    finally:
        _session = None
