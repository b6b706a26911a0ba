"""Search spaces as Ray Tune writes them, turned into the space of a sweep file."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any, Callable, Iterable, Mapping, Sequence

from .._unsupported import Unsupported

# A constant whose name does not fit stays in Python; a searched parameter must have such a name.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")
_SCALARS = (bool, int, float, str)


class Domain:
    """A parameter that is searched. ``entry`` is its entry in a sweep file."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry

    def value(self, proposed: Any) -> Any:
        """Returns the value for the function from the one that the sampler proposed."""
        return proposed

    def proposed(self, value: Any) -> Any:
        """Returns what the sampler would propose for a value of the function."""
        return value

    def __repr__(self) -> str:
        return f"<tune domain {self.entry!r}>"


class Float(Domain):
    def value(self, proposed: Any) -> float:
        return float(proposed)


class Integer(Domain):
    def value(self, proposed: Any) -> int:
        return int(proposed)


class Categorical(Domain):
    """Choices of any type. Those that a sweep file cannot have are searched by labels."""

    def __init__(self, categories: Iterable[Any]) -> None:
        self.categories = list(categories)
        if not self.categories:
            raise ValueError("a choice needs at least one value")
        if any(_holds_domain(category) for category in self.categories):
            raise Unsupported(
                "a choice between values that are searched themselves is not supported",
                "search the inner parameters beside the choice, or give swath.optimize a space "
                "with `when`: {'min': 0.0, 'max': 1.0, 'when': \"optimizer == 'sgd'\"}",
            )
        self.labels = _labels(self.categories)
        super().__init__(self.labels)

    def value(self, proposed: Any) -> Any:
        for label, category in zip(self.labels, self.categories):
            if label == proposed:
                return category
        return proposed

    def proposed(self, value: Any) -> Any:
        for label, category in zip(self.labels, self.categories):
            if category is value or category == value:
                return label
        raise ValueError(f"{value!r} is none of the choices {self.categories!r}")


class Function(Domain):
    """A value that a function computes from the others when the trial starts."""

    def __init__(self, function: "Callable[[Any], Any]") -> None:
        super().__init__(None)
        self.function = function


def _labels(categories: "list[Any]") -> "list[Any]":
    """Returns the choices themselves if a sweep file can have them, and otherwise texts."""
    are_texts = all(isinstance(category, str) for category in categories)
    are_flags = all(isinstance(category, bool) for category in categories)
    are_numbers = all(_is_finite_number(category) for category in categories)
    if (are_texts or are_flags or are_numbers) and len(set(categories)) == len(categories):
        return categories
    texts = [getattr(category, "__name__", None) or str(category) for category in categories]
    if len(set(texts)) == len(texts) and all(0 < len(text) <= 60 for text in texts):
        return texts
    return [f"choice-{index}" for index in range(len(categories))]


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def uniform(lower: float, upper: float) -> Domain:
    """Returns a float, uniform between the bounds."""
    return Float({"min": float(lower), "max": float(upper)})


def quniform(lower: float, upper: float, q: float) -> Domain:
    """Returns a float, uniform on the grid of ``q`` that starts at ``lower``."""
    return Float({"min": float(lower), "max": float(upper), "step": float(q)})


def loguniform(lower: float, upper: float, base: float = 10) -> Domain:
    """Returns a float, uniform in the logarithm. The base has no effect on the distribution."""
    return Float({"min": float(lower), "max": float(upper), "log": True})


def qloguniform(lower: float, upper: float, q: float, base: float = 10) -> Domain:
    """Returns a float, uniform in the logarithm, on the grid of ``q`` that starts at ``lower``."""
    return Float({"min": float(lower), "max": float(upper), "step": float(q), "log": True})


def randn(mean: float = 0.0, sd: float = 1.0) -> Domain:
    """Returns a float with a normal distribution."""
    return Float({"mean": float(mean), "std": float(sd)})


def randint(lower: int, upper: int) -> Domain:
    """Returns an integer; ``upper`` is exclusive."""
    return Integer({"min": int(lower), "max": int(upper) - 1})


def lograndint(lower: int, upper: int, base: float = 10) -> Domain:
    """Returns an integer, uniform in the logarithm; ``upper`` is exclusive."""
    return Integer({"min": int(lower), "max": int(upper) - 1, "log": True})


def qrandint(lower: int, upper: int, q: int = 1) -> Domain:
    """Returns a multiple of ``q``; ``upper`` is inclusive unless ``q`` is 1."""
    if q == 1:
        return randint(lower, upper)
    return Integer({"min": int(lower), "max": int(upper), "step": int(q)})


def qlograndint(lower: int, upper: int, q: int = 1, base: float = 10) -> Domain:
    """Returns a multiple of ``q``, uniform in the logarithm; ``upper`` is inclusive."""
    if q == 1:
        return lograndint(lower, upper)
    return Integer({"min": int(lower), "max": int(upper), "step": int(q), "log": True})


