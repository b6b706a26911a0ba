"""Callbacks for training libraries. Each module needs the library of its name.

Every callback reports the metrics of an iteration or epoch, waits for the scheduler's verdict on
them, and ends the training by the means of its library. In a script that was started by hand they
do nothing but print.
"""

from __future__ import annotations

import sys
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


def report_from_rank_0(values: "dict[str, Any]", step_name: str, step: "int | float") -> bool:
    """Reports from rank 0 of ``torch.distributed``, and returns its decision in every rank.

    One rank that ends alone would let the others wait for it for ever. All ranks must call this.
    """
    torch = sys.modules.get("torch")
    distributed = torch.distributed if torch is not None else None
    if (
        distributed is None
        or not distributed.is_available()
        or not distributed.is_initialized()
        or distributed.get_world_size() == 1
    ):
        return report(values, step_name, step)
    decision = [distributed.get_rank() == 0 and report(values, step_name, step)]
    distributed.broadcast_object_list(decision, src=0)
    return decision[0]
