"""MLXPy and MLXP: ``import swath.compat.mlxp as mlxp`` in place of ``import mlxp``.

`launch` gives the decorated function a context with the configuration and a logger. Under swath the
parameters of the trial replace values of the configuration, and the logger writes into the folder
of the trial, which MLXP's ``Reader`` reads. By hand metrics are printed, and nothing is saved.
"""

from __future__ import annotations

import functools
import os
import sys

from .. import _records, _trial
from . import _metrics, _saving
from ._config import Config, compose
from ._unsupported import attribute_error_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

__all__ = [
    "Artifact",
    "ConfigDict",
    "Context",
    "DefaultLogger",
    "InvalidArtifactError",
    "InvalidKeyError",
    "Logger",
    "MissingFieldError",
    "launch",
]

# Log names that MLXP keeps for itself. A report's file is that of swath.
_RESERVED_LOGS = ("info", "config", "mlxp", "mlxpy", "artifacts")
# The newest checkpoint of a name, and the one before it, which serves if the newest is unreadable.
_KEPT = 2


class InvalidKeyError(Exception):
    """The name of a log is one that MLXP keeps for itself."""


class InvalidArtifactError(Exception):
    """The type of an artifact is not registered, or cannot be found out."""


class MissingFieldError(Exception):
    """The configuration lacks a field that a setting needs."""


class Artifact:
    """An artifact of MLXPy 2023: subclass it with a method ``save_artifact(path)``.

    ``obj`` is the object, and ``ext`` the extension of its file.
    """

    def __init__(self, obj: Any = None, ext: str = "") -> None:
        self.obj = obj
        self.ext = ext

    def save_artifact(self, path: str) -> None:
        """Writes the object to a file."""
        _saving.pickle_to(self.obj, path)


def _save_numpy(item: Any, path: str) -> None:
    import numpy

    # An open file keeps its name; for a path numpy would append an extension.
    with open(path, "wb") as file:
        numpy.savez(file, **item)


def _load_numpy(path: str) -> Any:
    import numpy

    return numpy.load(path)


def _save_image(item: Any, path: str) -> None:
    item.savefig(path, bbox_inches="tight", format=os.path.splitext(path)[1][1:] or "png")


def _load_image(path: str) -> Any:
    import matplotlib.image

    return matplotlib.image.imread(path)


def _save_torch(item: Any, path: str) -> None:
    import torch

    torch.save(item, path)


def _load_torch(path: str) -> Any:
    import torch

    # The file was written by this very trial.
    return torch.load(path, weights_only=False)


