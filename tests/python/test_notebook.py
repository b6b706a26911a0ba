"""The notebook of the examples runs from its first cell to its last, twice."""

from pathlib import Path

import pytest


def test_the_notebook_runs_and_continues_its_study(folder):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("sklearn")
    path = Path(__file__).parents[2] / "examples/notebooks/function.ipynb"
    for _ in range(2):
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, timeout=120, resources={
            "metadata": {"path": str(folder.path)}
        }).execute()
    trials = folder.trials("cancer")
    assert len(trials) == 27 and all(trial["attempts"] == 1 for trial in trials)
    assert max(trial["objectives"].get("accuracy", 0) for trial in trials) > 0.9
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    page = [output["data"]["text/html"] for output in outputs if "iframe" in str(output)]
    assert len(page) == 1
