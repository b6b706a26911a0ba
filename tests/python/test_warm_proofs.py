"""`warm = "auto"`: trials are forked only once a repeated trial has recorded the same."""

import re
import sys

import pytest
from hosting import is_gone, wait_until
from warm_runs import PACKAGE, Run

AUTO = '"auto"'

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts need Linux"
)


def test_trials_are_forked_once_a_repeated_one_has_recorded_the_same(folder):
    run = Run(folder, "swath.log(twice=2 * params.x)\nswath.report(loss=params.x)", warm=AUTO)
    proof = run.wait_for(r"trials start warm from now on: trial (\d+), repeated from its host")
    run.wait_for_forked_trial()
    trials = run.stop()
    # Every trial up to the repeated one has started cold, and says why.
    repeated = int(proof[1])
    assert repeated >= 3
    assert not any(map(run.ran_forked, range(1, repeated + 1)))
    assert "cold: no trial was repeated yet" in folder.swath("show", "s", "1").stdout
    # Repetitions are in no table, and leave no folder.
    assert [row["trial"] for row in trials] == list(range(1, len(trials) + 1))
    assert all(row["objectives"]["loss"] == row["params"]["x"] for row in trials)
    # To learn the packages (again, if that took too long), forked, and cold again, since the time
    # of a metric differs.
    assert re.fullmatch("(1\n){2,4}0\n", (folder.path / "logs/s/repeated").read_text())
    assert not list((folder.path / "logs" / "s").glob(".repetition*"))


def test_different_records_of_a_repeated_trial_switch_warm_starts_off(folder):
    run = Run(folder, "swath.report(loss=1.0 if package.owner == os.getpid() else 2.0)", warm=AUTO)
    run.wait_for(r"trials start cold: trial \d+ has recorded another `loss` when it was repeated")
    ran = run.begun()
    wait_until(lambda: run.begun() > ran + 3)
    trials = run.stop()
    assert {row["objectives"]["loss"] for row in trials} == {1.0}
    shown = folder.swath("show", "s", str(ran + 2)).stdout
    assert "has recorded another `loss`" in shown
    # To learn, forked, and started cold a second time.
    assert re.fullmatch("(1\n){2,4}0\n", (folder.path / "logs/s/repeated").read_text())


def test_a_program_that_is_not_deterministic_is_no_proof_and_starts_cold(folder):
    run = Run(folder, "swath.report(loss=random.random())", warm=AUTO)
    run.wait_for(r"trials start cold: two cold starts of trial \d+ differ in `loss`")
    trials = run.stop()
    assert not any(run.ran_forked(row["trial"]) for row in trials)


def test_a_value_that_differs_between_two_cold_starts_is_left_out_of_the_comparison(folder):
    run = Run(folder, "swath.report(loss=params.x, now=time.time())", warm=AUTO)
    run.wait_for(r"has recorded the same, apart from `now`, which differ")
    run.stop()


def test_another_number_of_records_switches_warm_starts_off(folder):
    report = """
for _ in range(1 if package.owner == os.getpid() else 2):
    swath.report(loss=1.0)
"""
    run = Run(folder, report, warm=AUTO)
    run.wait_for(r"trials start cold: trial \d+ has recorded other kinds of records")
    run.stop()


def test_a_package_that_cannot_be_forked_switches_warm_starts_off_with_its_reason(folder):
    package = PACKAGE + "import threading, time\n"
    package += "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    run = Run(folder, "swath.report(loss=params.x)", warm=AUTO, packages={"package.py": package})
    run.wait_for(r"trials start cold: .*1 thread is alive")
    trials = run.stop()
    assert not any(run.ran_forked(row["trial"]) for row in trials)


REPEATS_FOR_EVER = """
if is_repeated:
    import subprocess
    child = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
    with open("new", "w") as file:
        file.write("%d %d" % (os.getpid(), child.pid))
    os.rename("new", "pids")
    time.sleep(600)
swath.report(loss=params.x)
"""


@pytest.mark.parametrize("kill", [False, True])
def test_a_repetition_ends_with_the_run_and_leaves_no_process(folder, kill):
    run = Run(folder, REPEATS_FOR_EVER, warm=AUTO)
    wait_until((folder.path / "pids").exists)
    pids = list(map(int, (folder.path / "pids").read_text().split()))
    run.kill() if kill else run.stop()
    wait_until(lambda: all(map(is_gone, pids)))


def test_the_next_run_removes_the_folder_of_a_repetition_that_was_killed(folder):
    run = Run(folder, REPEATS_FOR_EVER, warm=AUTO)
    wait_until((folder.path / "pids").exists)
    run.kill()
    (left,) = (folder.path / "logs" / "s").glob(".repetition-*")
    # It is no trial, and `gc` names it.
    numbers = [row["trial"] for row in folder.trials()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert left.name in folder.swath("gc", "s").stdout
    run.start()
    wait_until(lambda: not left.exists() or run.process.poll() is not None)
    assert not left.exists(), "".join(run.lines)
    run.stop()


def test_the_trials_of_other_slots_go_on_while_one_is_repeated(folder):
    run = Run(folder, REPEATS_FOR_EVER, warm=AUTO, jobs=2)
    wait_until((folder.path / "pids").exists)
    ran = run.begun()
    wait_until(lambda: run.begun() > ran + 3)
    run.stop()
