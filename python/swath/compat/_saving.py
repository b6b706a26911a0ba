"""Models and other objects of scripts that were written for other loggers, saved as files."""

from __future__ import annotations

import os
import sys

from .. import _records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


# The beginning of the names of files that are being written.
DRAFT = ".draft-"


def folder(*names: str) -> "str | None":
    """Returns a folder among the artifacts of the trial and makes it; ``None`` by hand.

    swath takes models only from within the working directory. If the folder of the trial lies
    elsewhere, the folder is one in ``.swath`` of the working directory.
    """
    root = os.environ.get("SWATH_TRIAL_DIR")
    if not root or not _records.inside():
        return None
    if os.path.isabs(_records._relative(root)):
        study, trial = os.environ.get("SWATH_STUDY") or "study", os.path.basename(root.rstrip("/"))
        root = os.path.join(os.getcwd(), ".swath", study, trial)
    path = os.path.join(root, "artifacts", *names)
    os.makedirs(path, exist_ok=True)
    return path


def write_whole(path: str, save: "Callable[[str], Any]") -> None:
    """Lets ``save`` write a file, which appears under its name when it is complete."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    # The extension stays at the end: libraries derive the format from it.
    draft = os.path.join(folder, f"{DRAFT}{os.getpid()}-{name}")
    try:
        save(draft)
        if not os.path.exists(draft):
            # Some libraries append an extension of their own to a name without one.
            beside = (os.path.join(folder, other) for other in os.listdir(folder))
            draft = next((other for other in beside if other.startswith(draft + ".")), draft)
        os.replace(draft, path)
    except BaseException:
        try:
            os.unlink(draft)
        except OSError:
            pass
        raise


def is_torch_module(model: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def facts(model: Any) -> dict:
    """Returns the framework of a model, and its parameters and memory in bytes if it has them."""
    if is_torch_module(model):
        tensors = list(model.parameters())
        return {
            "framework": "torch",
            "type": type(model).__name__,
            "parameters": sum(tensor.numel() for tensor in tensors),
            "memory": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        }
    found: dict = {"framework": type(model).__module__.partition(".")[0]}
    if found["framework"] in ("builtins", "__main__"):
        del found["framework"]
    found["type"] = type(model).__name__
    count = getattr(model, "count_params", None)
    if callable(count):
        found["parameters"] = int(count())
    return found


def save_object(item: Any, path: str, *, state_only: bool = False) -> str:
    """Saves an object under ``path`` with the extension of its format, and returns the whole path.

    A module of PyTorch becomes ``.pth``, with ``state_only`` its state dictionary only. Every other
    object is pickled, with dill if it is installed and pickle cannot.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(item, (torch.nn.Module, torch.Tensor)):
        state = item.state_dict() if state_only and is_torch_module(item) else item
        write_whole(path + ".pth", lambda draft: torch.save(state, draft))
        return path + ".pth"
    write_whole(path + ".pkl", lambda draft: pickle_to(item, draft))
    return path + ".pkl"


def pickle_to(item: Any, path: str) -> None:
    """Pickles an object, and waits until it is on the disk."""
    import pickle

    try:
        data = pickle.dumps(item)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        try:
            import dill
        except ImportError:
            raise error from None
        data = dill.dumps(item)
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def unpickle(path: str) -> Any:
    """Returns a pickled object, also of dill."""
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


_warned: set = set()


def warn_once(text: str) -> None:
    """Warns on standard error, and in a trial in its records; once for each text."""
    if text in _warned:
        return
    _warned.add(text)
    from .._trial import _warn

    _warn(text)
