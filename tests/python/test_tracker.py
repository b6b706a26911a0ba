"""Trackers of one's own: what they are told, once, and what becomes of their mistakes."""

import http.server
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import swath
from swath import _feed, tracker

EXAMPLES = Path(__file__).parents[2] / "examples" / "trackers"

# Writes each call as a line of JSON to `calls` in the working directory.
RECORDER = """
    import json, os
    import swath

    class Mine(swath.Tracker):
        def init(self): self.file = open("calls", "a")
        def start(self, trial):
            self.write("start", trial, trial.attempt, trial.resumes, trial.params)
        def log(self, trial, step, values):
            self.write("log", trial, values.key, values.log, step, values)
        def param(self, trial, name, value): self.write("param", trial, name, value)
        def model(self, trial, model):
            self.write("model", trial, model["model_path"], model["step"])
        def artifact(self, trial, artifact): self.write("artifact", trial, artifact["path"])
        def dataset(self, trial, dataset): self.write("dataset", trial, dataset["data_dir"])
        def output(self, trial, name, value): self.write("output", trial, name, value)
        def note(self, trial, text): self.write("note", trial, text)
        def end(self, trial): self.write("end", trial, trial.state, trial.models)
        def close(self): self.file.close()
        def write(self, call, trial, *rest):
            print(json.dumps([call, trial.id, *rest]), file=self.file)
"""

TRAIN = """
    import os
    import swath

    p = swath.params(lr=0.1)
    for epoch in (1, 2):
        for batch in range(4):
            swath.log(loss=p.lr * batch, step=epoch, batch=batch, context="train")
        swath.log(acc=float("nan"), step=epoch)
        model = f"m{swath.trial().id}-{epoch}.bin"
        with open(model, "w") as file:
            file.write(f"{epoch} {p.lr}")
        swath.model(model, step=epoch, framework="none")
        swath.report(epoch=epoch, loss=p.lr / epoch, worst=float("inf"), word="a")
    swath.dataset("train.py")
    swath.artifact("train.py")
    swath.note("noted")
    swath.output(final=[1, 2])
    with open(os.environ["SWATH_RECORDS"], "a") as file:
        file.write('{"kind": "param", "depth": 12}\\n')
        file.write('{"kind": "metric", "loss": 7, "rank": 1, "batch": 1, "log": "train"}\\n')
"""


def table(spec, *words, rest=""):
    """Returns the table of a tracker in a sweep file; ``rest`` are further lines of it."""
    command = json.dumps([sys.executable, "-m", "swath.tracker", str(spec), *words])
    return f'\n[[tracker]]\nname = "program"\ncommand = {command}\n{rest}\n'


def sweep_text(spec, *words, trials=2, rest="", head="", run="", name="s"):
    """Returns a sweep of ``train.py`` with a tracker; ``run`` are further lines of `[run]`."""
    command = json.dumps([sys.executable, "train.py"])
    return textwrap.dedent(f"""
        name = "{name}"
        seed = 4
        objective = {{ metric = "loss", goal = "min" }}
        search = {{ sampler = "random", trials = {trials} }}
        space = {{ lr = {{ min = 0.1, max = 0.2 }} }}
        retry = {{ times = 1 }}
        {head}
        [run]
        command = {command}
        {run}
        """) + table(spec, *words, rest=rest)


def run(folder, spec, *words, **options):
    """Runs a sweep of ``train.py`` with a tracker, and returns the finished process."""
    (folder.path / "s.toml").write_text(sweep_text(spec, *words, **options))
    return folder.swath("run", "s.toml", "--jobs", "1")


def calls(folder, kind=None):
    """Returns the calls that the tracker wrote down, or those of one kind without its name."""
    lines = [json.loads(line) for line in (folder.path / "calls").read_text().splitlines()]
    return lines if kind is None else [line[1:] for line in lines if line[0] == kind]


def log_of(folder, name="s"):
    stem = Path(sys.executable).stem
    return (folder.path / "logs" / name / "trackers/program" / f"{stem}.log").read_text()


