"""The error for names of another tool that a module here has no counterpart of."""

from __future__ import annotations

from .._errors import SwathError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping


def getattr_of(module: str, cures: "Mapping[str, str]") -> "Callable[[str], Any]":
    """Returns the ``__getattr__`` of a module that lacks the names in ``cures``.

    Such a name raises `SwathError` with what to use instead, also in ``from module import name``.
    """

    def missing(name: str) -> Any:
        if name in cures:
            raise SwathError(f"{module} has no `{name}`", cures[name])
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return missing
