"""Notebooks: that of the examples runs from its first cell to its last, and studies show themselves."""

import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import swath
from swath import _optimize, _read


def run_cells(folder, *cells):
    """Runs the cells in a kernel of their own, and returns their outputs as HTML or text."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder.path)}}
    nbclient.NotebookClient(notebook, timeout=60, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    data = [output["data"] for output in outputs if "data" in output]
    return [item.get("text/html", item.get("text/plain", "")) for item in data]


def is_served(address):
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return b"</html>" in response.read()
    except urllib.error.URLError:
        return False


def test_the_page_of_an_open_study_is_live_until_the_kernel_ends(folder, monkeypatch):
    for variable in _read._REMOTE:
        monkeypatch.delenv(variable, raising=False)
    outputs = run_cells(
        folder,
        "import swath\nstudy = swath.Study('bowl', space={'x': (-1.0, 1.0)}, trials=3)",
        "study.show()",
        "offer = study.ask()\nstudy.tell(offer, 0.5)\nstudy.show(height=300)",
        "import urllib.request\nfrom swath import _read\n"
        "address = next(iter(_read._servers.values()))[1]\n"
        "urllib.request.urlopen(address + 'data?since=', timeout=10).read().decode()",
        "study.show(live=False)",
    )
    frame = r'src="(http://127\.0\.0\.1:\d+/\w+/)"'
    addresses = {re.search(frame, html)[1] for html in outputs[:2]}
    assert len(addresses) == 1 and "height:300px" in outputs[1]
    assert "0.5" in outputs[2] and "bowl" in outputs[2]
    assert "srcdoc=" in outputs[3]
    # The kernel has ended, and with it the standard input of the server.
    deadline = time.monotonic() + 30
    while is_served(next(iter(addresses))):
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.1)


def test_a_page_for_a_browser_elsewhere_is_a_copy(folder, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    outputs = run_cells(
        folder,
        "import swath\nstudy = swath.Study('bowl', space={'x': (-1.0, 1.0)}, trials=3)\nstudy.show()",
    )
    assert "srcdoc=" in outputs[0]


def test_a_running_optimization_shows_its_progress(folder, monkeypatch):
    shown = []

    class Handle:
        def update(self, board):
            shown.append(board._repr_html_())

    begin = _optimize._Board.__init__

    def begin_in_notebook(board, *arguments):
        begin(board, *arguments)
        board.handle = Handle()

    monkeypatch.setattr(_optimize._Board, "__init__", begin_in_notebook)
    swath.optimize(one_second, {"x": (0.0, 1.0)}, name="slow", trials=3)
    assert any("of 3 trials have ended, 1 running" in html for html in shown)
    assert "3 of 3 trials have ended, 0 running" in shown[-1]
    assert "value='3' max='3'" in shown[-1] and ">x</th>" in shown[-1]


def one_second(trial):
    time.sleep(0.6)
    return trial.x


def test_the_progress_of_an_optimization_is_an_output_of_its_cell(folder):
    outputs = run_cells(
        folder,
        "import swath\ns = swath.optimize(lambda x: x, {'x': (0.0, 1.0)}, name='line', trials=2)",
    )
    assert "2 of 2 trials have ended" in outputs[0]


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