def test_three_lines_get_every_report_and_every_row(folder):
    folder.script(TRAIN)
    folder.script(
        """
        import swath

        class Mine(swath.Tracker):
            def init(self): self.file = open("values", "a")
            def log(self, trial, step, row): print(trial.id, row.log, step, row, file=self.file)
            def close(self): self.file.close()
        """,
        "mine.py",
    )
    done = run(folder, "mine:Mine", trials=1)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    lr = folder.trials()[0]["params"]["lr"]
    train = [f"1 train {e} {{'loss': {lr * b}}}" for e in (1, 2) for b in range(4)]
    assert (folder.path / "values").read_text().splitlines() == [
        f"1 report 1 {{'epoch': 1.0, 'loss': {lr}, 'worst': inf, 'word': 'a'}}",
        f"1 report 2 {{'epoch': 2.0, 'loss': {lr / 2}, 'worst': inf, 'word': 'a'}}",
        "1 metrics 1 {'acc': nan}",
        "1 metrics 2 {'acc': nan}",
        *train,
        "1 worker_1/train 8 {'loss': 7}",
    ]


def test_parameters_models_artifacts_and_ends_are_told(folder):
    folder.script(TRAIN)
    folder.script(RECORDER, "mine.py")
    run(folder, "mine:Mine", trials=1)
    lr = folder.trials()[0]["params"]["lr"]
    assert calls(folder, "start") == [[1, 1, False, {"lr": lr}]]
    assert calls(folder, "param") == [[1, "depth", 12]]
    assert calls(folder, "model") == [[1, "m1-1.bin", 1], [1, "m1-2.bin", 2]]
    assert calls(folder, "artifact") == [[1, "artifacts/file/train.py"]]
    assert calls(folder, "dataset") == [[1, "train.py"]]
    assert calls(folder, "output") == [[1, "final", [1, 2]]]
    assert [1, "noted"] in calls(folder, "note")
    [[trial, state, models]] = calls(folder, "end")
    assert (trial, state) == (1, "complete") and calls(folder)[-1][0] == "end"
    assert [model["facts"] for model in models] == 2 * [{"framework": "none"}]


@pytest.mark.parametrize(
    "rest, batches",
    [
        ("log_freq = 2", [0, 2, None]),
        ("log_freq = 'epoch'", [None]),
        ("log_freq = 3\nlog_on_workers = [1]", []),
        ("log_on_workers = [1]", [1]),
    ],
)
def test_the_options_of_the_sweep_file_select_rows(folder, rest, batches):
    folder.script("""
        import swath
        for batch in range(4):
            swath.log(x=batch, batch=batch)
        swath.log(x=9)
        with open(swath._records._writer.path, "a") as file:
            file.write('{"kind": "metric", "x": 1, "rank": 1, "batch": 1, "log": "metrics"}\\n')
        swath.report(loss=1)
    """)
    folder.script(
        """
        import swath
        class Mine(swath.Tracker):
            log_freq = "epoch"
            def log(self, trial, step, values):
                if not values.is_report:
                    print(values.batch, file=open("batches", "a"))
        """,
        "mine.py",
    )
    rest = rest if "log_freq" in rest else rest + "\nlog_freq = 'batch'"
    assert run(folder, "mine:Mine", trials=1, rest=rest).returncode == 0
    path = folder.path / "batches"
    assert (path.read_text().split() if path.exists() else []) == [str(b) for b in batches]


def test_the_tables_of_trackers_are_read_without_a_reader_of_toml(tmp_path, monkeypatch):
    tomllib = pytest.importorskip("tomllib")
    text = table("a:A", "url=x", rest="log_freq = 5 # every fifth\nlog_on_workers = [0, 2]")
    text += table("b.py:B", rest='log_freq = "epoch"\ndir = \'runs\'') + "[space]\ndir = 1\n"
    known = tomllib.loads(text)["tracker"]
    read = tracker._tracker_tables(text)
    assert len(read) == len(known) == 2
    for own, other in zip(read, known):
        assert other.pop("command")[3] in own.pop("command")
        assert own == other
    # Two trackers of one class have the options of their own tables.
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(table("a:A", "n=1", rest="dir = 'x'") + table("a:A", "n=2", rest="dir = 'y'"))
    for has_reader in (True, False):
        if not has_reader:
            monkeypatch.setitem(sys.modules, "tomllib", None)
        for words, folder in ((["a:A", "n=1"], "x"), (["a:A", "n=2"], "y"), (["a:A"], "x")):
            assert tracker._sweep_options(sweep, words)["dir"] == folder
        assert tracker._sweep_options(sweep, ["b:B"]) == {}
    with pytest.raises(ValueError, match="`log_freq` must be"):
        _feed.Due(0, -1)
    with pytest.raises(ValueError, match="`log_on_workers` must be"):
        _feed.Due("batch", [-1])


