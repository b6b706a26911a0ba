"""The import of packages by a host: trials that begin meanwhile, and imports that fail."""

import sys

import pytest
from warm_runs import WITHIN, Run

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts need Linux"
)

REPORT = "import imported\nswath.report(loss=params.x)"


def imports(in_trial, in_host):
    """Returns a package that runs other code in trials than in a host."""
    lines = ["import os, signal, time", 'if "SWATH_TRIAL" in os.environ:']
    return {"imported.py": "\n".join([*lines, f"    {in_trial}", "else:", f"    {in_host}", ""])}


def cold_starts(folder, trials):
    """Returns the reasons for which trials were not forked, without repetition."""
    shown = [folder.swath("show", "s", str(trial)).stdout for trial in trials]
    lines = [line for text in shown for line in text.splitlines()]
    return {line.partition("cold: ")[2] for line in lines if "cold: " in line}


def wait_for_end(run):
    assert run.process.wait(WITHIN) == 0, "".join(run.lines)


def test_trials_wait_for_the_import_of_their_host_in_place_of_importing_themselves(folder):
    packages = imports("time.sleep(2)", "time.sleep(0.5)")
    run = Run(folder, REPORT, packages=packages, trials=4)
    wait_for_end(run)
    # All are forked: the first one by a host that has imported nothing.
    assert all(map(run.ran_forked, range(1, 5)))
    assert cold_starts(folder, range(1, 5)) == set()


def test_trials_start_cold_if_the_import_of_their_host_takes_too_long(folder):
    run = Run(folder, REPORT, packages=imports("pass", "time.sleep(600)"), trials=4)
    wait_for_end(run)
    assert cold_starts(folder, [4]) == {"its host imports the packages"}


def test_an_import_that_crashes_outside_of_trials_ends_none_and_is_not_repeated(folder):
    run = Run(
        folder,
        REPORT,
        packages=imports("pass", "open(__file__ + '.log', 'a').write('x'); os.abort()"),
        trials=8,
        jobs=2,
    )
    wait_for_end(run)
    reason = "importing its packages outside of a trial has crashed its host"
    assert cold_starts(folder, [8]) == {reason}
    assert [row["attempts"] for row in folder.trials()] == [1] * 8
    assert (folder.path / "site-packages/imported.py.log").read_text() == "x"
