"""Lets a script that logs to TensorBoard, W&B or Lightning's loggers report to swath.

Python imports this module at its start. It patches the libraries when the script imports them, so
that what is logged is also appended to `logged/LIBRARY.jsonl` in the trial's folder. Only the first
process of a trial is patched, and no error here reaches the script.
"""

import os
import sys


_HERE = os.path.dirname(os.path.abspath(__file__))


def _leave_environment():
    """Removes this module from the environment.

    Processes that the script starts are not patched, and have the environment of a run by hand.
    """
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in inherited if path and os.path.abspath(path) != _HERE]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    else:
        os.environ.pop("PYTHONPATH", None)


def _leave_path():
    """Removes this module from the paths of modules, and imports the one that it hides."""
    _leave_environment()
    sys.path[:] = [path for path in sys.path if not path or os.path.abspath(path) != _HERE]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)


class _Log:
    """Appends what is logged to the files of the trial."""

    def __init__(self, folder):
        self.folder = folder
        self.pid = os.getpid()
        self.files = {}
        # The logger that logged a name first. Another logger of the same values is left out.
        self.owners = {}
        self.inside = 0

    def point(self, library, name, value, step, at=None):
        value = _number(value)
        if value is None or not self._owns(library, name):
            return
        line = {"name": str(name), "value": value, "step": _step(step)}
        self._append(library, line, at)

    def row(self, library, logger, values, at=None):
        row = {}
        for name, value in values.items():
            value = _number(value)
            if value is not None and (name == "step" or self._owns(logger, name)):
                row[str(name)] = value
        if set(row) - {"step"}:
            self._append(library, {"row": row}, at)

    def _owns(self, logger, name):
        return self.owners.setdefault(str(name), logger) == logger

    def _append(self, library, line, at):
        import json
        import time

        # A process that was forked from the script is another worker.
        if os.getpid() != self.pid:
            return
        line["at"] = time.time() if at is None else float(at)
        file = self.files.get(library)
        if file is None:
            path = os.path.join(self.folder, library + ".jsonl")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            file = self.files[library] = os.open(path, flags, 0o666)
        os.write(file, (json.dumps(line) + "\n").encode())


def _number(value):
    """Returns a value as a number, a switch or a text; `None` for anything else."""
    if isinstance(value, (bool, int, float, str)):
        return value
    try:
        item = value.item() if hasattr(value, "item") else float(value)
    except Exception:
        return None
    return item if isinstance(item, (bool, int, float)) else None


def _step(step):
    step = _number(step)
    return step if isinstance(step, (int, float)) else 0


def _wrap(owner, name, after):
    """Calls `after` with the arguments of each call of a method, once the method has returned."""
    import functools

    method = getattr(owner, name, None)
    if method is None or getattr(method, "_swath", False):
        return

    @functools.wraps(method)
    def wrapper(*args, **kwargs):
        outer = _log.inside
        _log.inside += 1
        try:
            result = method(*args, **kwargs)
        finally:
            _log.inside = outer
        # A logger that calls another one is counted once.
        if outer == 0:
            try:
                after(*args, **kwargs)
            except Exception:
                pass
        return result

    wrapper._swath = True
    setattr(owner, name, wrapper)


def _patch_writer(module):
    writer = module.SummaryWriter

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, *_, **__):
        _log.point("tensorboard", tag, scalar_value, global_step, walltime)

    def add_scalars(self, main_tag, tag_scalar_dict, global_step=None, walltime=None, *_, **__):
        for tag, value in tag_scalar_dict.items():
            _log.point("tensorboard", main_tag + "/" + str(tag), value, global_step, walltime)

    _wrap(writer, "add_scalar", add_scalar)
    _wrap(writer, "add_scalars", add_scalars)