class Logger:
    """Logs metrics, artifacts and checkpoints of the trial. ``ctx.logger`` is one.

    ``log_id`` is the number of the trial and ``log_dir`` its folder; by hand both are ``None``.
    """

    def __init__(self) -> None:
        trial = _trial.trial()
        folder = trial._dir
        self.log_id: "int | None" = trial.id
        self.log_dir: "str | None" = folder
        self.metrics_dir = os.path.join(folder, "metrics") if folder else None
        self.artifacts_dir = os.path.join(folder, "artifacts") if folder else None
        self.metadata_dir = os.path.join(folder, "metadata") if folder else None
        self._step: Any = None
        self._checkpoints_logged = 0
        self._own_checkpoints: "set[str]" = set()
        # The scheduler's decision to end the trial, and the log of the row that it is about.
        self._decision = "continue"
        self._deciding_log: "str | None" = None
        self._types: dict = {
            "pickle": (_saving.pickle_to, _saving.unpickle),
            "numpy": (_save_numpy, _load_numpy),
            "torch": (_save_torch, _load_torch),
            "image": (_save_image, _load_image),
        }

    def log_metrics(self, metrics_dict: "dict[str, Any]", log_name: str) -> None:
        """Appends a row to ``metrics/<log_name>.json`` in the folder of the trial.

        A row that has the objective is also reported, and the scheduler's decision is waited for.
        If the trial is to end, the program ends after its next checkpoint, or at the next row of
        this log.
        """
        if log_name in _RESERVED_LOGS:
            names = ", ".join(_RESERVED_LOGS)
            raise InvalidKeyError(f"`{log_name}` cannot be the name of a log; nor can {names}")
        # There was no checkpoint since the report that ended the trial. Rows of other logs may
        # belong to the same epoch, whose checkpoint is still to come.
        if log_name == self._deciding_log:
            self._end_if_told()
        values = {name: _plain(value) for name, value in metrics_dict.items()}
        step = _metrics.step_of(values)
        if step is not None:
            self._step = step
        decision = _metrics.record(values, log=log_name, wait=True)
        if decision != "continue":
            self._decision, self._deciding_log = decision, log_name

    def log_artifacts(self, artifact: Any, artifact_name: str, artifact_type: str) -> None:
        """Saves an object as ``artifacts/<artifact_type>/<artifact_name>`` of the trial.

        Types are ``pickle``, ``numpy`` (a dictionary of arrays), ``torch``, ``image`` (a figure of
        matplotlib), and those of `register_artifact_type`.
        """
        if isinstance(artifact, Artifact):
            return self.log_artifact(artifact, artifact_name)
        save, _ = self._type(artifact_type)
        self._save(artifact_type, artifact_name, lambda path: save(artifact, path))

    def log_artifact(self, artifact: Artifact, log_name: str) -> None:
        """Saves an artifact of MLXPy 2023 as ``artifacts/<class>/<log_name><extension>``."""
        name = log_name + artifact.ext
        self._save(type(artifact).__name__, name, artifact.save_artifact)

    def load_artifacts(
        self,
        artifact_name: str,
        artifact_type: "str | None" = None,
        root: "str | None" = None,
    ) -> Any:
        """Returns an artifact of this trial, or of the folder ``root`` of another one.

        Without ``artifact_type`` the type is that of the folder which has the file. Raises
        `InvalidArtifactError` if there is none, and ``FileNotFoundError`` if the file is missing.
        """
        root = root or self.log_dir
        if root is None:
            raise FileNotFoundError(f"there is no artifact `{artifact_name}` outside of a trial")
        if artifact_type is None:
            artifact_type = next(
                (
                    name
                    for name in self._types
                    if os.path.isfile(os.path.join(root, "artifacts", name, artifact_name))
                ),
                None,
            )
        if artifact_type is None:
            raise InvalidArtifactError(f"no folder of a known type has `{artifact_name}`")
        _, load = self._type(artifact_type)
        return load(os.path.join(root, "artifacts", artifact_type, artifact_name))

    def register_artifact_type(
        self, name: str, save: "Callable[[Any, str], None]", load: "Callable[[str], Any]"
    ) -> None:
        """Adds a type: ``save(object, path)`` writes a file, and ``load(path)`` reads it."""
        self._types.setdefault(name, (save, load))

    def log_checkpoint(self, checkpoint: Any, log_name: str = "checkpoint") -> None:
        """Saves a state that `load_checkpoint` returns in the next attempt of the trial.

        The file is pickled, and appears as ``artifacts/Checkpoint/<log_name>.pkl``. Its step is the
        ``step`` or ``epoch`` of the state, else that of the last row.
        """
        folder = os.environ.get("SWATH_CHECKPOINT_DIR")
        artifacts = _saving.folder("Checkpoint")
        if not folder or artifacts is None or _records.rank():
            return
        os.makedirs(folder, exist_ok=True)
        step = _metrics.step_of(checkpoint) if isinstance(checkpoint, dict) else None
        if step is None:
            step = self._step
        self._checkpoints_logged += 1
        if step is None:
            step = _metrics._first_step() + self._checkpoints_logged
        path = os.path.join(folder, f"{log_name}.step-{_trial._text(step)}.pkl")
        _saving.write_whole(path, lambda draft: _saving.pickle_to(checkpoint, draft))
        _trial._sync_folder(folder)
        self._own_checkpoints.add(path)
        _saving.write_whole(
            os.path.join(artifacts, f"{log_name}.pkl"), functools.partial(_link, path)
        )
        _records._record({"kind": "checkpoint", "step": _trial._plain_step(step)})
        for _, old in self._checkpoints(log_name)[:-_KEPT]:
            _trial._remove(old)
        self._end_if_told()

    def load_checkpoint(self, log_name: "str | None" = None, root: "str | None" = None) -> Any:
        """Returns the newest checkpoint; without ``log_name``, that of any name.

        Raises ``FileNotFoundError`` if there is none, as in the first attempt of a trial. With
        ``root``, the file ``<root>/<log_name>`` or ``<root>/<log_name>.pkl`` is read.
        """
        if root is not None:
            path = os.path.join(root, log_name or "checkpoint")
            return _saving.unpickle(path if os.path.isfile(path) else path + ".pkl")
        resumes = _trial.trial()._resumes
        for step, path in reversed(self._checkpoints(log_name)):
            # A file of an attempt from which this one does not resume is no checkpoint of it.
            if not resumes and path not in self._own_checkpoints:
                continue
            try:
                return _saving.unpickle(path)
            except Exception as error:
                text = f"the checkpoint of step {_trial._text(step)} cannot be read: {error}"
                _trial._warn(text)
        raise FileNotFoundError("the trial has no checkpoint")

    def _checkpoints(self, log_name: "str | None") -> "list[tuple[float, str]]":
        """Returns the steps and paths of checkpoints of a name, the newest one last."""
        folder = os.environ.get("SWATH_CHECKPOINT_DIR")
        found = []
        for name in os.listdir(folder) if folder and os.path.isdir(folder) else []:
            stem, separator, step = name[: -len(".pkl")].rpartition(".step-")
            is_ours = separator and name.endswith(".pkl") and not name.startswith(_saving.DRAFT)
            if is_ours and log_name in (None, stem, f"pickle/{stem}", f"Checkpoint/{stem}.pkl"):
                found.append((float(step), os.path.join(folder or "", name)))
        return sorted(found)

    def _type(self, name: str) -> tuple:
        if name not in self._types:
            raise InvalidArtifactError(
                f"there is no artifact type `{name}`; there are: {', '.join(self._types)}. "
                "`register_artifact_type` adds one"
            )
        return self._types[name]

    def _save(self, type: str, name: str, save: "Callable[[str], Any]") -> None:
        if _records.inside() and not _records.rank():
            _records._stored(type, name, lambda path: _saving.write_whole(path, save))

    def _end_if_told(self) -> None:
        """Ends the program if the scheduler has decided so. Its ``finally`` blocks run."""
        if self._decision != "continue":
            self._decision = "continue"
            raise SystemExit(0)


