"""The inside of a trial: parameters, reports, metrics, checkpoints; and the same by hand."""

import json
import os
import subprocess
import sys
import textwrap
import time


def test_defaults_hold_by_hand_and_the_space_wins_in_a_trial(folder, one_trial):
    folder.script("""
        import swath
        p = swath.params(lr=5.0, layers=2)
        swath.report(loss=p.lr, layers=p["layers"])
    """)
    by_hand = folder.python()
    assert by_hand.stdout == "loss=5 layers=2\n"
    [trial] = folder.run(one_trial)
    assert trial["objectives"]["loss"] == trial["params"]["lr"] < 1
    assert trial["metrics"]["layers"]["last"] == 2


def test_a_parameter_that_is_never_read_is_named(folder, one_trial):
    folder.script("""
        import swath
        p = swath.params(lr=2)
        swath.report(loss=1)
    """)
    [trial] = folder.run(one_trial)
    notes = [r["note"]["text"] for r in trial["records"] if "note" in r]
    assert notes == [
        "warning: the parameter `lr` was never read, so it had no effect in this trial"
    ]


def test_a_default_that_is_no_parameter_of_the_sweep_is_named(folder, one_trial):
    folder.script("""
        import swath
        p = swath.params(learning_rat=5.0)
        swath.report(loss=p["learning_rate"])
    """)
    [trial] = folder.run(one_trial.replace("lr =", "learning_rate ="))
    notes = [r["note"]["text"] for r in trial["records"] if "note" in r]
    assert notes == [
        "warning: `learning_rat` is no parameter of the sweep, so its default holds in every "
        "trial; did you mean `learning_rate`?"
    ]


def test_the_default_of_a_parameter_whose_condition_does_not_hold_is_no_mistake(folder, one_trial):
    folder.script("""
        import swath
        p = swath.params(momentum=0.9, decay=0.1, optimizer="adam", lr=0.1, beta=0.9)
        swath.report(loss=p.lr, a=p.momentum, b=p.decay, c=p.beta, d=len(p.optimizer))
    """)
    # One of the two conditions holds.
    space = one_trial + textwrap.dedent("""
        optimizer = ["sgd", "adam"]
        momentum = { min = 0.1, max = 0.9, when = "optimizer == 'sgd'" }
        decay = { min = 0.1, max = 0.9, when = "optimizer == 'adam'" }
    """)
    [trial] = folder.run(space)
    assert len(trial["params"]) == 3
    notes = [r["note"]["text"] for r in trial["records"] if "note" in r]
    assert notes == [
        "warning: `beta` is no parameter of the sweep, so its default holds in every trial"
    ]
    # After an edit of the sweep file its new list counts.
    beta = "beta = { min = 0.1, max = 0.9, when = \"optimizer == 'rmsprop'\" }\n"
    edited = space.replace("trials = 1", "trials = 2").replace('"adam"]', '"adam", "rmsprop"]')
    trials = folder.run(edited + beta)
    assert "beta" not in trials[1]["params"]
    assert not [r for r in trials[1].get("records", []) if "note" in r]


def test_unpacking_the_parameters_reads_all_of_them(folder, one_trial):
    folder.script("""
        import swath
        def f(lr): return lr
        swath.report(loss=f(**swath.params()))
    """)
    [trial] = folder.run(one_trial)
    assert not trial.get("records")


def test_an_unknown_parameter_names_the_known_ones(folder):
    folder.script("""
        import swath
        p = swath.params(**{"optimizer.lr": 3, "layers": 2})
        assert p.optimizer.lr == 3
        try:
            p.layer
        except AttributeError as error:
            print(error)
    """)
    assert folder.python().stdout == (
        "there is no parameter `layer`; there are: optimizer.lr, layers\n"
    )


def test_metrics_wait_in_memory_and_none_is_lost(folder, one_trial):
    folder.script("""
        import os, swath, threading
        def work(n):
            for i in range(500):
                swath.log(x=i, step=i, log=f"t{n}")
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
        swath.log(y=1, step=1, log="parent")
        if os.fork() == 0:
            swath.log(z=1, step=1, log="child")
            swath.flush()
            os._exit(0)
        os.wait()
        swath.report(loss=1)
    """)
    folder.run(one_trial)
    metrics = folder.path / "logs/s/1/metrics"
    for n in range(4):
        rows = [json.loads(line) for line in (metrics / f"t{n}.json").read_text().splitlines()]
        assert [row["x"] for row in rows] == list(range(500))
    assert len((metrics / "parent.json").read_text().splitlines()) == 1
    assert len((metrics / "child.json").read_text().splitlines()) == 1


