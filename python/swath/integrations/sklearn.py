"""scikit-learn: `SwathSearchCV`, in place of ``RandomizedSearchCV``."""

from __future__ import annotations

from typing import Any, Mapping

import numpy
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._optimize import optimize


def _has(name: str):
    def check(search: "SwathSearchCV") -> bool:
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return check


class SwathSearchCV(MetaEstimatorMixin, BaseEstimator):
    """Searches the parameters of an estimator by cross-validation.

    ``space`` is that of `swath.optimize`; names are those of ``estimator.set_params``, such as
    ``"svc__C"``. ``scheduler`` may end a candidate after some of its folds; each fold is one report
    with the mean score of the folds so far. Has the attributes of scikit-learn's searches:
    ``best_params_``, ``best_score_``, ``best_estimator_``, ``cv_results_``, and ``study_``.
    """

    def __init__(
        self,
        estimator: Any,
        space: "Mapping[str, Any]",
        *,
        n_iter: int = 30,
        scoring: Any = None,
        cv: Any = None,
        n_jobs: int = 1,
        refit: bool = True,
        sampler: "str | None" = None,
        scheduler: Any = None,
        random_state: "int | None" = None,
        name: "str | None" = None,
        logs: Any = None,
        progress: bool = False,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.n_iter = n_iter
        self.scoring = scoring
        self.cv = cv
        self.n_jobs = n_jobs
        self.refit = refit
        self.sampler = sampler
        self.scheduler = scheduler
        self.random_state = random_state
        self.name = name
        self.logs = logs
        self.progress = progress

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> "SwathSearchCV":
        from sklearn.utils import _safe_indexing

        scorer = check_scoring(self.estimator, self.scoring)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(cv.split(X, y))

        def objective(trial: Any) -> "dict[str, float]":
            scores: "list[float]" = []
            values: "dict[str, float]" = {}
            for fold, (train, test) in enumerate(splits):
                estimator = clone(self.estimator).set_params(**trial.params)
                target = None if y is None else _safe_indexing(y, train)
                estimator.fit(_safe_indexing(X, train), target, **fit_params)
                held_out = None if y is None else _safe_indexing(y, test)
                score = float(scorer(estimator, _safe_indexing(X, test), held_out))
                scores.append(score)
                values = {"mean_test_score": float(numpy.mean(scores))}
                values[f"split{fold}_test_score"] = score
                if trial.report({"fold": fold + 1, **values}) != "continue":
                    break
            return None

        name = self.name or type(self.estimator).__name__
        self.study_ = optimize(
            objective,
            self.space,
            trials=self.n_iter,
            jobs=self.n_jobs,
            name=name,
            metric="mean_test_score",
            goal="max",
            sampler=self.sampler,
            scheduler=self.scheduler,
            seed=self.random_state,
            logs=self.logs,
            progress=self.progress,
            # The score of a candidate is the mean of all its folds, not the luckiest prefix.
            objective={"take": "last"},
        )
        self.n_splits_ = len(splits)
        self.scorer_ = scorer
        self._read_results()
        if self.refit:
            self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_)
            self.best_estimator_.fit(X, y, **fit_params)
            if hasattr(self.best_estimator_, "classes_"):
                self.classes_ = self.best_estimator_.classes_
            if hasattr(self.best_estimator_, "n_features_in_"):
                self.n_features_in_ = self.best_estimator_.n_features_in_
        return self

    def _read_results(self) -> None:
        rows = self.study_.read().rows()
        results: "dict[str, Any]" = {"params": [row["params"] for row in rows]}
        names = list(dict.fromkeys(name for row in rows for name in row["params"]))
        for name in names:
            masked = [name not in row["params"] for row in rows]
            values = [row["params"].get(name) for row in rows]
            results[f"param_{name}"] = numpy.ma.MaskedArray(values, mask=masked, dtype=object)

        def last(row: dict, metric: str) -> float:
            entry = row["metrics"].get(metric)
            return float("nan") if entry is None else entry["last"]

        splits = numpy.array(
            [[last(row, f"split{i}_test_score") for row in rows] for i in range(self.n_splits_)]
        )
        for index, scores in enumerate(splits):
            results[f"split{index}_test_score"] = scores
        means = numpy.array([last(row, "mean_test_score") for row in rows])
        # A candidate that the scheduler ended has not seen all folds: its mean is not comparable.
        whole = ~numpy.isnan(splits).any(axis=0)
        means = numpy.where(whole, means, numpy.nan)
        results["mean_test_score"] = means
        results["std_test_score"] = numpy.where(whole, splits.std(axis=0), numpy.nan)
        order = numpy.argsort(numpy.where(numpy.isnan(means), numpy.inf, -means), kind="stable")
        ranks = numpy.empty(len(rows), dtype=numpy.int32)
        ranks[order] = numpy.arange(1, len(rows) + 1)
        results["rank_test_score"] = ranks
        self.cv_results_ = results
        self.best_index_ = int(order[0])
        self.best_params_ = results["params"][self.best_index_]
        self.best_score_ = float(means[self.best_index_])

    def _delegate(self, method: str, *arguments: Any) -> Any:
        check_is_fitted(self, "best_estimator_")
        return getattr(self.best_estimator_, method)(*arguments)

    @available_if(_has("predict"))
    def predict(self, X: Any) -> Any:
        return self._delegate("predict", X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        return self._delegate("predict_proba", X)

    @available_if(_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        return self._delegate("decision_function", X)

    @available_if(_has("transform"))
    def transform(self, X: Any) -> Any:
        return self._delegate("transform", X)

    def score(self, X: Any, y: Any = None) -> float:
        check_is_fitted(self, "best_estimator_")
        return float(self.scorer_(self.best_estimator_, X, y))
