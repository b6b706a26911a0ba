"""The configuration of a sweep of W&B, turned into that of a study."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping

from ._unsupported import Unsupported
from .ray._space import Categorical

# The number of rows with the metric of a sweep, which `early_terminate` counts.
ITERATION = "iteration"


class Plan:
    """The configuration of a sweep as that of a study."""

    def __init__(self, config: "Mapping[str, Any]") -> None:
        methods = {"random": "random", "grid": "grid", "bayes": "auto"}
        method = config.get("method")
        if method not in methods:
            raise ValueError(f"the method is {method!r}; it can be random, grid or bayes")
        self.sampler = methods[method]
        metric = dict(config.get("metric") or {})
        self.metric: "str | None" = metric.get("name")
        self.goal = "max" if metric.get("goal") == "maximize" or not self.metric else "min"
        self.objective: "dict[str, Any]" = {"take": "last"}
        if "target" in metric:
            self.objective["target"] = metric["target"]
        if not self.metric and method == "bayes":
            raise ValueError("the method bayes needs a metric: {'name': …, 'goal': 'minimize'}")
        parameters = config.get("parameters")
        if not parameters:
            raise ValueError("the sweep has no parameters")
        self.space: "dict[str, Any]" = {}
        # Functions that give the values of choices that a sweep file cannot have.
        self.decode: "dict[str, Callable[[Any], Any]]" = {}
        self._take(parameters, "")
        self.scheduler = _early_termination(config.get("early_terminate"), self.metric)

    def _take(self, parameters: "Mapping[str, Any]", prefix: str) -> None:
        for name, described in parameters.items():
            name = f"{prefix}{name}"
            if not isinstance(described, Mapping):
                raise ValueError(f"`{name}` is {described!r}; write {{'value': …}} or a range")
            if "parameters" in described:
                self._take(described["parameters"], f"{name}.")
                continue
            entry, domain = _entry(name, described)
            self.space[name] = entry
            if domain is not None:
                self.decode[name] = domain.value


def _entry(name: str, described: "Mapping[str, Any]") -> "tuple[Any, Any]":
    """Returns the entry of a parameter in a sweep file, and the choices it stands for."""
    kind = described.get("distribution")
    if "value" in described or "values" in described:
        values = list(described["values"]) if "values" in described else [described["value"]]
        choices = Categorical(values)
        entry: Any = choices.entry
        if described.get("probabilities"):
            entry = {"choice": entry, "weights": list(described["probabilities"])}
        return entry, choices
    if kind in ("normal", "q_normal") and "q" not in described:
        mean, deviation = described.get("mu", 0), described.get("sigma", 1)
        return {"mean": float(mean), "std": float(deviation)}, None
    if "min" not in described or "max" not in described:
        raise Unsupported(
            f"`{name}` has the distribution {kind!r}, which is not supported with these keys",
            "give `values`, `value`, or `min` and `max`",
        )
    low, high = described["min"], described["max"]
    return _range(name, kind, low, high, described.get("q")), None


def _range(name: str, kind: "str | None", low: Any, high: Any, step: Any) -> "dict[str, Any]":
    are_integers = isinstance(low, int) and isinstance(high, int)
    if kind is None:
        kind = "int_uniform" if are_integers else "uniform"
    if kind == "int_uniform":
        return {"min": int(low), "max": int(high)}
    quantized = kind.startswith("q_")
    shape = kind[2:] if quantized else kind
    if shape not in ("uniform", "log_uniform", "log_uniform_values"):
        raise Unsupported(
            f"`{name}` has the distribution {kind!r}, which is not supported",
            "use uniform, log_uniform_values, normal, or `values`",
        )
    if shape == "log_uniform":
        # The bounds are exponents of e.
        low, high = math.exp(low), math.exp(high)
    entry: "dict[str, Any]" = {"min": float(low), "max": float(high)}
    if shape != "uniform":
        entry["log"] = True
    if quantized:
        entry["step"] = float(step if step is not None else 1)
    return entry


# The lowest rung of a sweep without `max_iter`, times eta to the power of this, is far enough that
# no run gets there.
_RUNGS = 8


def _early_termination(table: "Mapping[str, Any] | None", metric: "str | None") -> "dict | None":
    """Returns the scheduler for the early termination of a sweep."""
    if not table:
        return None
    if table.get("type") != "hyperband":
        raise ValueError(f"the type of early_terminate is {table.get('type')!r}; it is hyperband")
    if metric is None:
        raise ValueError("early_terminate needs the metric that it compares")
    reduction = int(table.get("eta", 3))
    if "max_iter" in table:
        highest = int(table["max_iter"])
        lowest = max(highest // reduction ** int(table.get("s", 2)), 1)
    elif "min_iter" in table:
        lowest = int(table["min_iter"])
        highest = lowest * reduction**_RUNGS
    else:
        raise ValueError("early_terminate needs min_iter, or max_iter and s")
    return {
        "name": "asha",
        "resource": ITERATION,
        "min": lowest,
        "max": highest,
        "reduction": reduction,
    }
