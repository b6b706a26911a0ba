"""The search algorithms of Ray Tune as samplers."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .._unsupported import Unsupported


class Searcher:
    """A search algorithm. ``sampler`` is the one of the sweep file."""

    sampler = "auto"
    max_concurrent: "int | None" = None

    def __init__(
        self,
        space: "Mapping[str, Any] | None" = None,
        metric: "str | None" = None,
        mode: "str | None" = None,
        points_to_evaluate: "Sequence[Mapping[str, Any]] | None" = None,
        seed: "int | None" = None,
        random_state_seed: "int | None" = None,
        **options: Any,
    ) -> None:
        if isinstance(metric, (list, tuple)):
            raise Unsupported(
                "a search with several metrics is not supported by these names",
                "give swath.Study a sweep file with several [[objective]] tables",
            )
        if callable(space):
            raise Unsupported(
                "a space that a function suggests is not supported here",
                "give the function itself to swath.optimize, which calls it to find the space",
            )
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise Unsupported(
                f"{type(self).__name__} has no option {given[0]!r} here: "
                f"the sampler `{self.sampler}` of swath takes its place",
                "leave the option out",
            )
        self.space, self.metric, self.mode = space, metric, mode
        self.points = list(points_to_evaluate or [])
        self.seed = seed if seed is not None else random_state_seed


class BasicVariantGenerator(Searcher):
    """Random draws, and the grids of `grid_search`."""

    sampler = "random"

    def __init__(
        self,
        points_to_evaluate: "Sequence[Mapping[str, Any]] | None" = None,
        constant_grid_search: bool = False,
        max_concurrent: int = 0,
        random_state: "int | None" = None,
    ) -> None:
        if constant_grid_search:
            raise Unsupported(
                "constant_grid_search is not supported: each combination has draws of its own",
                "leave it out",
            )
        seed = random_state if isinstance(random_state, int) else None
        super().__init__(points_to_evaluate=points_to_evaluate, seed=seed)
        self.max_concurrent = max_concurrent or None


class OptunaSearch(Searcher):
    """The sampler ``tpe``."""

    sampler = "tpe"


class HyperOptSearch(Searcher):
    """The sampler ``tpe``."""

    sampler = "tpe"


class TuneBOHB(Searcher):
    """The sampler ``tpe``, for the scheduler ``hyperband``."""

    sampler = "tpe"


class BayesOptSearch(Searcher):
    """The sampler ``gp``."""

    sampler = "gp"


class AxSearch(Searcher):
    """The sampler ``gp``."""

    sampler = "gp"


class HEBOSearch(Searcher):
    """The sampler ``auto``."""


class NevergradSearch(Searcher):
    """The sampler ``auto``."""


class ConcurrencyLimiter(Searcher):
    """Limits the number of trials at a time."""

    def __init__(self, searcher: Searcher, max_concurrent: int, batch: bool = False) -> None:
        if batch:
            raise Unsupported(
                "batches are not supported: a trial starts when another one ends",
                "leave `batch` out",
            )
        super().__init__(searcher.space, searcher.metric, searcher.mode, searcher.points)
        self.seed, self.sampler = searcher.seed, searcher.sampler
        self.max_concurrent = int(max_concurrent)


_PROGRAM = "write the algorithm as a program in any language: docs/search-programs.md"
REASONS: "Mapping[str, tuple[str, str]]" = {
    "Repeater": (
        "repeated trials are not supported by these names",
        "use [replicate] of a sweep file, which runs each configuration with several seeds",
    ),
    "ZOOptSearch": ("ZOOpt is not supported", "use OptunaSearch or BayesOptSearch"),
}

_NAMES = {
    "random": BasicVariantGenerator,
    "variant_generator": BasicVariantGenerator,
    "optuna": OptunaSearch,
    "hyperopt": HyperOptSearch,
    "bohb": TuneBOHB,
    "bayesopt": BayesOptSearch,
    "ax": AxSearch,
    "hebo": HEBOSearch,
    "nevergrad": NevergradSearch,
}


def create_searcher(search_alg: str, **options: Any) -> Searcher:
    """Returns the search algorithm of a name, as Ray Tune names it."""
    if search_alg not in _NAMES:
        raise ValueError(f"the search algorithm is {search_alg!r}; it can be {', '.join(_NAMES)}")
    return _NAMES[search_alg](**options)


def searcher_of(search_alg: Any) -> Searcher:
    """Returns a search algorithm from what a call names."""
    if search_alg is None:
        return BasicVariantGenerator()
    if isinstance(search_alg, str):
        return create_searcher(search_alg)
    if isinstance(search_alg, Searcher):
        return search_alg
    raise Unsupported(
        f"{type(search_alg).__name__} is not one of swath.compat.ray.tune.search",
        f"import the algorithm from there, or {_PROGRAM}",
    )
