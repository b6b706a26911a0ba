"""Tests the HTML page in a real browser: page.py SWATH [FOLDER FOR SCREENSHOTS].

The page of `swath export --html` and `swath ui` opens without console errors or network requests.
It filters in the language of `--where`, sorts, picks and brushes trials, fits 1280 and 400 pixels
in light and dark, prints, keeps zoom, focus and scroll positions when it changes, keeps what was
chosen in its address, never parses names or values as HTML, and updates during a run. With 10,000
trials it draws every curve in small slices. Logs, artifacts, comparisons and actions work.

AXE=axe.min.js in the environment also runs axe-core on the page.
"""

import base64
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib

from chromium import Chromium

SWEEP = """
name = "browser"
[run]
command = ["sh", "-c", '''
for epoch in 1 2 3 4 5 6; do
  loss=$(awk "BEGIN {{ print 1.5 / $epoch + {x} }}")
  "$SWATH_PROGRAM" report epoch=$epoch val_loss=$loss </dev/null
done
sleep 0.2''']
[objective]
metric = "val_loss"
goal = "min"
[search]
sampler = "random"
trials = TRIALS
[resources]
jobs = 2
[space]
x = { min = 0.0, max = 1.0 }
lr = { min = 1e-5, max = 1e-1, log = true }
"a<b" = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "größe 数"]
momentum = { min = 0.0, max = 0.99, when = "x > 0.5" }
"""
EXPECTED_CHARTS = {
    *("history", "curves", "parallel", "slice"),
    *("contour", "importance", "timeline"),
}
IS_DRAWN = "work.tasks.size === 0"
TABLE_ROWS = "document.querySelectorAll('.table-box tbody tr:not(.spacer)')"
VISIBLE_COUNT = "swath.sections[0].study.shownCount"


def main():
    swath = os.path.abspath(sys.argv[1])
    screenshots = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_sweep(14)
        run_swath(swath, "run", "sweep.toml")
        run_swath(swath, "export", "browser", "--html", "report.html")
        browser = Chromium()
        try:
            test_exported_page(browser, f"file://{folder}/report.html", screenshots)
            test_filter_language(browser, swath)
            test_updates(browser)
            test_address(browser)
            test_paper(browser)
            test_trial_view(browser)
            test_compared_trials(browser)
            test_keyboard(browser)
            test_large_study(browser, folder)
            test_failures(browser, swath, folder)
            test_scheduler_and_objectives(browser, swath, folder)
            test_several_studies(browser, swath, folder)
            test_live_page(browser, swath)
            test_logs_and_artifacts(browser, swath)
            test_actions(browser, swath)
            test_actions_on_a_run(browser, swath)
        finally:
            browser.close()
    print("the page opens, filters, sorts, picks, brushes, fits and follows")


def write_sweep(trials):
    with open("sweep.toml", "w", encoding="utf-8") as file:
        file.write(SWEEP.replace("TRIALS", str(trials)))


