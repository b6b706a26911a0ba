"""The error for what a module of another tool's names does not do."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from .._errors import SwathError


class Unsupported(SwathError, NotImplementedError):
    """A name or an option of another tool without a counterpart. ``cure`` says what to use."""


def attribute_error_for(module: str, reasons: "Mapping[str, tuple[str, str]]") -> Callable:
    """Returns the ``__getattr__`` of a module.

    ``reasons`` has the known names that the module lacks, each with its cause and its cure. They
    raise `Unsupported`, which ``from module import name`` passes on with its text; any other name
    is an `AttributeError`.
    """

    def __getattr__(name: str) -> Any:
        if name in reasons:
            raise Unsupported(*reasons[name])
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


def attribute_error_with(module: str, cures: "Mapping[str, str]") -> Callable:
    """Returns the ``__getattr__`` of a module that lacks the names in ``cures``."""
    return attribute_error_for(
        module, {name: (f"{module} has no `{name}`", cure) for name, cure in cures.items()}
    )


def refuse(options: "Mapping[str, Any]", reasons: "Mapping[str, tuple[str, str]]") -> None:
    """Raises for the first option that has a value.

    Raises `Unsupported` for an option in ``reasons`` and `TypeError` for any other name.
    """
    for name, value in options.items():
        if name not in reasons:
            raise TypeError(f"{name!r} is not the name of an option")
        if value is not None and value is not False:
            cause, cure = reasons[name]
            raise Unsupported(cause, cure)