def test_everything_that_can_be_recorded_arrives(folder, one_trial):
    folder.script("""
        import os, swath
        from pathlib import Path
        Path("m.bin").write_bytes(b"model")
        Path("plot.txt").write_text("x")
        os.mkdir("data"); Path("data/a").write_text("1")
        swath.dataset("data", role="train")
        swath.report({"val/x": 3}, loss=1, epoch=1, model_path=Path("m.bin").resolve())
        Path("n.bin").write_bytes(b"other")
        swath.model("n.bin", step=1, framework="none")
        swath.artifact("plot.txt", type="plots")
        swath.table([{"a": 1, "b": 2}, {"a": 3}], "rows")
        swath.output(confusion=[[9, 1], [2, 8]])
        swath.note("done")
    """)
    [trial] = folder.run(one_trial)
    kinds = [next(iter(record)) for record in trial["records"]]
    assert {"artifact", "dataset", "model", "note", "output"} <= set(kinds), kinds
    assert [r["warning"] for r in trial["records"] if "warning" in r] == []
    table = folder.path / "logs/s/1/artifacts/table/rows.csv"
    assert table.read_text().splitlines() == ["a,b", "1,2", "3,"]


def test_a_nan_is_told_once_and_scalars_of_libraries_are_numbers(folder, one_trial):
    folder.script("""
        import swath
        class Scalar:
            size = 1
            def item(self): return 0.25
        for epoch in range(3):
            swath.report(loss=Scalar(), other=float("nan"), epoch=epoch)
    """)
    [trial] = folder.run(one_trial)
    assert trial["objectives"]["loss"] == 0.25
    stderr = (folder.path / "logs/s/1/stderr.log").read_text()
    assert stderr.count("`other` is NaN") == 1


def test_a_worker_of_another_rank_does_not_decide(folder, one_trial):
    folder.script("""
        import os, subprocess, sys, swath
        if "RANK" in os.environ:
            swath.report(loss=0.0 if swath.rank() else 1.0, epoch=1)
        else:
            for rank in "01":
                env = {**os.environ, "RANK": rank, "WORLD_SIZE": "2"}
                subprocess.run([sys.executable, "train.py"], env=env, check=True)
    """)
    [trial] = folder.run(one_trial)
    assert trial["objectives"]["loss"] == 1.0 and trial["reports"] == 1