def test_each_call_comes_once_over_several_runs(folder):
    folder.script(TRAIN)
    folder.script(RECORDER, "mine.py")
    run(folder, "mine:Mine", trials=1)
    first = calls(folder)
    run(folder, "mine:Mine", trials=2)
    both = calls(folder)
    assert both[: len(first)] == first and {call[1] for call in both[len(first) :]} == {2}
    keys = [log[1] for log in calls(folder, "log")]
    assert len(keys) == len(set(keys)) == 2 * 13
    # Without the folder of the tracker, everything comes again.
    shutil.rmtree(folder.path / "logs/s/trackers")
    (folder.path / "calls").unlink()
    assert folder.swath("export", "program", "s").returncode == 0
    assert calls(folder) == both


def test_a_tracker_that_writes_anew_gets_everything_at_each_start(folder):
    folder.script(TRAIN)
    folder.script(RECORDER + "        once = False\n", "mine.py")
    run(folder, "mine:Mine", trials=1)
    first = calls(folder)
    run(folder, "mine:Mine", trials=1)
    folder.swath("export", "program", "s")
    assert calls(folder)[: 2 * len(first)] == 2 * first
    assert not list(folder.path.glob("logs/s/trackers/program/*.cursor"))


def test_an_attempt_that_starts_anew_has_rows_of_its_own(folder):
    folder.script("""
        import sys
        import swath
        attempt = swath.trial().attempt
        swath.log(x=attempt)
        swath.report(loss=attempt)
        swath.flush()
        sys.exit(3 if attempt == 1 else 0)
    """)
    folder.script(RECORDER, "mine.py")
    run(folder, "mine:Mine", trials=1)
    first = calls(folder)
    rows = [(key, values) for _, key, log, _, values in calls(folder, "log") if log != "report"]
    assert rows == [("1/1/metrics/0", {"x": 1}), ("1/2/metrics/0", {"x": 2})]
    assert [state for _, state, _ in calls(folder, "end")] == ["failed", "complete"]
    # Also when all is told at once, after the files of the first attempt were moved.
    shutil.rmtree(folder.path / "logs/s/trackers")
    (folder.path / "calls").unlink()
    folder.swath("export", "program", "s")
    assert calls(folder) == first


def test_states_and_exits_are_those_of_the_study(folder):
    folder.script("""
        import os, signal, sys
        import swath
        trial = swath.trial().id
        if trial != 2:
            swath.report(loss=float("nan") if trial == 4 else trial, epoch=1)
        if trial == 1: sys.exit(3)
        if trial == 3: swath.invalid("too small")
        if trial == 5: os.kill(os.getpid(), signal.SIGKILL)
        if trial == 6: raise ValueError("bad")
    """)
    folder.script(
        """
        import json, swath
        class Mine(swath.Tracker):
            def end(self, trial):
                print(json.dumps([trial.id, trial.state, trial.exit]), file=open("ends", "a"))
        """,
        "mine.py",
    )
    run(folder, "mine:Mine", trials=7)
    lines = (folder.path / "ends").read_text().splitlines()
    told = {trial: (state, why) for trial, state, why in map(json.loads, lines)}
    for trial in folder.trials():
        state, why = told[trial["trial"]]
        assert state == trial["state"], (trial["trial"], why)
        if trial["trial"] not in (2, 4):
            assert why.partition(" (SIG")[0] == trial["exit"].partition(" (SIG")[0]


@pytest.mark.parametrize(
    "verdict, exit, values, state",
    [
        (None, "done", {"loss": 1.0}, "complete"),
        (None, "done", {"other": 1.0}, "failed"),
        (None, "lost", {"loss": 1.0}, "waiting"),
        ("stop", "done", {"loss": 1.0}, "stopped"),
        ("stop", {"failed": {"code": 1}}, {"loss": 1.0}, "stopped"),
        ("pause", "done", {"loss": 1.0}, "paused"),
        ("complete", {"failed": {"signal": 15}}, {"loss": 1.0}, "complete"),
        ("complete", "done", {"loss": "nan"}, "failed"),
        (None, {"failed": {"timeout": {"secs": 2, "nanos": 0}}}, {"loss": 1.0}, "failed"),
    ],
)
def test_a_verdict_has_precedence_over_the_exit(tmp_path, verdict, exit, values, state):
    header = {"name": "s", "pipeline": "s", "stage": "t", "seed": 1, "params": ["x"]}
    header["objectives"] = [{"metric": "loss", "goal": "min", "take": "best"}]
    attempt = {"trial": 1, "attempt": 1}
    events = [
        {"opened": {"format": 4, "header": header}},
        {"created": {"trial": 1, "params": {"x": 1}, "origin": {"suggested": "random"}, "seed": 1}},
        {"started": {**attempt, "until": None, "slot": 0, "resume": False}},
        {"logged": {**attempt, "record": {"report": {"values": values}}}},
        *([{"judged": {"trial": 1, "verdict": verdict, "why": ""}}] if verdict else []),
        {"ended": {**attempt, "exit": exit}},
    ]
    feed = _feed.Feed(swath.Tracker(), tmp_path, {}, 0)
    for seq, event in enumerate(events):
        feed.take({"seq": seq, "at": "2026-11-29T08:06:31.92184Z", "event": event})
    assert feed.tracker.trials[1].state == state