def run_swath(swath, *args):
    result = subprocess.run(
        [swath, *args], env=os.environ | {"SWATH_PROGRAM": swath}, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{args}: {result.stdout}\n{result.stderr}"


def test_exported_page(browser, url, screenshots):
    for width in (1280, 400):
        for dark in (False, True):
            test_appearance(browser, url, width, dark, screenshots)
    browser.set_window(1280, 900)
    browser.open(url)
    browser.wait("window.swath && swath.sections.length === 1")
    test_insights(browser)
    test_names_are_text(browser)
    test_filter(browser)
    test_sorting(browser)
    test_picking(browser)
    test_brushing(browser)
    assert not browser.errors, browser.errors


def draw_all(browser):
    """Draws every chart, also those outside the window."""
    browser.run("swath.cards().forEach((card) => card.approach(true))")
    browser.wait(IS_DRAWN)


def card(kind):
    """Returns a script for the card of a kind."""
    return f"swath.cards().find((card) => card.kind === '{kind}')"


def check_accessibility(browser):
    """Runs axe-core, if its file is given."""
    path = os.environ.get("AXE")
    if not path:
        return
    with open(path, encoding="utf-8") as file:
        browser.run(file.read() + ";1")
    violations = browser.run("axe.run().then(({ violations }) => violations.map(({ id }) => id))")
    assert not violations, violations


def test_appearance(browser, url, width, dark, screenshots):
    browser.set_window(width, 900, dark)
    browser.open(url)
    browser.wait("window.swath && swath.sections.length === 1")
    draw_all(browser)
    page_width = browser.run("document.documentElement.scrollWidth")
    assert page_width <= width, f"the page is {page_width} pixels wide"
    drawn = browser.run(
        "swath.cards().filter((card) => !card.node.hidden).map((card) => card.kind)"
    )
    assert EXPECTED_CHARTS <= set(drawn), drawn
    test_descriptions(browser)
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    is_light = sum(int(part) for part in background[4:-1].split(",")) > 384
    assert is_light != dark, background
    check_accessibility(browser)
    if screenshots:
        os.makedirs(screenshots, exist_ok=True)
        name = f"page-{width}-{'dark' if dark else 'light'}.png"
        browser.save_screenshot(os.path.join(screenshots, name))
    assert not browser.errors, browser.errors
    assert set(browser.requests) <= {url}, browser.requests


def test_descriptions(browser):
    """Each chart has a text about itself, and captions speak of nothing that the chart lacks."""
    labels = browser.run(
        "Object.fromEntries(swath.cards().filter((card) => !card.node.hidden)"
        ".map((card) => [card.kind, card.chartNode.getAttribute('aria-label')]))"
    )
    for kind, label in labels.items():
        assert label and "14 trials" in label and "series" not in label, (kind, label)
    assert "val_loss (lower is better) over trial" in labels["history"], labels["history"]
    assert "shares of the variance: " in labels["importance"], labels["importance"]
    notes = browser.run(f"{card('curves')}.notes.textContent")
    assert "×" not in notes, "no trial was stopped, and none has failed"
    nearest = browser.run("""(() => {
            const { picked, state, best } = palette();
            const others = [...Object.values(state), best].filter((colour) => !picked.includes(colour));
            const distance = (one, other) =>
                Math.hypot(...rgbOf(one).map((part, index) => part - rgbOf(other)[index]));
            return Math.min(...picked.flatMap((one) => others.map((other) => distance(one, other))));
        })()""")
    assert nearest > 45, "a picked trial has a colour of its own"
    names = browser.run("swath.sections[0].study.data.curves.map(({ metric }) => metric)")
    assert names == ["val_loss"], "the axis is no curve"
    # The title above a vertical axis is not cut at the edge of the chart.
    lefts = browser.run(
        "swath.cards().filter((card) => card.chart).flatMap((card) =>"
        "[card.chart.getOption().title].flat().map((title) => title ? title.left : 0))"
    )
    assert all(not isinstance(left, (int, float)) or left >= 0 for left in lefts), lefts


def test_insights(browser):
    items = "document.querySelectorAll('.insights li')"
    texts = browser.run(f"[...{items}].map((item) => item.textContent)")
    best = browser.run("swath.sections[0].study.data.best.trial")
    assert texts and texts[0].startswith(f"Trial {best} is best: val_loss "), texts
    first = browser.run(f"{items}[0].getBoundingClientRect().top")
    cards = browser.run("document.querySelector('.cards').getBoundingClientRect().top")
    assert 0 < first < cards, "the sentences come before the charts"
    # The number of the best trial opens it.
    browser.run(f"{items}[0].querySelector('.mention').click()")
    assert browser.run("document.querySelector('dialog[open] h2').textContent") == f"Trial {best}"
    browser.run("document.querySelector('dialog[open]').close()")
    # The view gives the focus back when its dialog has closed, a moment later.
    browser.wait("swath.trialView.id === null")
    # Each link leads to a chart that is drawn, and to the trials that are the evidence.
    for index in range(len(texts)):
        browser.run(f"{items}[{index}].querySelector('.link').click()")
        kind = browser.run("document.activeElement.dataset.kind")
        assert kind == browser.run(
            f"swath.sections[0].study.data.analysis.insights[{index}].chart"
        ), texts
        browser.wait(IS_DRAWN)
        shown = browser.run("document.activeElement.querySelector('canvas') !== null")
        assert shown, kind
        evidence = browser.run(
            f"swath.sections[0].study.data.analysis.insights[{index}].trials.length"
        )
        if evidence:
            browser.run(f"[...{items}[{index}].querySelectorAll('.link')].at(-1).click()")
            assert browser.run(VISIBLE_COUNT) == evidence
            browser.run("swath.sections[0].showAll()")
    # Sentences that stay the same are left alone, so that focus survives an update.
    browser.run(f"{items}[0].querySelector('.link').focus()")
    browser.run("swath.show({ studies: [swath.sections[0].study.data] })")
    assert browser.run("document.activeElement.className") == "link"


def test_names_are_text(browser):
    cells = browser.run("[...document.querySelectorAll('td')].map((cell) => cell.textContent)")
    markup = {"<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>"}
    assert markup & set(cells), cells
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0
    tooltip = "trialTooltip(swath.sections[0].study, 1)"
    assert browser.run(f"{tooltip}.querySelectorAll('img, script').length") == 0


def count_matches(browser, text):
    """Types a text into the filter and returns the number of visible trials."""
    browser.run(f"""{{
            const input = document.querySelector('.filter');
            input.value = {text!r};
            input.dispatchEvent(new Event('input'));
            input.dispatchEvent(new Event('change'));
        }}""")
    return browser.run(VISIBLE_COUNT)


def test_filter(browser):
    values = "swath.sections[0].study.data.trials.axes[0].values"
    small_count = browser.run(f"{values}.filter((x) => x < 0.5).length")
    assert count_matches(browser, "x < 0.5") == small_count
    label = browser.run("document.querySelector('.count').textContent")
    assert label.endswith("of 14"), label
    row_count = browser.run(f"{TABLE_ROWS}.length")
    assert row_count == browser.run(VISIBLE_COUNT), row_count
    for mistake, cure in {
        "x = 3": "write `==`",
        "unknown_column == 3": "there is no column",
        "x < 'a'": "compares a number with a string",
        "x < 0.5 or": "a value is missing",
    }.items():
        assert count_matches(browser, mistake) == 14
        assert browser.run("document.querySelector('.filter').classList.contains('invalid')")
        message = browser.run("document.querySelector('.filter-help').textContent")
        assert cure in message, message
    assert count_matches(browser, "complete") == 14
    assert count_matches(browser, "failed") == 0
    assert count_matches(browser, "") == 14


def random_number(rng):
    names = ["x", "lr", "momentum", "val_loss", "trial", "epoch", "param.x", "metric.val_loss"]
    computed = ["lr ** 0.5", "x // 0.2", "trial % 5", "-x", "momentum - x", "max(x, momentum)"]
    computed += ["round(x, 1)", "round(x * 10)", "sqrt(x)", "log2(lr)", "abs(x - 0.5)"]
    computed += ["floor(x * 7)", "sum([x, lr])", "len(state)", "x / (trial - 3)", "[1, x][0]"]
    return rng.choice(names + computed + ["0.5", "1e-3", "7", "-1"])


def random_condition(rng, depth=0):
    """Returns a random condition in the language of `--where`."""
    number = lambda: random_number(rng)
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return f"{number()} {rng.choice(['<', '<=', '>', '>=', '==', '!='])} {number()}"
    if kind == 1:
        return f"{number()} < {number()} <= {number()}"
    if kind == 2:
        texts = ["state == 'complete'", "state != 'failed'", "state in ['failed', 'stopped']"]
        texts += ["'r' in state", "state < 'd'", "state + 'x' == 'completex'", "state[0] == 'c'"]
        return rng.choice([*texts, "`a<b` == 'größe 数'", "`a<b` != 'größe 数'"])
    if kind == 3:
        absent = ["momentum == momentum", "not momentum < 2", "not (momentum > 0.5)"]
        return rng.choice([*absent, "trial in [1, 5, 14]", "(x<0.3)", "not x > 0.5"])
    if kind == 4:
        return f"{number()} in [{number()}, {number()}, 7]"
    if kind == 5:
        return f"not {random_condition(rng, depth + 1)}"
    joint = rng.choice(["and", "or"])
    return f"{random_condition(rng, depth + 1)} {joint} ({random_condition(rng, depth + 1)})"


def test_filter_language(browser, swath):
    """The filter of the page selects the same trials as `--where`."""
    rng = random.Random(7)
    selections = set()
    for _ in range(200):
        condition = random_condition(rng)
        listed = subprocess.run(
            [swath, "ls", "browser", "--json", f"--where={condition}"],
            capture_output=True,
            text=True,
        )
        count_matches(browser, condition)
        error = browser.run("(swath.sections[0].study.filterError || {}).message || null")
        if listed.returncode != 0:
            # Without a result in any trial `--where` is an error, and the page shows no trial.
            assert error or browser.run(VISIBLE_COUNT) == 0, (condition, listed.stderr)
            continue
        expected = sorted(trial["trial"] for trial in json.loads(listed.stdout)["trials"])
        shown = browser.run(
            "(({data, visible}) => data.trials.id.filter((_, row) => visible[row]))"
            "(swath.sections[0].study)"
        )
        assert error is None and shown == expected, (condition, error, shown, expected)
        selections.add(tuple(expected))
    assert len(selections) > 20, "the conditions must differ"
    count_matches(browser, "")


def test_updates(browser):
    """New data change neither zoom, focus, selection nor scroll positions."""
    browser.run("""{
            const history = swath.cards()[0];
            history.approach(true);
            work.finish();
            const zoom = { dataZoomIndex: 0, startValue: 3, endValue: 9 };
            history.chart.dispatchAction({ type: "dataZoom", ...zoom });
            document.querySelectorAll("th button")[2].focus();
            getSelection().selectAllChildren(document.querySelector(".summary"));
            document.querySelector(".table-box").scrollTop = 40;
        }""")
    view = """(() => {
        const { dataZoom } = swath.cards()[0].chart.getOption();
        return {
            zoom: [dataZoom[0].startValue, dataZoom[0].endValue],
            focus: document.activeElement.dataset.focus,
            selection: getSelection().toString(),
            scroll: document.querySelector(".table-box").scrollTop,
        };
    })()"""
    before = browser.run(view)
    assert before["zoom"] == [3, 9] and before["focus"] and before["selection"], before
    browser.run("""{
            const page = JSON.parse(document.getElementById("data").textContent);
            for (let poll = 0; poll < 30; poll++) {
                page.studies[0].trials.seconds[0] = poll;
                swath.show(structuredClone(page));
            }
        }""")
    browser.wait(IS_DRAWN)
    assert browser.run(view) == before, browser.run(view)


def test_address(browser):
    """The address contains what was chosen, and a broken one shows everything."""
    shown = count_matches(browser, "x < 0.5")
    browser.run("document.querySelectorAll('th button')[2].click()")
    browser.run("document.querySelector('.table-box tbody input').click()")
    zoom = "{ type: 'dataZoom', dataZoomIndex: 0, startValue: 3, endValue: 9 }"
    browser.run(f"{card('history')}.chart.dispatchAction({zoom})")
    chosen = "['x < 0.5', 'sort', 'picked', 'zooms'].every((part) => address.includes(part))"
    browser.wait(f"((address) => {chosen})(decodeURIComponent(location.hash))")
    url = browser.run("location.href")
    browser.open("about:blank")
    browser.open(url)
    browser.wait("window.swath && swath.sections.length === 1")
    assert browser.run(VISIBLE_COUNT) == shown
    assert browser.run("document.querySelector('.filter').value") == "x < 0.5"
    assert browser.run("document.querySelectorAll('.chip').length") == 1
    browser.wait(f"{card('history')}.chart && {IS_DRAWN}")
    zoomed = browser.run(f"{card('history')}.chart.getOption().dataZoom[0]")
    assert (zoomed["startValue"], zoomed["endValue"]) == (3, 9), zoomed
    browser.open("about:blank")
    browser.open(url.split("#")[0] + "#%7B%22browser%22")
    browser.wait("window.swath && swath.sections.length === 1")
    assert browser.run(VISIBLE_COUNT) == 14
    assert not browser.errors, browser.errors


def test_paper(browser):
    """A printed page is light and contains every chart and row."""
    browser.set_window(1280, 900, True)
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    shapes = browser.run(
        "swath.cards().filter((card) => !card.node.hidden)"
        ".map((card) => [card.kind, card.node.querySelectorAll('svg path').length])"
    )
    assert EXPECTED_CHARTS <= {kind for kind, count in shapes if count > 5}, shapes
    inked = browser.run(
        """swath.cards().filter((card) => card.layer && !card.node.hidden).map((card) => {
            const { canvas } = card.layer;
            const { width, height } = canvas;
            const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            return [card.kind, pixels.some((part) => part > 0)];
        })"""
    )
    assert all(is_inked for _, is_inked in inked) and len(inked) >= 5, inked
    assert browser.run(f"{TABLE_ROWS}.length") == 14
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('svg').length") == 0
    # The printed file has the marks: more lines and curves than one without them.
    printed = drawn_on_paper(browser)
    browser.run("Layer.prototype.realDraw = Layer.prototype.draw")
    browser.run("Layer.prototype.draw = function* () {}")
    blank = drawn_on_paper(browser)
    browser.run("Layer.prototype.draw = Layer.prototype.realDraw")
    # The learning curves and the parallel coordinates have lines, most others have points.
    assert printed["lines"] - blank["lines"] > 14 * (5 + 4), (printed, blank)
    assert printed["curves"] - blank["curves"] > 14 * 4 * 4, (printed, blank)
    browser.wait(IS_DRAWN)
    assert not browser.errors, browser.errors


def drawn_on_paper(browser):
    """Prints the page to PDF and returns the number of lines and curves in it."""
    data = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    counts = {"lines": 0, "curves": 0}
    for match in re.finditer(rb"stream\r?\n", data):
        end = data.find(b"endstream", match.end())
        try:
            content = zlib.decompressobj().decompress(data[match.end() : end])
        except zlib.error:
            continue
        counts["lines"] += len(re.findall(rb"[\d.] l\s", content))
        counts["curves"] += len(re.findall(rb"[\d.] c\s", content))
    return counts


def test_trial_view(browser):
    """The number of a trial opens everything about it, and the focus comes back."""
    browser.run("document.querySelectorAll('button.open')[3].click()")
    browser.wait("document.querySelectorAll('dialog .metric canvas').length >= 1")
    text = browser.run("document.querySelector('dialog').textContent")
    shown = browser.run("document.querySelector('dialog h2').textContent")
    number = shown.removeprefix("Trial ")
    for expected in (
        "Parameters",
        "val_loss",
        "Attempts and facts",
        "Provenance",
        f"swath why browser {number}",
    ):
        assert expected in text, (expected, text)
    values = browser.run("swath.trialView.series.find((line) => line.metric === 'val_loss').points")
    assert [step for step, _ in values] == [1, 2, 3, 4, 5, 6], values
    browser.wait(f"location.hash.includes('%22trial%22%3A{number}')")
    browser.run("document.querySelector('dialog').close()")
    browser.wait(f"document.activeElement.dataset.focus === 'open {number}'")
    assert not browser.errors, browser.errors


def click_column(browser, name):
    """Clicks the header of a column and returns its numbers from top to bottom."""
    headers = "[...document.querySelectorAll('th')]"
    index = browser.run(f"{headers}.findIndex((cell) => cell.textContent.startsWith({name!r}))")
    browser.run(f"{headers}[{index}].querySelector('button').click()")
    texts = browser.run(f"[...{TABLE_ROWS}].map((row) => row.cells[{index}].textContent)")
    return [float(text) for text in texts if text]


def test_sorting(browser):
    ascending = click_column(browser, "val_loss")
    assert len(ascending) == 14 and ascending == sorted(ascending), ascending
    descending = click_column(browser, "val_loss")
    assert descending == sorted(descending, reverse=True), descending
    conditional = click_column(browser, "momentum")
    assert 0 < len(conditional) < 14 and conditional == sorted(conditional), conditional


def test_picking(browser):
    browser.run("document.querySelector('.table-box tbody input').click()")
    browser.wait("document.querySelectorAll('.chip').length === 1")
    curves = card("curves")
    browser.run(f"{curves}.approach(true)")
    browser.wait(IS_DRAWN)
    assert browser.run(f"{curves}.layer.counts.picked") == 1
    axes_drawn = browser.run(f"{curves}.axesDrawn")
    browser.run("document.querySelector('.chip').click()")
    browser.wait("document.querySelectorAll('.chip').length === 0")
    browser.wait(IS_DRAWN)
    assert browser.run(f"{curves}.layer.counts.picked") == 0
    assert browser.run(f"{curves}.axesDrawn") == axes_drawn, "a pick draws nothing but marks"


def test_brushing(browser):
    browser.run("""{
            const card = swath.cards().find((card) => card.kind === 'parallel');
            card.node.scrollIntoView();
            card.approach(true);
        }""")
    browser.wait(IS_DRAWN)
    time.sleep(0.5)
    # Select the upper half of the first axis: x above the middle of its range.
    axis = browser.run("""(() => {
        const card = swath.cards().find((card) => card.kind === 'parallel');
        const parallel = card.chart.getModel().getComponent('parallel').coordinateSystem;
        const layout = parallel.getAxisLayout('dim0');
        const bounds = card.chartNode.getBoundingClientRect();
        const length = layout.axisExpandWindow ? 0 : card.chart.getHeight() - 60;
        const top = bounds.top + 40;
        return { x: bounds.left + layout.position[0], top, bottom: top + length };
    })()""")
    middle = (axis["top"] + axis["bottom"]) / 2
    browser.drag([axis["x"], axis["top"] + 2], [axis["x"], middle])
    browser.wait("swath.sections[0].study.brush !== null")
    selected = browser.run(VISIBLE_COUNT)
    assert 0 < selected < 14, f"{selected} trials are selected"
    lowest = browser.run("""(() => {
        const { data, brush } = swath.sections[0].study;
        const isBrushed = (_, row) => brush.has(data.trials.id[row]);
        return Math.min(...data.trials.axes[0].values.filter(isBrushed));
    })()""")
    assert lowest > 0.3, lowest
    row_count = browser.run(f"{TABLE_ROWS}.length")
    assert row_count == selected, (row_count, selected)
    browser.run(
        "[...document.querySelectorAll('button')]"
        ".find((button) => button.textContent === 'show all').click()"
    )
    assert browser.run(VISIBLE_COUNT) == 14


def test_compared_trials(browser):
    """Picked trials are compared by what differs in parameters, results and environment."""
    for id in (2, 5, 9):
        browser.run(f"swath.pick(swath.sections[0].study, {id})")
    browser.run("document.querySelector('[data-focus=compare]').click()")
    rows = "[...document.querySelectorAll('dialog.diff tr')].map((row) => row.textContent)"
    browser.wait(f"{rows}.some((text) => text.startsWith('val_loss'))")
    heads = browser.run(
        "[...document.querySelectorAll('dialog.diff th')].map((cell) => cell.textContent)"
    )
    assert heads[:4] == ["name", "trial 2", "trial 5", "trial 9"], heads
    shown = browser.run(f"{rows}.length")
    browser.run("document.querySelector('dialog.diff [aria-pressed]').click()")
    assert browser.run(f"{rows}.length") > shown, "the equal values are shown, too"
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    browser.wait("location.hash.includes('diff')")
    check_accessibility(browser)
    browser.run("document.querySelector('dialog.diff').close()")
    assert browser.run("document.activeElement.dataset.focus") == "compare"
    for id in (2, 5, 9):
        browser.run(f"swath.pick(swath.sections[0].study, {id})")
    assert not browser.errors, browser.errors


def press(browser, key, code=0):
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key=key,
            code=key,
            windowsVirtualKeyCode=code,
            **({"text": " "} if key == " " and kind == "keyDown" else {}),
        )


