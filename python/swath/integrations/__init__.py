"""Callbacks for training libraries. Each module needs the library of its name.

Every callback reports the metrics of an iteration or epoch, waits for the scheduler's verdict on
them, and ends the training by the means of its library. In a script that was started by hand they
do nothing but print.
"""

from __future__ import annotations

from typing import Any

from .. import _records

# The name of the step in reports of libraries that count boosting rounds.
ITERATION = "iteration"


def number(value: Any) -> Any:
    """Returns a metric as a number, or ``None`` if it is none."""
    try:
        value = _records._plain(value) if not isinstance(value, (int, float)) else value
        return float(value)
    except (TypeError, ValueError):
        return None


def report(values: "dict[str, Any]", step_name: str, step: "int | float") -> bool:
    """Reports the metrics that are numbers. Returns whether the training is to end."""
    numbers = {name: number(value) for name, value in values.items()}
    record = {name: value for name, value in numbers.items() if value is not None}
    if not record:
        return _records.should_stop()
    verdict = _records.report({step_name: step, **record}, wait=_records.inside())
    return verdict != "continue"
