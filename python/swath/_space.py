"""Search spaces and sweeps as Python values, written as the TOML of a sweep file."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def sweep_text(
    *,
    name: str,
    space: "Mapping[str, Any]",
    metric: str = "value",
    goal: str = "min",
    trials: "int | None" = None,
    sampler: "str | None" = None,
    seed: "int | None" = None,
    scheduler: "str | Mapping[str, Any] | None" = None,
    tables: "Mapping[str, Any] | None" = None,
) -> str:
    """Returns a sweep file. ``tables`` has further tables and keys, as a sweep file names them.

    A table is merged with what the other arguments say, a list is an array of tables.
    """
    search: dict = {}
    if sampler is not None:
        search["sampler"] = sampler
    if trials is not None:
        search["trials"] = trials
    sweep: dict = {"name": name, "objective": {"metric": metric, "goal": goal}}
    if seed is not None:
        sweep["seed"] = seed
    if search:
        sweep["search"] = search
    if scheduler is not None:
        sweep["scheduler"] = {"name": scheduler} if isinstance(scheduler, str) else scheduler
    for table, content in (tables or {}).items():
        if isinstance(content, Mapping):
            content = {**sweep.get(table, {}), **content}
        sweep[table] = content
    sweep["space"] = {parameter: entry(parameter, value) for parameter, value in space.items()}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in sweep.items() if key != "space"]
    lines.append("[space]")
    lines.extend(f"{_key(key)} = {_value(value)}" for key, value in sweep["space"].items())
    return "\n".join(lines) + "\n"


def entry(name: str, value: Any) -> Any:
    """Returns a parameter as a sweep file has it.

    ``(low, high)`` is a range of integers if both are ``int``, else of floats; ``(low, high,
    "log")`` is logarithmic. A list holds the choices, a dictionary is an entry of a sweep file as it
    is, and any other value is fixed.
    """
    if isinstance(value, tuple):
        if len(value) not in (2, 3) or len(value) == 3 and value[2] != "log":
            raise ValueError(
                f'the range of `{name}` is {value!r}; write (low, high) or (low, high, "log")'
            )
        low, high = value[0], value[1]
        if not (type(low) is int and type(high) is int):
            low, high = float(low), float(high)
        result = {"min": low, "max": high}
        if len(value) == 3:
            result["log"] = True
        return result
    if isinstance(value, range):
        return {"min": value[0], "max": value[-1], "step": value.step}
    if isinstance(value, (list, dict)):
        return value
    return [value]


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else json.dumps(key)


def _value(value: Any) -> str:
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if value == value else "nan"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # A JSON string is a TOML string, but for the character 0x7F, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"a value of type {type(value).__name__} cannot be in a sweep file: {value!r}")