DefaultLogger = Logger
ConfigDict = Config


def _link(source: str, path: str) -> None:
    """Makes a second name of a file, or a copy where that is not possible."""
    try:
        os.link(source, path)
    except OSError:
        import shutil

        shutil.copyfile(source, path)


def _plain(value: Any) -> Any:
    try:
        return value if isinstance(value, (int, float, str)) else _records._plain(value)
    except TypeError:
        return value


class Context:
    """What the launched function gets: ``config``, ``mlxp``, ``info`` and ``logger``."""

    def __init__(self, config: Config, mlxp: Config, info: Config, logger: "Logger | None") -> None:
        self.config = config
        self.mlxp = mlxp
        self.info = info
        self.logger = logger


def launch(
    config_path: str = "configs", seeding_function: "Callable[[Any], None] | None" = None
) -> "Callable[[Callable[[Context], Any]], Callable[[], None]]":
    """Decorates a function of a `Context`; the result is called without arguments.

    ``config_path`` is the folder of ``config.yaml``, relative to the file of the function. Reading
    it needs PyYAML, or hydra-core if it has config groups or interpolations. Arguments such as
    ``optimizer.lr=0.1`` replace values, and so do the parameters of the trial.
    ``seeding_function`` is called with ``config.seed``; `MissingFieldError` if there is none.
    """

    def decorate(function: "Callable[[Context], Any]") -> "Callable[[], None]":
        @functools.wraps(function)
        def launched() -> None:
            here = os.path.dirname(os.path.abspath(function.__code__.co_filename))
            path = os.path.normpath(os.path.join(here, config_path))
            config, mlxp = compose(path, sys.argv[1:])
            logger = Logger() if mlxp.get("use_logger", True) else None
            if seeding_function is not None:
                if "seed" not in config:
                    raise MissingFieldError("a seeding function needs `seed` in config.yaml")
                seeding_function(config["seed"])
            info = Config(
                executable=sys.executable,
                current_file_path=os.path.abspath(function.__code__.co_filename),
                work_dir=os.getcwd(),
                process_id=os.getpid(),
                status="RUNNING",
            )
            if logger is not None:
                info["logger"] = Config(
                    log_id=logger.log_id,
                    log_dir=logger.log_dir,
                    metrics_dir=logger.metrics_dir,
                    metadata_dir=logger.metadata_dir,
                    artifacts_dir=logger.artifacts_dir,
                )
            function(Context(config, mlxp, info, logger))

        return launched

    return decorate


__getattr__ = attribute_error_with(
    __name__,
    {
        "Reader": "swath.read(study) reads a study; mlxp.Reader of MLXP itself reads logs/<study>",
        "DataFrame": "swath.read(study).pandas() returns a data frame",
        "GitVM": "`code` in [run] of the sweep file says which state of the code the trials run",
        "instantiate": "import the class, or use `instantiate` of MLXP or Hydra",
        "instance_from_dict": "import the class, or use `instantiate` of MLXP or Hydra",
    },
)