def test_the_processes_that_lightning_starts_have_a_rank(folder):
    folder.script("import swath; print(swath.rank())")
    local = {"LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    assert folder.python(**local).stdout == "1\n"
    # These are of a torchrun around swath.
    outer = {**local, "RANK": "3", "SWATH_OUTER_RANKS": "RANK=3 WORLD_SIZE=2"}
    assert folder.python(**outer).stdout == "0\n"
    assert folder.python().stdout == "0\n"


SUCCESSIVE_HALVING = """
[objective]
metric = "loss"
goal = "min"
[scheduler]
name = "asha"
resource = "epoch"
min = 1
max = 9
[search]
sampler = "random"
trials = 9
[resources]
jobs = 3
[space]
lr = { min = 0.1, max = 0.9 }
"""


def test_the_epochs_end_where_the_scheduler_says_and_go_on_from_the_checkpoint(folder):
    folder.script("""
        import swath
        p = swath.params()
        trial = swath.trial()
        state = trial.load_checkpoint() or {"epochs": []}
        for epoch in trial.epochs(9):
            state["epochs"].append(epoch)
            swath.report(epoch=epoch, loss=p.lr / epoch, wait=True)
            trial.save_checkpoint(state, epoch)
        swath.output(epochs=state["epochs"])
    """)
    trials = folder.run(SUCCESSIVE_HALVING)
    assert {trial["state"] for trial in trials} <= {"complete", "stopped", "paused"}
    steps = {trial["step"] for trial in trials}
    assert steps <= {1.0, 3.0, 9.0} and len(steps) > 1
    for trial in trials:
        epochs = [r["output"]["value"] for r in trial["records"] if "output" in r]
        # No epoch is trained twice, and none past the last report.
        assert all(e == list(range(1, int(trial["step"]) + 1)) for e in epochs[-1:]), trial


def test_a_resumed_attempt_starts_after_its_checkpoint(folder, one_trial):
    folder.script("""
        import os, signal, swath
        trial = swath.trial()
        print(trial.attempt, trial.resume_step, trial.load_checkpoint(), flush=True)
        for epoch in trial.epochs(4):
            swath.report(epoch=epoch, loss=epoch)
            trial.save_checkpoint([epoch], epoch)
            if epoch == 2 and trial.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
    """)
    retry = "[retry]\ntimes = 1\n"
    [trial] = folder.run(one_trial + retry)
    assert trial["attempts"] == 2 and trial["step"] == 4.0
    stdout = (folder.path / "logs/s/1/stdout.log").read_text()
    assert "2 2 [2]" in stdout, stdout


def test_a_broken_checkpoint_is_skipped_for_the_one_before(folder, tmp_path):
    folder.script("""
        import swath
        trial = swath.trial()
        if trial._resumes:
            print(trial.load_checkpoint())
        else:
            trial.save_checkpoint("one", 1)
            trial.save_checkpoint("two", 2)
            open(trial.checkpoint_dir / "step-2.pkl", "w").write("torn")
    """)
    env = {
        "SWATH_TRIAL": "1",
        "SWATH_CHECKPOINT_DIR": str(tmp_path / "c"),
        "SWATH_RECORDS": str(tmp_path / "records.jsonl"),
        "SWATH_TRIAL_DIR": str(tmp_path),
    }
    folder.python(**env)
    again = folder.python(**env, SWATH_RESUME="1")
    assert again.stdout == "one\n"
    assert "the checkpoint of step 2 cannot be read" in again.stderr


def test_the_import_is_quick_and_loads_no_other_package():
    code = "import sys, swath; print([n for n in sys.modules if n.startswith('swath')])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout == "['swath._records', 'swath._trial', 'swath']\n"
    code = "import time; t = time.process_time(); import swath; print(time.process_time() - t)"
    seconds = [
        float(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True).stdout)
        for _ in range(7)
    ]
    # A generous bound for a loaded machine; BENCHMARKS.md has the figure.
    assert min(seconds) < 0.030, seconds


def test_the_module_is_a_command():
    done = subprocess.run([sys.executable, "-m", "swath", "--version"], capture_output=True)
    assert done.stdout.startswith(b"swath ")


def test_calls_are_cheap(folder, tmp_path):
    folder.script("""
        import swath, time
        def cost(call, n):
            begin = time.process_time()
            for i in range(n): call(i)
            return (time.process_time() - begin) / n * 1e6
        print(cost(lambda i: swath.report(epoch=i, loss=0.5), 5000))
        print(cost(lambda i: swath.log(loss=0.5, step=i), 20000))
    """)
    env = {"SWATH_RECORDS": str(tmp_path / "r.jsonl"), "SWATH_TRIAL_DIR": str(tmp_path)}
    costs = [list(map(float, folder.python(**env).stdout.split())) for _ in range(3)]
    # Generous bounds for a loaded machine; BENCHMARKS.md has the figures.
    assert min(c[0] for c in costs) < 60 and min(c[1] for c in costs) < 30, costs


def test_an_invalid_configuration_ends_the_program_and_finally_blocks_run(folder, one_trial):
    folder.script("""
        import swath
        try:
            swath.invalid("the image is too small")
        finally:
            print("cleaned up", flush=True)
        swath.report(loss=1.0)
    """)
    by_hand = folder.python()
    assert by_hand.returncode == 1 and "the image is too small" in by_hand.stderr
    head = f'name = "s"\n[run]\ncommand = ["{sys.executable}", "train.py"]\n'
    (folder.path / "s.toml").write_text(head + one_trial)
    assert folder.swath("run", "s.toml").returncode == 3
    [trial] = folder.trials("s")
    assert trial["state"] == "invalid" and "the image is too small" in trial["exit"]
    assert (folder.path / "logs/s/1/stdout.log").read_text() == "cleaned up\n"