class _History:
    """Joins the values of a step of W&B, as `wandb.log` does."""

    def __init__(self):
        self.step = 0
        self.values = {}

    def log(self, data, step=None, commit=None, *_, **__):
        if step is not None and int(step) > self.step:
            self.commit(int(step))
        self.values.update(_flat("", data))
        if commit if commit is not None else step is None:
            self.commit(self.step + 1)

    def commit(self, following):
        values, self.values = self.values, {}
        if values:
            values.setdefault("step", self.step)
            _log.row("wandb", "wandb", values)
        self.step = following


def _flat(prefix, values):
    flat = {}
    for name, value in values.items():
        name = prefix + str(name)
        if isinstance(value, dict):
            flat.update(_flat(name + "/", value))
        else:
            flat[name] = value
    return flat


def _patch_wandb(module):
    import atexit

    histories = {}

    def log(self, *args, **kwargs):
        history = histories.get(id(self))
        if history is None:
            history = histories[id(self)] = _History()
            atexit.register(finish, self)
        history.log(*args, **kwargs)

    def finish(self, *_, **__):
        history = histories.pop(id(self), None)
        if history is not None:
            history.commit(history.step)

    _wrap(module.Run, "log", log)
    _wrap(module.Run, "finish", finish)


def _patch_lightning(name):
    def log_metrics(self, metrics, step=None, *_, **__):
        values = dict(metrics)
        prefix = getattr(self, "_prefix", "")
        if prefix:
            values = {prefix + "-" + str(key): value for key, value in values.items()}
        if step is not None:
            values["step"] = step
        _log.row("lightning", name, _flat("", values))

    def patch(module):
        _wrap(getattr(module, name), "log_metrics", log_metrics)

    return patch


_PATCHES = {
    "torch.utils.tensorboard.writer": _patch_writer,
    "tensorboardX.writer": _patch_writer,
    "wandb.sdk.wandb_run": _patch_wandb,
}
for _package in ("lightning.fabric", "lightning_fabric"):
    _PATCHES[_package + ".loggers.csv_logs"] = _patch_lightning("CSVLogger")
    _PATCHES[_package + ".loggers.tensorboard"] = _patch_lightning("TensorBoardLogger")
for _package in ("lightning.pytorch", "pytorch_lightning"):
    _PATCHES[_package + ".loggers.wandb"] = _patch_lightning("WandbLogger")
    _PATCHES[_package + ".loggers.comet"] = _patch_lightning("CometLogger")
    _PATCHES[_package + ".loggers.neptune"] = _patch_lightning("NeptuneLogger")


class _Finder:
    """Finds the modules that are patched, by the other finders."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        patch = _PATCHES.get(name)
        if patch is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is _Finder or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                _patch_after(spec, patch)
                return spec
        return None


def _patch_after(spec, patch):
    """Lets a module be patched once it was executed."""
    execute = getattr(spec.loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module):
        execute(module)
        try:
            patch(module)
        except Exception:
            pass

    try:
        spec.loader.exec_module = exec_module
    except AttributeError:
        pass


def _is_other_rank():
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"))
    return any(rank not in (None, "", "0") for rank in ranks)


def begin_trial():
    """Begins with the trial that the environment names.

    A process that is forked for a trial calls it, and has imported libraries before.
    """
    global _log
    try:
        _leave_environment()
        folder = os.path.join(os.environ.get("SWATH_TRIAL_DIR", ""), "logged")
        if not os.path.isdir(folder) or _is_other_rank():
            return
        _log = _Log(folder)
        sys.meta_path.insert(0, _Finder)
        for name, patch in _PATCHES.items():
            if name in sys.modules:
                patch(sys.modules[name])
    except Exception:
        pass


_own = sys.modules.get("sitecustomize")
try:
    _leave_path()
except Exception as _error:
    sys.stderr.write("sitecustomize: %s\n" % _error)
begin_trial()
# The host of a run, which forks a process for each trial, is in no trial itself.
if "SWATH_TRIAL_DIR" not in os.environ:
    sys.modules["_swath_hook"] = _own