def test_the_last_value_is_that_of_the_largest_step(tmp_path):
    header = {"name": "s", "pipeline": "s", "stage": "t", "seed": 1, "params": []}
    header["objectives"] = [{"metric": "loss", "goal": "min", "take": "last"}]
    feed = _feed.Feed(swath.Tracker(), tmp_path, {}, 0)
    seq = iter(range(100))

    def take(**event):
        at = "2026-11-29T08:06:31.92184Z"
        feed.take({"seq": next(seq), "at": at, "event": event})

    def start(attempt, resume):
        attempt = {"trial": 1, "attempt": attempt, "until": None, "slot": 0, "resume": resume}
        take(started=attempt)

    def report(attempt, **values):
        record = {"report": {"values": values}}
        take(logged={"trial": 1, "attempt": attempt, "record": record})
        return feed.tracker.trials[1].values

    take(opened={"format": 4, "header": header})
    take(created={"trial": 1, "params": {}, "origin": {"suggested": "random"}, "seed": 1})
    start(1, False)
    assert report(1, loss=0.9)["loss"] == 0.9
    assert report(1, epoch=3, loss=0.3)["loss"] == 0.3
    assert report(1, epoch=2, loss=0.2, acc=0.5) == {"epoch": 3, "loss": 0.3, "acc": 0.5}
    assert report(1, loss=0.4)["loss"] == 0.4, "without a step: in the order of arrival"
    assert report(1, epoch=2, loss=0.2)["loss"] == 0.4
    assert report(1, epoch=3, loss=0.31)["loss"] == 0.31
    take(ended={"trial": 1, "attempt": 1, "exit": "lost"})
    start(2, True)
    assert report(2, epoch=2, loss=0.25)["loss"] == 0.25, "a later attempt"
    assert report(2, epoch=1, loss=0.1)["loss"] == 0.25
    take(ended={"trial": 1, "attempt": 2, "exit": "lost"})
    start(3, False)
    assert report(3, epoch=1, loss=0.15) == {"epoch": 1, "loss": 0.15}


def test_stopped_and_paused_trials_are_told_as_such(folder):
    folder.script("""
        import swath
        for epoch in range(1, 10):
            loss = swath.trial().id + 1 / epoch
            if swath.report(epoch=epoch, loss=loss, wait=True) != "continue":
                break
    """)
    folder.script(
        """
        import json, swath
        class Mine(swath.Tracker):
            def end(self, trial):
                words = [trial.id, trial.state, trial.values["epoch"]]
                print(json.dumps(words), file=open("ends", "a"))
        """,
        "mine.py",
    )
    asha = "scheduler = { name = 'asha', resource = 'epoch', min = 1, max = 9, reduction = 3 }"
    run(folder, "mine:Mine", trials=9, head=asha)
    told = {}
    for line in (folder.path / "ends").read_text().splitlines():
        trial, state, epoch = json.loads(line)
        told[trial] = (state, epoch)
    trials = folder.trials()
    assert {trial["state"] for trial in trials} > {"complete"}
    assert told == {t["trial"]: (t["state"], t["step"]) for t in trials}


