"""Tests the HTML page in a real browser: page.py SWATH [FOLDER FOR SCREENSHOTS].

The page of `swath export --html` and `swath ui` opens without console errors or network requests.
It filters in the language of `--where`, sorts, picks and brushes trials, fits 1280 and 400 pixels
in light and dark, prints, keeps zoom, focus and scroll positions when it changes, keeps what was
chosen in its address, never parses names or values as HTML, and updates during a run.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time

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
            test_live_page(browser, swath)
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


def test_appearance(browser, url, width, dark, screenshots):
    browser.set_window(width, 900, dark)
    browser.open(url)
    browser.wait("window.swath && swath.sections.length === 1")
    browser.run("swath.cards().forEach((card) => card.approach(true))")
    page_width = browser.run("document.documentElement.scrollWidth")
    assert page_width <= width, f"the page is {page_width} pixels wide"
    drawn = browser.run(
        "swath.cards().filter((card) => !card.node.hidden).map((card) => card.kind)"
    )
    assert EXPECTED_CHARTS <= set(drawn), drawn
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    is_light = sum(int(part) for part in background[4:-1].split(",")) > 384
    assert is_light != dark, background
    if screenshots:
        os.makedirs(screenshots, exist_ok=True)
        name = f"page-{width}-{'dark' if dark else 'light'}.png"
        browser.save_screenshot(os.path.join(screenshots, name))
    assert not browser.errors, browser.errors
    assert set(browser.requests) <= {url}, browser.requests


def test_insights(browser):
    items = "document.querySelectorAll('.insights li')"
    texts = browser.run(f"[...{items}].map((item) => item.firstChild.textContent)")
    best = browser.run("swath.sections[0].study.data.best.trial")
    assert texts and texts[0].startswith(f"Trial {best} is best: val_loss "), texts
    first = browser.run(f"{items}[0].getBoundingClientRect().top")
    cards = browser.run("document.querySelector('.cards').getBoundingClientRect().top")
    assert 0 < first < cards, "the sentences come before the charts"
    # Each link leads to a chart that is drawn, and to the trials that are the evidence.
    for index in range(len(texts)):
        browser.run(f"{items}[{index}].querySelector('.link').click()")
        kind = browser.run("document.activeElement.dataset.kind")
        assert kind == browser.run(f"swath.sections[0].study.data.insights[{index}].chart"), texts
        shown = browser.run("document.activeElement.querySelector('canvas') !== null")
        assert shown, kind
        evidence = browser.run(f"swath.sections[0].study.data.insights[{index}].trials.length")
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
    browser.run(
        f"""{{
            const input = document.querySelector('.filter');
            input.value = {text!r};
            input.dispatchEvent(new Event('input'));
        }}"""
    )
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
    browser.run(
        """{
            const history = swath.cards()[0];
            history.approach(true);
            const zoom = { dataZoomIndex: 0, startValue: 3, endValue: 9 };
            history.chart.dispatchAction({ type: "dataZoom", ...zoom });
            document.querySelectorAll("th button")[2].focus();
            getSelection().selectAllChildren(document.querySelector(".summary"));
            document.querySelector(".table-box").scrollTop = 40;
        }"""
    )
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
    browser.run(
        """{
            const page = JSON.parse(document.getElementById("data").textContent);
            for (let poll = 0; poll < 30; poll++) {
                page.studies[0].trials.seconds[0] = poll;
                swath.show(structuredClone(page));
            }
        }"""
    )
    time.sleep(0.3)
    assert browser.run(view) == before, browser.run(view)


def test_address(browser):
    """The address contains what was chosen, and a broken one shows everything."""
    shown = count_matches(browser, "x < 0.5")
    browser.run("document.querySelectorAll('th button')[2].click()")
    browser.run("document.querySelector('.table-box tbody input').click()")
    chosen = "['x < 0.5', 'sort', 'picked'].every((part) => address.includes(part))"
    browser.wait(f"((address) => {chosen})(decodeURIComponent(location.hash))")
    url = browser.run("location.href")
    browser.open("about:blank")
    browser.open(url)
    browser.wait("window.swath && swath.sections.length === 1")
    assert browser.run(VISIBLE_COUNT) == shown
    assert browser.run("document.querySelector('.filter').value") == "x < 0.5"
    assert browser.run("document.querySelectorAll('.chip').length") == 1
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
    assert browser.run(f"{TABLE_ROWS}.length") == 14
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('svg').length") == 0
    assert not browser.errors, browser.errors


def test_trial_view(browser):
    """The number of a trial opens everything about it, and the focus comes back."""
    browser.run("document.querySelectorAll('button.open')[3].click()")
    browser.wait("document.querySelectorAll('dialog .metric canvas').length >= 1")
    text = browser.run("document.querySelector('dialog').textContent")
    shown = browser.run("document.querySelector('dialog h2').textContent")
    number = shown.removeprefix("Trial ")
    for expected in ("Parameters", "val_loss", "Course", "Provenance", f"swath why browser {number}"):
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
    card = "swath.cards().find((card) => card.kind === 'curves')"
    browser.run(f"{card}.approach(true)")
    # The last series of the chart has the picked trials.
    assert browser.wait(f"{card}.chart.getOption().series.at(-1).data.length") == 1
    browser.run("document.querySelector('.chip').click()")
    browser.wait("document.querySelectorAll('.chip').length === 0")


def test_brushing(browser):
    browser.run(
        """{
            const card = swath.cards().find((card) => card.kind === 'parallel');
            card.node.scrollIntoView();
            card.approach(true);
        }"""
    )
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
        assert browser.run("document.getElementById('live').textContent") == "live"
        assert all(request.startswith(url) for request in browser.requests), browser.requests
        assert not browser.errors, browser.errors
    finally:
        server.terminate()
        server.wait()
    browser.wait("document.getElementById('live').textContent.startsWith('not connected')")


main()
