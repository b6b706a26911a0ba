"""Callbacks against the real libraries, each skipped where its library is not installed."""

import math

import pytest
import swath


def data():
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(0)
    X = random.normal(size=(300, 8))
    y = (X[:, 0] + X[:, 1] ** 2 + 0.1 * random.normal(size=300) > 1).astype(int)
    return X, y


ASHA = """
[objective]
metric = "{metric}"
goal = "min"
[scheduler]
name = "asha"
resource = "{resource}"
min = 1
max = 9
[search]
sampler = "random"
trials = 6
[space]
lr = {{ min = 0.01, max = 0.5 }}
"""


def steps(folder, script, metric, resource):
    """Runs the script under ASHA, and returns the last step of each trial."""
    pytest.importorskip("numpy")
    folder.script("import numpy\n" + DATA + script)
    trials = folder.run(ASHA.format(metric=metric, resource=resource))
    assert all(trial["state"] in ("complete", "stopped", "paused") for trial in trials)
    return sorted(trial["step"] for trial in trials)


DATA = """
random = numpy.random.default_rng(0)
X = random.normal(size=(300, 8))
y = (X[:, 0] + X[:, 1] ** 2 + 0.1 * random.normal(size=300) > 1).astype(int)
import swath
p = swath.params(lr=0.1)
"""


def test_lightgbm_stops_where_asha_says(folder):
    pytest.importorskip("lightgbm")
    found = steps(folder, """
import lightgbm
from swath.integrations.lightgbm import SwathCallback
train = lightgbm.Dataset(X[:200], y[:200])
lightgbm.train({"objective": "binary", "learning_rate": p.lr, "verbose": -1}, train, 9,
    valid_sets=[lightgbm.Dataset(X[200:], y[200:], reference=train)], valid_names=["val"],
    callbacks=[SwathCallback()])
""", "val_binary_logloss", "iteration")
    assert found[0] == 1 and found[-1] == 9


def test_xgboost_stops_where_asha_says(folder):
    pytest.importorskip("xgboost")
    found = steps(folder, """
import xgboost
from swath.integrations.xgboost import SwathCallback
train, val = xgboost.DMatrix(X[:200], y[:200]), xgboost.DMatrix(X[200:], y[200:])
xgboost.train({"objective": "binary:logistic", "eta": p.lr}, train, 9,
    evals=[(val, "val")], callbacks=[SwathCallback()], verbose_eval=False)
""", "val_logloss", "iteration")
    assert found[0] == 1 and found[-1] == 9


def test_catboost_stops_where_asha_says(folder):
    pytest.importorskip("catboost")
    found = steps(folder, """
import catboost
from swath.integrations.catboost import SwathCallback
model = catboost.CatBoostClassifier(iterations=9, learning_rate=p.lr, verbose=False,
    allow_writing_files=False)
model.fit(X[:200], y[:200], eval_set=(X[200:], y[200:]), callbacks=[SwathCallback()])
""", "validation_Logloss", "iteration")
    assert found[0] == 1 and found[-1] == 9


def test_keras_stops_where_asha_says(folder, monkeypatch):
    pytest.importorskip("keras")
    pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    found = steps(folder, """
import keras
from swath.integrations.keras import SwathCallback
model = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.Adam(p.lr), loss="mse")
model.fit(X[:200], y[:200], validation_data=(X[200:], y[200:]), epochs=9, verbose=0,
    callbacks=[SwathCallback()])
""", "val_loss", "epoch")
    assert found[0] == 1 and found[-1] == 9


def test_the_search_of_sklearn_is_a_search_of_sklearn(folder):
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from swath.integrations.sklearn import SwathSearchCV

    X, y = data()
    space = {"svc__C": (1e-2, 1e2, "log"), "svc__kernel": ["linear", "rbf"]}
    search = SwathSearchCV(
        make_pipeline(StandardScaler(), SVC()), space, n_iter=12, cv=3, n_jobs=2, name="svm"
    )
    search.fit(X, y)
    results = search.cv_results_
    assert len(results["params"]) == 12 and results["rank_test_score"].min() == 1
    assert search.best_score_ == pytest.approx(results["mean_test_score"].max())
    means = sum(results[f"split{i}_test_score"] for i in range(3)) / 3
    assert means == pytest.approx(results["mean_test_score"])
    assert search.best_params_["svc__kernel"] == "rbf"
    assert search.score(X, y) > 0.85 and set(search.predict(X)) <= {0, 1}


def test_a_pruned_trial_of_optuna_code_is_stopped(folder):
    optuna = pytest.importorskip("optuna")

    def function(trial):
        x = trial.suggest_float("x", 0.0, 1.0)
        for step in range(1, 10):
            trial.report(x + 1 / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return x

    scheduler = {"name": "asha", "resource": "step", "min": 1, "max": 9}
    swath.optimize(function, name="f", trials=9, scheduler=scheduler, progress=False)
    assert {trial["state"] for trial in folder.trials("f")} <= {"complete", "stopped", "paused"}