def test_an_attempt_that_resumes_after_a_kill_has_each_row_once(folder):
    folder.script("""
        import os, signal, time
        import swath
        trial = swath.trial()
        begin = trial.load_checkpoint() or 0
        for step in range(begin, begin + 5):
            swath.log(x=step, step=step)
        swath.report(epoch=begin + 1, loss=1)
        trial.save_checkpoint(begin + 5, begin + 1)
        if begin == 0:
            time.sleep(0.5)
            os.kill(int(open("pid").read()), signal.SIGKILL)
            time.sleep(60)
    """)
    folder.script(RECORDER, "mine.py")
    text = sweep_text("mine:Mine", trials=1, run="checkpoint = true")
    (folder.path / "s.toml").write_text(text)
    command = [swath.binary(), "run", "s.toml", "--quiet"]
    killed = subprocess.Popen(command, cwd=folder.path, stderr=subprocess.DEVNULL)
    (folder.path / "pid").write_text(str(killed.pid))
    assert killed.wait(30) == -signal.SIGKILL
    done = folder.swath("run", "s.toml")
    assert done.returncode == 0, done.stderr
    rows = [(key, step) for _, key, log, step, _ in calls(folder, "log") if log != "report"]
    assert rows == [(f"1/1/metrics/{n}", n) for n in range(10)]
    starts = [(attempt, resumes) for _, attempt, resumes, _ in calls(folder, "start")]
    assert starts == [(1, False), (2, True)]


def test_an_error_of_the_tracker_is_told_and_ends_nothing(folder):
    folder.script(TRAIN)
    faulty = RECORDER + (
        "        def end(self, trial):\n"
        "            if trial.id == 1: raise KeyError('no such column')\n"
        "            self.write('end', trial)\n"
    )
    folder.script(faulty, "mine.py")
    done = run(folder, "mine:Mine")
    assert done.returncode == 0
    assert "1 call failed `end` of trial 1: KeyError: 'no such column'" in done.stderr
    log = log_of(folder)
    assert "Traceback" in log and 'mine.py", line' in log and "in end" in log
    assert "_feed.py" not in log
    assert calls(folder, "end") == [[2]] and len(calls(folder, "log")) == 2 * 13
    # Once the mistake is mended, the call that failed is made, and no other one.
    before = calls(folder)
    folder.script(RECORDER, "mine.py")
    done = folder.swath("export", "program", "s")
    assert done.returncode == 0, done.stderr
    after = calls(folder)[len(before) :]
    assert [call[:3] for call in after] == [["end", 1, "complete"]]


def test_what_a_failed_flush_may_have_lost_comes_again(folder):
    folder.script(TRAIN)
    faulty = RECORDER + "        def flush(self): raise ValueError('refused')\n"
    folder.script(faulty, "mine.py")
    done = run(folder, "mine:Mine", trials=1)
    assert done.returncode == 0 and "`flush`: ValueError: refused" in done.stderr, done.stderr
    first = calls(folder)
    folder.script(RECORDER, "mine.py")
    assert folder.swath("export", "program", "s").returncode == 0
    assert calls(folder) == 2 * first


def test_a_tracker_whose_calls_all_fail_is_given_up(folder):
    folder.script("""
        import swath
        for step in range(500):
            swath.log(x=step, step=step)
        swath.report(loss=1)
    """)
    folder.script(
        """
        import swath
        class Mine(swath.Tracker):
            def log(self, trial, step, values):
                open("count", "a").write("x")
                values.nothing()
        """,
        "mine.py",
    )
    done = run(folder, "mine:Mine", trials=1)
    assert done.returncode == 0
    assert "100 calls failed, the first one `log` of trial 1" in done.stderr
    assert (folder.path / "count").read_text() == 100 * "x"
    assert log_of(folder).count("Traceback") == 1


@pytest.mark.parametrize(
    "spec, why",
    [
        ("nothing:Mine", "ModuleNotFoundError: No module named 'nothing'"),
        ("mine:Yours", "`mine` has no subclass of `swath.Tracker` with the name `Yours`"),
        ("mine", "names no class: write `module:Class` or `file.py:Class`"),
        ("mine:Broken", "`init`: RuntimeError: no folder"),
    ],
)
def test_a_tracker_that_cannot_begin_says_why_and_the_study_goes_on(folder, spec, why):
    folder.script("import swath\nswath.report(loss=1)\n")
    folder.script(
        """
        import swath
        class Mine(swath.Tracker): pass
        class Broken(swath.Tracker):
            def init(self): raise RuntimeError("no folder")
        """,
        "mine.py",
    )
    done = run(folder, spec, trials=1)
    assert done.returncode == 0 and why in done.stderr, done.stderr


