"""The outside: ask and tell, functions, reading."""

import math
import os
import time

import pytest
import swath


def bowl(x, y):
    return (x - 1) ** 2 + y**2


SPACE = {"x": (-2.0, 2.0), "y": (-2.0, 2.0)}


def test_a_study_asks_and_tells(folder):
    with swath.Study("bowl", space=SPACE, trials=30) as study:
        for offer in study:
            study.tell(offer, bowl(**offer.params))
        assert study.why == "finished"
        assert study.best()["value"] < 0.5
    assert len(folder.trials("bowl")) == 30


def test_a_study_continues_where_it_was_left(folder):
    with swath.Study("bowl", space=SPACE, trials=4) as study:
        left = study.ask()
        study.tell(study.ask(), 1.0)
    with swath.Study("bowl", space=SPACE, trials=4) as study:
        again = study.ask()
        assert (again.trial, again.params, again.attempt) == (left.trial, left.params, 2)


def test_mistakes_are_exceptions_with_the_text_of_swath(folder):
    with pytest.raises(swath.SweepError, match="the range of `x` is empty"):
        swath.Study("s", space={"x": (1.0, 0.0)})
    with swath.Study("s", space=SPACE) as study:
        with pytest.raises(swath.RequestError, match="trial 7 does not exist"):
            study.tell(7, 1.0)
        with pytest.raises(swath.StudyBusy):
            swath.Study("s", space=SPACE)
        assert study.ask().trial == 1
    with pytest.raises(swath.SwathError, match="no study"):
        swath.read("nothing").rows()


def test_a_sweep_file_and_its_text_are_the_same(folder):
    text = 'name = "f"\nobjective = { metric = "v", goal = "max" }\n[space]\nx = [1, 2]\n'
    with swath.Study(text) as study:
        study.tell(study.ask(), 1.0)
    (folder.path / "f.toml").write_text(text)
    with swath.Study("f.toml") as study:
        assert study.best()["value"] == 1.0


def test_a_client_records_into_the_folder_of_its_trial(folder):
    with swath.Study("s", space=SPACE) as study:
        offer = study.ask()
        with open(offer.env["SWATH_RECORDS"], "a") as records:
            records.write('{"kind": "note", "text": "from the client"}\n')
            records.write('{"kind": "metric", "loss": 0.5, "step": 1}\n')
        study.tell(offer, 1.0)
    [trial] = folder.trials("s")
    assert {"note": {"text": "from the client"}} in trial["records"]
    assert (folder.path / "logs/s/1/metrics/metrics.json").exists()


def test_a_function_is_tuned_in_processes_of_its_own(folder):
    pids = folder.path / "pids"

    def function(x, y):
        with open(pids, "a") as file:
            file.write(f"{os.getpid()}\n")
        return bowl(x, y)

    found = swath.optimize(function, SPACE, trials=25, jobs=2, progress=False)
    assert found.best_value < 0.3 and len(found.read().rows()) == 25
    assert len(set(pids.read_text().split())) == 25
    again = swath.optimize(function, SPACE, trials=25, jobs=2, progress=False)
    assert again.best == found.best and len(pids.read_text().split()) == 25


def test_a_function_logs_prints_and_stores(folder):
    def function(trial):
        print("hello from", trial.id)
        for step in range(3):
            swath.log(loss=step, step=step)
        swath.note("noted")
        return trial.params.x

    swath.optimize(function, {"x": (0.0, 1.0)}, name="f", trials=2, progress=False)
    assert (folder.path / "logs/f/1/stdout.log").read_text() == "hello from 1\n"
    assert len((folder.path / "logs/f/2/metrics/metrics.json").read_text().splitlines()) == 3
    assert {"note": {"text": "noted"}} in folder.trials("f")[0]["records"]


def test_a_scheduler_ends_trials_at_their_reports(folder):
    def function(trial):
        for epoch in range(1, 10):
            trial.report(epoch=epoch, value=trial.params.x + 1 / epoch)
            if trial.should_prune():
                raise swath.TrialPruned

    scheduler = {"name": "asha", "resource": "epoch", "min": 1, "max": 9}
    swath.optimize(
        function, {"x": (0.0, 1.0)}, name="f", trials=12, scheduler=scheduler, progress=False
    )
    steps = [trial["step"] for trial in folder.trials("f")]
    assert min(steps) == 1 and max(steps) == 9