def test_keyboard(browser):
    """The arrow keys go through the marks of a chart, Space picks and Enter opens a trial."""
    history = card("history")
    browser.run(f"{history}.approach(true)")
    browser.wait(IS_DRAWN)
    browser.run(f"{history}.chartNode.focus()")
    for _ in range(3):
        press(browser, "ArrowRight", 39)
    assert browser.run(f"{history}.layer.hit.id") == 3
    assert "trial 3" in browser.run(f"{history}.layer.tip.textContent")
    press(browser, " ", 32)
    assert browser.run("[...swath.sections[0].study.picked.keys()]") == [3]
    browser.wait(IS_DRAWN)
    press(browser, "Enter", 13)
    browser.wait("document.querySelector('dialog.trial').open")
    press(browser, "Escape", 27)
    browser.wait(f"document.activeElement === {history}.chartNode")
    browser.wait("swath.trialView.id === null")
    browser.run("swath.pick(swath.sections[0].study, 3)")
    # One row of the table is a stop of the Tab key, and the arrow keys move to the others.
    stops = "document.querySelectorAll('.table-box tbody [tabindex=\"0\"]').length"
    browser.run("document.querySelectorAll('.table-box tbody button.open')[0].focus()")
    focused = "document.activeElement.closest('tr').rowIndex"
    before = browser.run(focused)
    for _ in range(3):
        press(browser, "ArrowDown", 40)
    press(browser, "ArrowUp", 38)
    assert browser.run(focused) == before + 2
    assert browser.run(stops) == 2, "the box and the number of one row"