def qrandn(mean: float, sd: float, q: float) -> Domain:
    """Not supported: raises `Unsupported`."""
    raise Unsupported(
        "a normal distribution on a grid is not supported",
        "use tune.randn(mean, sd), and round the value in the function",
    )


def choice(categories: "Sequence[Any]") -> Domain:
    """Returns one of the values, which may be of any type."""
    return Categorical(categories)


def grid_search(values: "Iterable[Any]") -> "dict[str, list]":
    """Says that each value is tried, in combination with those of all other grids."""
    return {"grid_search": list(values)}


def sample_from(function: "Callable[[Any], Any]") -> Domain:
    """Returns what the function computes from the other values: ``spec.config.lr``."""
    return Function(function)


class Spec(dict):
    """A configuration whose entries are also attributes, for the functions of `sample_from`."""

    def __getattr__(self, name: str) -> Any:
        if name == "config":
            return self
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(name) from None
        return Spec(value) if isinstance(value, Mapping) else value


def _is_grid(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"grid_search"}


def _holds_domain(value: Any) -> bool:
    if isinstance(value, Domain) or _is_grid(value):
        return True
    if isinstance(value, Mapping):
        return any(_holds_domain(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(_holds_domain(item) for item in value)


class Space:
    """A configuration of Ray Tune, taken apart.

    ``entries`` is the space of the sweep file: searched parameters, and constants that a sweep
    file can have. The levels of a nested dictionary are joined by dots.
    """

    def __init__(self, config: "Mapping[str, Any]") -> None:
        self.config = config
        self.entries: "dict[str, Any]" = {}
        self.domains: "dict[str, Domain]" = {}
        self.grids: "dict[str, Categorical]" = {}
        self._take(config, "")

    def _take(self, value: Any, name: str) -> None:
        if _is_grid(value):
            self.grids[name] = self.domains[name] = grid = Categorical(value["grid_search"])
            self.entries[name] = grid.entry
        elif isinstance(value, Function):
            self.domains[name] = value
        elif isinstance(value, Domain):
            self.domains[name], self.entries[name] = value, value.entry
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self._take(item, f"{name}.{key}" if name else str(key))
        elif isinstance(value, (list, tuple)) and _holds_domain(value):
            for index, item in enumerate(value):
                self._take(item, f"{name}.{index}")
        elif _is_foreign_domain(value):
            raise Unsupported(
                f"`{name}` is {value!r}, which comes from the package ray itself",
                "import tune from swath.compat.ray in this file, too",
            )
        elif isinstance(value, _SCALARS) and _NAME.match(name):
            if not isinstance(value, float) or math.isfinite(value):
                self.entries[name] = [value]

    def grid(self) -> "list[dict[str, Any]]":
        """Returns the combinations of all grids; a single empty one if there is no grid."""
        axes = [[(name, label) for label in grid.labels] for name, grid in self.grids.items()]
        return [dict(combination) for combination in itertools.product(*axes)]

    def point(self, config: "Mapping[str, Any]") -> "dict[str, Any]":
        """Returns the parameters of a configuration that is to be tried."""
        flat: "dict[str, Any]" = {}
        self._flatten(config, "", flat)
        unknown = [name for name in flat if name not in self.domains]
        if unknown:
            raise ValueError(f"the search space has no parameter `{unknown[0]}`")
        return {name: self.domains[name].proposed(value) for name, value in flat.items()}

    def _flatten(self, value: Any, name: str, flat: dict) -> None:
        if name not in self.domains and isinstance(value, Mapping):
            for key, item in value.items():
                # Ray's own form of a nested name has slashes.
                key = str(key).replace("/", ".")
                self._flatten(item, f"{name}.{key}" if name else key, flat)
        else:
            flat[name] = value

    def resolve(self, params: "Mapping[str, Any]") -> "dict[str, Any]":
        """Returns the configuration of a trial from its parameters."""
        config = self._resolved(self.config, "", params)
        for name, domain in self.domains.items():
            if isinstance(domain, Function):
                _set(config, name, domain.function(Spec(config)))
        return config

    def _resolved(self, value: Any, name: str, params: "Mapping[str, Any]") -> Any:
        domain = self.domains.get(name)
        if isinstance(domain, Function):
            return None
        if domain is not None:
            return domain.value(params[name])
        if isinstance(value, Mapping):
            return {
                key: self._resolved(item, f"{name}.{key}" if name else str(key), params)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)) and _holds_domain(value):
            return [
                self._resolved(item, f"{name}.{index}", params) for index, item in enumerate(value)
            ]
        return value


def _is_foreign_domain(value: Any) -> bool:
    return type(value).__module__.startswith("ray.tune")


def _set(config: Any, name: str, value: Any) -> None:
    """Sets the entry of a nested configuration that a name with dots stands for."""
    head, dot, rest = name.partition(".")
    key = int(head) if isinstance(config, list) else head
    if isinstance(config, dict) and name in config:
        config[name] = value
    elif dot:
        _set(config[key], rest, value)
    else:
        config[key] = value