def points_of(folder, name="s"):
    """Returns the values of a study by trial, log, name and number, from its own files."""
    points = []
    for trial in (folder.path / "logs" / name).glob("[0-9]*"):
        for path in sorted((trial / "metrics").glob("*.json")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                log = f"worker_1/{path.stem}" if row.get("rank") == 1 else path.stem
                for place in ("step", "batch", "context", "rank", "at"):
                    row.pop(place, None)
                points += [(int(trial.name), log, key, str(value)) for key, value in row.items()]
    return sorted(points)


def test_the_example_over_sqlite_has_every_value_once_whatever_dies(folder):
    folder.script(TRAIN)
    # The process dies while it writes the rows of the second trial.
    folder.script(
        f"""
        import os, sys
        sys.path.insert(0, {str(EXAMPLES)!r})
        import sqlite_tracker

        class Sqlite(sqlite_tracker.Sqlite):
            def log(self, trial, step, values):
                if trial.id == 2 and not values.is_report and values.batch == 2:
                    self.flush()
                    os._exit(9)
                super().log(trial, step, values)
        """,
        "dies.py",
    )
    done = run(folder, "dies:Sqlite", trials=3)
    assert done.returncode == 0 and "exit status: 9" in done.stderr, done.stderr
    done = run(folder, f"{EXAMPLES}/sqlite_tracker.py:Sqlite", trials=4)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    db = sqlite3.connect(folder.path / "logs/s/trackers/program/study.db")
    # SQLite has no NaN: it is NULL.
    rows = db.execute("SELECT trial, log, name, coalesce(value, 'nan') FROM points").fetchall()
    numbers = [(t, log, name, _text(value)) for t, log, name, value in rows]
    wanted = [(t, log, name, _text(value)) for t, log, name, value in points_of(folder)]
    assert sorted(numbers) == sorted(wanted)
    states = db.execute("SELECT trial, state, params FROM trials ORDER BY trial").fetchall()
    assert [row[:2] for row in states] == [(t, "complete") for t in (1, 2, 3, 4)]
    for (_, _, params), trial in zip(states, folder.trials()):
        assert json.loads(params) == {**trial["params"], "depth": 12}
    assert db.execute("SELECT count(*) FROM models").fetchone() == (8,)
    db.close()


def _text(value):
    try:
        return repr(float(value))
    except ValueError:
        return value


class Service:
    """An HTTP service on loopback that keeps what it gets, and is away for a while."""

    def __init__(self, refusals=0, port=0):
        events, headers, state = [], [], {"refusals": refusals}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if state["refusals"]:
                    state["refusals"] -= 1
                    self.send_error(503)
                    return
                headers.append(self.headers.get("Authorization"))
                events.extend(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.events, self.headers = events, headers
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def check_events(folder, events):
    """Compares what the service got with the files of the study, point by point."""
    logs = [event for event in events if event["event"] == "log"]
    assert len({event["key"] for event in logs}) == len(logs)
    points = [
        (event["trial"], event["log"], name, _text(value))
        for event in logs
        for name, value in event["values"].items()
    ]
    wanted = [(t, log, name, _text(value)) for t, log, name, value in points_of(folder)]
    assert sorted(points) == sorted(wanted)
    ends = [(event["trial"], event["state"]) for event in events if event["event"] == "end"]
    assert sorted(ends) == [(trial["trial"], trial["state"]) for trial in folder.trials()]
    starts = {event["trial"]: event["params"] for event in events if event["event"] == "start"}
    assert starts == {trial["trial"]: trial["params"] for trial in folder.trials()}


def test_the_example_over_http_waits_for_a_service_that_is_busy(folder, monkeypatch):
    monkeypatch.setenv("TOKEN", "secret")
    folder.script(TRAIN)
    with Service(refusals=2) as service:
        url = f"url=http://127.0.0.1:{service.port}/runs"
        done = run(folder, f"{EXAMPLES}/http_tracker.py:Http", url, "token_variable=TOKEN")
        assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
        check_events(folder, service.events)
        assert set(service.headers) == {"Bearer secret"}
    assert "trying again: HTTPError: HTTP Error 503" in log_of(folder)


@pytest.mark.parametrize("is_silent", [False, True])
def test_the_example_over_http_delivers_later_what_it_could_not(folder, is_silent):
    folder.script(TRAIN)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if is_silent:
            # The kernel accepts connections, and nothing answers them.
            listener.listen()
        url = f"url=http://127.0.0.1:{port}/runs"
        done = run(folder, f"{EXAMPLES}/http_tracker.py:Http", url)
    assert done.returncode == 0
    error = "the service is away: " + ("" if is_silent else "URLError")
    assert error in done.stderr, done.stderr
    assert "`swath export program` delivers the rest" in done.stderr
    with Service(port=port) as service:
        done = folder.swath("export", "program", "s")
        assert done.returncode == 0, done.stderr
        check_events(folder, service.events)