def test_a_trial_that_takes_too_long_or_dies_is_failed(folder):
    def function(trial):
        if trial.id == 1:
            time.sleep(60)
        if trial.id == 2:
            os.abort()
        return trial.params.x

    begun = time.monotonic()
    swath.optimize(
        function, {"x": (0.0, 1.0)}, name="f", trials=4, trial_timeout=1.0, progress=False
    )
    assert time.monotonic() - begun < 30
    one, two, three, four = folder.trials("f")
    assert one["state"] == "failed" and "longer than 1 s" in one["exit"]
    assert two["state"] == "failed" and "signal 6" in two["exit"]
    assert three["state"] == four["state"] == "complete"


def test_a_function_that_always_fails_shows_its_traceback(folder):
    with pytest.raises(swath.SwathError, match="ZeroDivisionError") as caught:
        swath.optimize(lambda x: 1 / 0, {"x": (0.0, 1.0)}, name="f", trials=50, progress=False)
    assert "Traceback" in str(caught.value)
    assert len(folder.trials("f")) == 3


def test_suggestions_of_optuna_become_a_space_with_conditions(folder):
    def function(trial):
        kind = trial.suggest_categorical("kind", ["sgd", "adam"])
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        momentum = trial.suggest_float("momentum", 0.0, 0.9) if kind == "sgd" else 0.0
        layers = trial.suggest_int("layers", 1, 3)
        return lr + momentum + layers

    swath.optimize(function, name="f", trials=20, progress=False)
    for trial in folder.trials("f"):
        params = trial["params"]
        assert ("momentum" in params) == (params["kind"] == "sgd")
        assert 1e-4 <= params["lr"] <= 1e-1 and params["layers"] in (1, 2, 3)


def test_a_suggestion_that_no_choice_explains_is_an_error_that_teaches(folder):
    def function(trial):
        x = trial.suggest_float("x", 0.0, 1.0)
        a = trial.suggest_categorical("a", [1, 2])
        b = trial.suggest_categorical("b", [1, 2])
        if a + b == 3:
            trial.suggest_float("c", 0.0, 1.0)
        return x

    with pytest.raises(swath.SwathError, match="no single choice decides"):
        swath.optimize(function, name="f", trials=3, progress=False)


def test_a_study_is_read_as_frames_of_pandas_polars_and_arrow(folder):
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))

    def function(trial):
        for epoch in range(1, 4):
            trial.report(epoch=epoch, value=trial.params.x / epoch)

    swath.optimize(function, {"x": (0.1, 1.0)}, name="f", trials=5, progress=False)
    table = swath.read("logs/f")
    for frame in (table.pandas(), table.polars().to_pandas(), table.arrow().to_pandas()):
        assert list(frame["trial_id"]) == [1, 2, 3, 4, 5]
        assert frame["value"].tolist() == pytest.approx((frame["param.x"] / 3).tolist())
    assert len(swath.read("logs/f", long=True).pandas()) == 15
    assert len(swath.read("logs/f", where="trial <= 2").rows()) == 2


def test_the_page_and_the_comparison_are_there(folder):
    found = swath.optimize(bowl, SPACE, trials=4, progress=False)
    assert os.path.getsize(found.show()) > 10_000
    assert found.compare()["metric"] == "value"
    assert "best" in found._repr_html_()


def test_an_invalid_configuration_is_no_failure_and_ends_the_call(folder):
    def function(trial):
        if trial.params.x < 0.5:
            swath.invalid("x is too small")
        return trial.params.x

    swath.optimize(function, {"x": (0.0, 1.0)}, name="f", trials=8, progress=False)
    trials = folder.trials("f")
    invalid = [trial for trial in trials if trial["params"]["x"] < 0.5]
    assert invalid and all(trial["state"] == "invalid" for trial in invalid)
    assert all("x is too small" in trial["exit"] for trial in invalid)
    assert sum(trial["state"] == "complete" for trial in trials) == len(trials) - len(invalid)


def test_a_study_says_what_it_shows(folder):
    with swath.Study("bowl", space={**SPACE, "kind": ["a", "b"]}, trials=40, sampler="random") as study:
        for offer in study:
            p = offer.params
            study.tell(offer, bowl(p.x, p.y) + (20.0 if p.kind == "b" else 0.0))
        insights = study.insights()
        best = study.best()
    assert insights.study == "bowl" and 0 < insights.level < 1
    assert insights[0].kind == "best" and insights[0].trials[0] == best["trial"]
    (choice,) = insights.of("choice")
    assert (choice.numbers["better"], choice.numbers["worse"]) == ("a", "b")
    assert choice.numbers["low"] <= choice.numbers["lead"] <= choice.numbers["high"]
    assert 10.0 < choice.numbers["lead"] < 40.0
    assert str(choice) == choice.text in str(insights)
    assert f"<li>{choice.text}" in insights._repr_html_()
    some = swath.read("bowl", where="kind == 'a'").insights()
    assert not some.of("choice") and some[0].numbers["value"] == insights[0].numbers["value"]