def enlarge(path):
    """Writes a page with 10,000 trials of 100 reports each, made from the exported one."""
    with open("report.html", encoding="utf-8") as file:
        html = file.read()
    start = html.index('id="data">') + len('id="data">')
    end = html.index("</script>", start)
    page = json.loads(html[start:end])
    study, count = page["studies"][0], 10_000
    trials = study["trials"]

    def grow(values):
        return (values * (count // len(values) + 1))[:count]

    trials["id"] = list(range(1, count + 1))
    for key in ("state", "seconds", "step", "exit"):
        trials[key] = grow(trials[key])
    trials["objectives"] = [grow(values) for values in trials["objectives"]]
    trials["metrics"] = [[name, grow(values)] for name, values in trials["metrics"]]
    for axis in trials["axes"]:
        axis["values"] = grow(axis["values"])
    steps = list(range(1, 101))
    lines = [
        {"trial": id, "grid": 0, "values": [round(1 / step + id % 97 / 100, 5) for step in steps]}
        for id in trials["id"]
    ]
    study["curves"] = [{**study["curves"][0], "of": count, "grids": [steps], "lines": lines}]
    study["history"][0]["complete"] = [[id, 1 + id % 89 / 89] for id in trials["id"]]
    study["history"][0]["last"] = count
    data = json.dumps(page).replace("<", "\\u003c")
    with open(path, "w", encoding="utf-8") as file:
        file.write(html[:start] + data + html[end:])


def cpu_seconds(browser):
    """Returns the time that the main thread of the page has had on a processor."""
    metrics = browser.call("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in metrics}["TaskDuration"]


def test_large_study(browser, folder):
    """With 10,000 trials of 100 reports all curves are drawn, in small slices, and a key draws no
    axes. Counts and the processor's time do not depend on what else the machine does; the bounds on
    time are several times what a usual machine takes."""
    enlarge("large.html")
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.open("about:blank")
    before = cpu_seconds(browser)
    browser.open(f"file://{folder}/large.html")
    browser.wait("window.swath && swath.sections.length === 1", 60)
    browser.wait(IS_DRAWN, 60)
    opening = cpu_seconds(browser)
    # Another process may have taken the page, and its clock begins at 0.
    assert opening - min(before, opening) < 2, opening
    draw_all(browser)
    shown = "['history', 'curves', 'parallel'].map((kind) => {"
    shown += "const { layer } = swath.cards().find((card) => card.kind === kind);"
    shown += "return Object.values(layer.counts).reduce((sum, one) => sum + one, 0); })"
    # The line of the best values is a mark of the history.
    assert browser.run(shown) == [10001, 10000, 10000], browser.run(shown)
    axes = "swath.cards().map((card) => card.kind === 'edf' ? 0 : card.axesDrawn || 0)"
    before = browser.run(axes)
    browser.run("work.mostPoints = 0")
    started = cpu_seconds(browser)
    browser.run("""(async () => {
            const filter = document.querySelector(".filter");
            for (const key of "x < 0.5 and val_loss < 1") {
                filter.value += key;
                filter.dispatchEvent(new Event("input"));
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
        })()""")
    browser.wait("swath.sections[0].study.filter.endsWith('< 1')")
    browser.wait(IS_DRAWN)
    assert browser.run(axes) == before
    hidden = browser.run(f"{card('curves')}.layer.counts.hidden")
    assert hidden == 10000 - browser.run(VISIBLE_COUNT) > 0, hidden
    # Ten keys a second leave the page idle for most of the time.
    assert (cpu_seconds(browser) - started) / 25 < 0.1, cpu_seconds(browser) - started
    # Between two frames there are at most so many points. The last item may exceed the limit.
    assert 0 < browser.run("work.mostPoints") < 3000 + 400, browser.run("work.mostPoints")
    assert browser.run(f"{TABLE_ROWS}.length") < 100
    browser.call("HeapProfiler.collectGarbage")
    heap = browser.run("performance.memory.usedJSHeapSize / 1e6")
    assert heap < 150, f"{heap} MB"
    assert not browser.errors, browser.errors


FAILING = """
name = "failing"
[run]
command = ["sh", "-c", '''
if [ {batch} -ge 128 ]; then
  echo "Traceback (most recent call last):" >&2
  echo "RuntimeError: CUDA error: out of memory, tried to allocate 20 GiB" >&2
  exit 1
fi
"$SWATH_PROGRAM" report loss={x} </dev/null''']
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "grid"
trials = 40
[limits]
quick_failures = 0
[resources]
jobs = 2
[space]
x = { min = 0.1, max = 0.8, step = 0.1 }
batch = [16, 32, 64, 128, 256]
"""


def test_failures(browser, swath, folder):
    """The reason of a failure is in a sentence, in the table, in its chart and above the trial."""
    with open("failing.toml", "w", encoding="utf-8") as file:
        file.write(FAILING)
    run_swath(swath, "run", "failing.toml")
    open_export(browser, swath, folder, "failing")
    cause = "RuntimeError: CUDA error: out of memory, tried to allocate 20 GiB"
    sentences = browser.run("document.querySelector('.insights').textContent")
    assert cause in sentences and "all with batch ≥ 128" in sentences, sentences
    assert cause in browser.run(f"{card('failures')}.chartNode.getAttribute('aria-label')")
    labels = f"{card('failures')}.chart.getZr().storage.getDisplayList()"
    texts = browser.run(f"{labels}.flatMap((shape) => shape.style.text || [])")
    assert any(cause in text for text in texts), texts
    assert "×" not in browser.run(f"{card('curves')}.notes.textContent")
    bottom = "swath.cards()[0].layer.sets.find(({ shape }) => shape === 'cross')"
    lowest = f"Math.min(...{bottom}.place.filter((_, index) => index % 2 === 1))"
    below = browser.run(f"{lowest} > {bottom}.clip.y + {bottom}.clip.height")
    assert below, "failed trials lie below the axis, not among the values"
    # A run that is broken off leaves its failed trials waiting, with the reason.
    with open("broken.toml", "w", encoding="utf-8") as file:
        file.write(
            FAILING.replace("failing", "broken")
            .replace("quick_failures = 0\n", "")
            .replace("-ge 128", "-ge 1")
        )
    subprocess.run([swath, "run", "broken.toml"], capture_output=True, check=False)
    run_swath(swath, "export", "broken", "--html", "other.html")
    browser.open("about:blank")
    browser.open(f"file://{folder}/other.html")
    browser.wait("window.swath && swath.sections.length === 1")
    assert "waiting after a failure" in browser.run(
        "document.querySelector('.summary').textContent"
    )
    assert cause in browser.run("document.querySelector('td.why').textContent")
    browser.run("document.querySelector('button.open').click()")
    browser.wait("document.querySelector('dialog .cause') !== null")
    assert cause in browser.run("document.querySelector('dialog .part').textContent")
    # A study of one trial has the bounds of its sweep file.
    with open("single.toml", "w", encoding="utf-8") as file:
        space = "lr = { min = 1e-5, max = 1e-1, log = true }"
        text = FAILING.replace("failing", "single").replace("trials = 40", "trials = 1")
        file.write(
            text[: text.index("x = { min")]
            .replace("{batch}", "1")
            .replace("={x}", "={lr}")
            .replace('"grid"', '"random"')
            + space
        )
    run_swath(swath, "run", "single.toml")
    open_export(browser, swath, folder, "single")
    axis = browser.run(f"{card('slice')}.chart.getOption().xAxis[0]")
    assert (axis["type"], axis["min"], axis["max"]) == ("log", 1e-5, 0.1), axis
    assert not browser.errors, browser.errors


SCHEDULED = """
name = "scheduled"
[run]
command = ["sh", "-c", '''
for epoch in 1 2 3 4 5 6 7 8 9; do
  loss=$(awk "BEGIN {{ print 1.5 / $epoch + {x} }}")
  "$SWATH_PROGRAM" report --wait epoch=$epoch loss=$loss </dev/null || exit 0
done''']
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 27
[scheduler]
name = "asha"
resource = "epoch"
min = 1
max = 9
[resources]
jobs = 2
[space]
x = { min = 0.0, max = 1.0 }
lr = { min = 1e-5, max = 1e-1, log = true }
"""


def ask_tell(swath, name, trials, objectives, space, seed):
    """Makes a study from values that functions of the parameters give."""
    parts = [
        f'[[objective]]\nmetric = "{metric}"\ngoal = "{goal}"\n' for metric, goal, _ in objectives
    ]
    head = f'name = "{name}"\n'
    search = f'[search]\nsampler = "random"\ntrials = {trials}\n[space]\n{space}'
    with open(f"{name}.toml", "w", encoding="utf-8") as file:
        file.write(head + "".join(parts) + search)
    process = subprocess.Popen(
        [swath, "ask-tell", f"{name}.toml"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    rng = random.Random(seed)
    for _ in range(trials):
        print(json.dumps({"ask": 1}), file=process.stdin, flush=True)
        proposal = json.loads(process.stdout.readline())
        values = {
            metric: value(proposal["params"]) + rng.random() / 50 for metric, _, value in objectives
        }
        told = {"tell": {"trial": proposal["trial"], "values": values}}
        print(json.dumps(told), file=process.stdin, flush=True)
        process.stdout.readline()
    process.stdin.close()
    assert process.wait(60) == 0


def open_export(browser, swath, folder, *names):
    run_swath(swath, "export", *names, "--html", "other.html")
    browser.open("about:blank")
    browser.open(f"file://{folder}/other.html")
    browser.wait(f"window.swath && swath.sections.length === {len(names)}")
    draw_all(browser)


def choose(browser, kind, label, value):
    """Chooses from a menu of a card."""
    script = f"""(() => {{
        const menu = {card(kind)}.controls.querySelector('[aria-label="{label}"]');
        menu.value = {json.dumps(value)};
        menu.dispatchEvent(new Event("change"));
        return menu.value;
    }})()"""
    assert browser.run(script) == value, (kind, label, value)
    browser.wait(IS_DRAWN)


def test_scheduler_and_objectives(browser, swath, folder):
    """Charts compare trials at a rung, follow promotions, and show each objective."""
    with open("scheduled.toml", "w", encoding="utf-8") as file:
        file.write(SCHEDULED)
    run_swath(swath, "run", "scheduled.toml")
    open_export(browser, swath, folder, "scheduled")
    rungs = card("rungs")
    assert browser.run(f"{rungs}.layer.sets[0].ids.length") == 27, "each trial has a path"
    levels = browser.run(
        "swath.sections[0].study.data.levels[0].map(({ trials }) => trials.length)"
    )
    assert levels[0] == 27 and levels == sorted(levels, reverse=True), levels
    best = browser.run("swath.sections[0].study.data.best.trial")
    first = browser.run("document.querySelector('.insights li').textContent")
    assert first.startswith(f"Trial {best} is best: loss "), first
    for kind in ("importance", "contour", "slice", "parallel", "rank"):
        assert not browser.run(f"{card(kind)}.node.hidden"), kind
    surfaces = "swath.sections[0].study.data.analysis.objectives[0]"
    assert browser.run(f"{surfaces}.rung.importance.trials") >= 9
    ask_tell(
        swath,
        "objectives",
        60,
        [
            ("loss", "min", lambda params: params["p1"]),
            ("time", "min", lambda params: 1 - params["p2"]),
            ("score", "max", lambda params: params["p1"] * params["p2"]),
        ],
        "".join(f"p{index} = {{ min = 0.0, max = 1.0 }}\n" for index in range(1, 31)),
        1,
    )
    open_export(browser, swath, folder, "objectives")
    study = "swath.sections[0].study"
    for metric, parameter in (("time", "p2"), ("loss", "p1")):
        choose(browser, "history", "objective", metric)
        assert browser.run(f"{study}.view().history.metric") == metric
        # The important parameter comes first, and the page says how many it does not show.
        assert browser.run(f"{study}.orderedAxes(24)[0].name") == parameter
        title = browser.run(f"{card('slice')}.chart.getOption().xAxis[0].name")
        assert title == parameter, title
    assert "24 most important of 30" in browser.run(f"{card('slice')}.notes.textContent")
    summary = browser.run(
        "[...document.querySelectorAll('.summary')].map((line) => line.textContent)"
    )
    assert all(len(line) < 250 for line in summary), summary
    shares = browser.run(
        f"{card('importance')}.chart.getOption().series.map((bars) => bars.data.length)"
    )
    assert shares == [20, 20, 20], "the importance of all objectives stands side by side"
    axes = browser.run(
        f"{card('parallel')}.chart.getOption().parallelAxis.map((axis) => axis.name)"
    )
    assert axes[-3:] == ["loss", "time", "score"], axes
    assert "score" in browser.run(f"{card('pareto')}.legend.textContent")
    assert browser.run(f"{card('edf')}.chart.getOption().series[0].data.length") == 60
    assert not browser.errors, browser.errors


def test_several_studies(browser, swath, folder):
    """Several studies share a table, a filter, curves and the verdict of `compare`."""
    for name, offset in (("one", 0.0), ("two", 0.5)):
        objective = ("loss", "min", lambda params, offset=offset: params["x"] / 10 + offset)
        ask_tell(swath, name, 12, [objective], "x = { min = 0.0, max = 1.0 }\n", 2)
    open_export(browser, swath, folder, "one", "two")
    together = "document.querySelector('.together')"
    rows = f"[...{together}.querySelectorAll('.table-box tbody tr:not(.spacer)')]"
    assert browser.run(f"{rows}.length") == 24
    browser.wait(f"{together}.textContent.includes('Comparison of the studies')")
    texts = browser.run(
        f"[...{together}.querySelectorAll('.card table')[0].rows].map((row) => row.textContent)"
    )
    assert any(text.startswith("two12") and text.endswith("worse") for text in texts), texts
    browser.run(f"""{{
            const filter = {together}.querySelector(".filter");
            filter.value = "loss < 0.3";
            filter.dispatchEvent(new Event("input"));
        }}""")
    browser.wait(f"{rows}.length === 12")
    assert browser.run("swath.sections[1].study.shownCount") == 0
    browser.run(f"{rows}[3].querySelector('input').click()")
    assert browser.run("[...swath.sections[0].study.picked.keys()]") == [4]
    check_accessibility(browser)
    assert not browser.errors, browser.errors


def test_live_page(browser, swath):
    server = subprocess.Popen(
        [swath, "ui", "browser"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    study = "swath.sections[0].study"
    try:
        url = server.stdout.readline().strip()
        browser.open(url)
        browser.wait(f"window.swath && swath.sections.length === 1 && {study}.count === 14")
        assert not browser.errors, browser.errors
        browser.run("document.querySelector('button.open').click()")
        browser.wait("document.querySelectorAll('dialog .metric canvas').length >= 1")
        browser.run("document.querySelector('dialog').close()")
        write_sweep(34)
        second_run = subprocess.Popen(
            [swath, "run", "sweep.toml"],
            env=os.environ | {"SWATH_PROGRAM": swath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        browser.wait(f"{study}.data.running")
        assert second_run.wait(60) == 0
        browser.wait(f"{study}.count === 34 && !{study}.data.running")
        # The server has sent what changed, not the whole again.
        sizes = browser.run("swath.patchSizes")
        whole = browser.run(f"JSON.stringify({study}.data).length")
        assert sizes and sorted(sizes)[len(sizes) // 2] < whole / 4, (sizes, whole)
        assert browser.run("document.getElementById('live').textContent") == "live"
        assert all(request.startswith(url) for request in browser.requests), browser.requests
        assert not browser.errors, browser.errors
    finally:
        server.terminate()
        server.wait()
    browser.wait("document.getElementById('live').textContent.startsWith('not connected')")


WRITER = r"""
name = "writer"
[run]
command = ["sh", "-c", '''
mkdir -p "$SWATH_TRIAL_DIR/artifacts/images"
printf "name,value\n<i>,1\n\"b,c\",2\n" > "$SWATH_TRIAL_DIR/artifacts/table.csv"
printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>" \
  > "$SWATH_TRIAL_DIR/artifacts/images/plot.svg"
printf "\033[1;31mfirst <b>line</b>\033[0m plain\n" >&2
while [ ! -e "GO" ]; do sleep 0.1; done
echo "last line" >&2
exit {code}''']
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 1
[space]
code = [3]
"""


def serve(swath, *args):
    """Starts `swath ui` and returns its process and its address."""
    server = subprocess.Popen(
        [swath, "ui", *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return server, server.stdout.readline().strip()


def start_waiting_run(swath, name, sweep, awaited):
    """Starts a sweep whose trials wait for a file. Returns the process and the path of that file
    once the study contains the path `awaited`."""
    go = os.path.abspath(f"go-{name}")
    with open(f"{name}.toml", "w", encoding="utf-8") as file:
        file.write(sweep.replace("GO", go))
    run = subprocess.Popen(
        [swath, "run", f"{name}.toml", "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not os.path.exists(f"logs/{name}/{awaited}"):
        assert time.monotonic() < deadline, "the trials have not started"
        time.sleep(0.05)
    return run, go


def test_logs_and_artifacts(browser, swath):
    """The log of a running trial grows, with its colours as classes and its text as text. The code
    that was not committed is shown."""
    commit_with_change("helper.py", "a = 1\n", "a = '<b>'\n")
    run, go = start_waiting_run(swath, "writer", WRITER, "1/stderr.log")
    server, url = serve(swath, "writer")
    try:
        browser.open(url)
        browser.wait("window.swath && swath.sections.length === 1")
        browser.wait("document.querySelector('button.open') !== null")
        browser.run("document.querySelector('button.open').click()")
        lines = "[...document.querySelectorAll('.log div')].map((line) => line.textContent)"
        browser.wait(f"{lines}.length === 1")
        assert browser.run(lines) == ["first <b>line</b> plain"]
        assert (
            browser.run("document.querySelector('.log .bold.ansi1').textContent")
            == "first <b>line</b>"
        )
        assert browser.run("document.querySelectorAll('.log b').length") == 0
        browser.wait("document.querySelector('.artifacts img') !== null")
        browser.wait("document.querySelector('.artifacts img').naturalWidth === 9")
        browser.run("[...document.querySelectorAll('.artifacts details')].at(-1).open = true")
        cells = "[...document.querySelectorAll('.artifacts td')].map((cell) => cell.textContent)"
        browser.wait(f"{cells}.length === 4")
        assert browser.run(cells) == ["<i>", "1", "b,c", "2"]
        check_accessibility(browser)
        open(go, "w", encoding="utf-8").close()
        browser.wait(f"{lines}.includes('last line')", 60)
        browser.wait("document.querySelector('dialog .cause') !== null", 60)
        patch = browser.run("document.querySelector('details > pre').textContent")
        assert "\n-a = 1\n+a = '<b>'\n" in patch, patch
        search = "document.querySelector('[aria-label=\"search stderr.log\"]')"
        browser.run(f"{search}.value = 'LAST'; {search}.dispatchEvent(new Event('input'))")
        visible = "document.querySelectorAll('.log div:not([hidden])').length"
        browser.wait(f"{visible} === 1")
        run.wait(60)
        assert not browser.errors, browser.errors
    finally:
        open(go, "w", encoding="utf-8").close()
        server.terminate()
        server.wait()
        run.kill()
        run.wait()
        shutil.rmtree(".git")


def commit_with_change(path, before, after):
    """Creates a git repository with one file, which is changed after the commit."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(before)
    person = ["-c", "user.name=p", "-c", "user.email=p@example.org"]
    for words in (["init", "--quiet"], ["add", path], [*person, "commit", "--quiet", "-m", "c"]):
        subprocess.run(["git", *words], check=True, timeout=30)
    with open(path, "w", encoding="utf-8") as file:
        file.write(after)


def test_actions(browser, swath):
    """With --allow-actions a failed trial is retried and a variation is added, after a question."""
    server, url = serve(swath, "writer", "--allow-actions")
    try:
        browser.open(url)
        browser.wait("window.swath && swath.sections.length === 1")
        browser.wait("swath.sections[0].study.stateOf(1) === 'failed'")
        browser.run("document.querySelector('button.open').click()")
        retry = "[...document.querySelectorAll('.actions button')].find((b) => b.textContent"
        browser.wait(f"{retry} === 'retry') !== undefined")
        browser.run(f"{retry} === 'retry').click()")
        browser.run(f"{retry} === 'run trial 1 again?').click()")
        browser.wait("swath.sections[0].study.stateOf(1) === 'waiting'", 60)
        message = "[...document.querySelectorAll('dialog [role=status]')].map((x) => x.textContent)"
        forms = "document.querySelectorAll('.actions form')"
        browser.run(f"{forms}[0].querySelector('input').value = 'look <i>here</i>'")
        browser.run(f"{forms}[0].requestSubmit()")
        notes = "(swath.sections[0].study.data.trials.notes || [])[0]"
        browser.wait(f"{notes} === 'look <i>here</i>'", 60)
        browser.run(f"{forms}[1].querySelector('input').value = 'good'")
        browser.run(f"{forms}[1].requestSubmit()")
        browser.wait("(swath.sections[0].study.data.trials.tags || []).length === 1", 60)
        assert count_matches(browser, "tag == 'good' and 'here' in note") == 1
        assert browser.run("swath.sections[0].study.filterError") is None
        assert count_matches(browser, "tag != 'good'") == 0
        prefilled = browser.run("document.querySelector('.add input').value")
        assert prefilled == "3", prefilled
        browser.wait("document.querySelector('.add') !== null")
        browser.run("document.querySelector('.add').requestSubmit()")
        browser.wait(f"{message}.join(' ').includes('trial 1 already has this configuration')", 60)
        assert not browser.errors, browser.errors
    finally:
        server.terminate()
        server.wait()
    server, url = serve(swath, "writer")
    try:
        browser.open(url)
        browser.wait("window.swath && swath.sections.length === 1")
        assert browser.run("swath.actions.areAllowed") is False
        assert browser.run("document.querySelectorAll('.actions').length") == 0
    finally:
        server.terminate()
        server.wait()


ENDLESS = """
name = "endless"
[run]
command = ["sh", "-c", 'while [ ! -e GO ]; do sleep 0.1; done; echo {x}']
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = 2
[resources]
jobs = 2
[space]
x = { min = 0.0, max = 1.0 }
"""


def click_twice(browser, selector, label, question):
    """Clicks a button that asks before it acts."""
    buttons = f"[...document.querySelectorAll('{selector} button')]"
    for text in (label, question):
        browser.wait(f"{buttons}.some((button) => button.textContent === {text!r})", 60)
        browser.run(f"{buttons}.find((button) => button.textContent === {text!r}).click()")


def test_actions_on_a_run(browser, swath):
    """A single trial of a run is stopped, and the total number of trials is raised."""
    run, go = start_waiting_run(swath, "endless", ENDLESS, "2")
    server, url = serve(swath, "endless", "--allow-actions")
    try:
        study = "swath.sections[0].study"
        browser.open(url)
        browser.wait("window.swath && swath.sections.length === 1")
        browser.wait(f"{study}.data.trials.state.every((state) => state === 'running')", 60)
        bar = browser.run(
            "(({ hidden, value, max }) => [hidden, value, max])(document.querySelector('progress'))"
        )
        assert bar == [False, 0, 2], bar
        browser.run("document.querySelector('button.open').click()")
        click_twice(browser, "dialog .actions", "stop", "stop trial 1?")
        browser.wait(f"{study}.stateOf(1) === 'stopped' && {study}.stateOf(2) === 'running'", 60)
        browser.run("document.querySelector('dialog').close()")
        field = "document.querySelector('[aria-label=\"total number of trials\"]')"
        browser.run(f"{field}.value = '3'")
        click_twice(browser, ".study > .actions", "raise", "run more trials?")
        browser.wait(f"{study}.count === 3", 60)
        assert not browser.errors, browser.errors
    finally:
        open(go, "w", encoding="utf-8").close()
        server.terminate()
        server.wait()
        run.terminate()
        try:
            run.wait(60)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()


main()
