"""The HTML page in a real browser: page.py SWATH [FOLDER FOR PICTURES].

Opens what `swath export --html` and `swath ui` give: no complaint on the console, nothing asked of the network; filters, sorts, picks and
brushes; readable at 1280 and at 400 pixels, light and dark; nothing in a name or value is taken for HTML; the live page follows a run.
"""

import os
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
  "$SWATH_PROGRAM" report epoch=$epoch val_loss=$(awk "BEGIN {{ print $SLOPE / $epoch + {x} }}") </dev/null
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


def main():
    swath, pictures = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sweep(14)
        run(swath, "run", "sweep.toml")
        run(swath, "export", "browser", "--html", "report.html")
        browser = Chromium()
        try:
            exported(browser, f"file://{folder}/report.html", pictures)
            live(browser, swath)
        finally:
            browser.close()
    print("the page opens, filters, sorts, picks, brushes, fits and follows")


def sweep(trials):
    text = SWEEP.replace("TRIALS", str(trials)).replace("$SLOPE", "1.5")
    with open("sweep.toml", "w", encoding="utf-8") as file:
        file.write(text)


def run(swath, *args):
    done = subprocess.run(
        [swath, *args], env=os.environ | {"SWATH_PROGRAM": swath}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{args}: {done.stdout}\n{done.stderr}"


def exported(browser, url, pictures):
    for width in (1280, 400):
        for dark in (False, True):
            browser.size(width, 900, dark)
            browser.open(url)
            browser.wait("window.swath && swath.sections.length === 1")
            browser.run("swath.cards().forEach((card) => { card.seen = true; card.draw(); })")
            assert browser.run("document.documentElement.scrollWidth") <= width, (
                f"it is wider than {width} pixels"
            )
            drawn = browser.run(
                "swath.cards().filter((card) => !card.node.hidden).map((card) => card.kind)"
            )
            assert {
                "history",
                "curves",
                "parallel",
                "slice",
                "contour",
                "importance",
                "rungs",
                "timeline",
            } <= set(drawn), drawn
            back = browser.run("getComputedStyle(document.body).backgroundColor")
            light = sum(int(part) for part in back[4:-1].split(",")) > 384
            assert light != dark, back
            if pictures:
                os.makedirs(pictures, exist_ok=True)
                browser.picture(
                    os.path.join(pictures, f"page-{width}-{'dark' if dark else 'light'}.png")
                )
            assert not browser.complaints, browser.complaints
            assert set(browser.requests) <= {url}, browser.requests
    browser.size(1280, 900)
    browser.open(url)
    browser.wait("window.swath && swath.sections.length === 1")
    names_are_text(browser)
    filters(browser)
    sorts(browser)
    picks(browser)
    brushes(browser)
    assert not browser.complaints, browser.complaints


def names_are_text(browser):
    cells = browser.run("[...document.querySelectorAll('td')].map((cell) => cell.textContent)")
    assert (
        "<img src=x onerror=alert(1)>" in cells or "</script><script>alert(2)</script>" in cells
    ), cells
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0
    tip = browser.run("trialTip(swath.sections[0].study, 1).querySelectorAll('img, script').length")
    assert tip == 0


def say(browser, text):
    """Types into the filter; returns how many trials are left."""
    browser.run(
        f"{{ const box = document.querySelector('.filter'); box.value = {text!r}; box.dispatchEvent(new Event('input')); }}"
    )
    return browser.run("swath.sections[0].study.shownCount")


def filters(browser):
    assert say(browser, "x < 0.5") == browser.run(
        "swath.sections[0].study.data.trials.axes[0].values.filter((x) => x < 0.5).length"
    )
    shown = browser.run("document.querySelector('.count').textContent")
    assert shown.endswith("of 14"), shown
    rows = browser.run("document.querySelectorAll('.box tbody tr:not(.pad)').length")
    assert rows == browser.run("swath.sections[0].study.shownCount"), rows
    assert say(browser, "nothing_of_the_kind = 3") == 14
    assert browser.run("document.querySelector('.filter').classList.contains('wrong')")
    assert say(browser, "complete") == 14 and say(browser, "failed") == 0
    assert say(browser, "") == 14


def sorts(browser):
    def column(name):
        at = browser.run(
            f"[...document.querySelectorAll('th')].findIndex((cell) => cell.textContent.startsWith({name!r}))"
        )
        browser.run(f"document.querySelectorAll('th')[{at}].querySelector('button').click()")
        texts = browser.run(
            f"[...document.querySelectorAll('.box tbody tr:not(.pad)')].map((row) => row.cells[{at}].textContent)"
        )
        return [float(text) for text in texts if text]

    first = column("val_loss")
    assert len(first) == 14 and first == sorted(first), first
    second = column("val_loss")
    assert second == sorted(second, reverse=True), second
    some = column("momentum")
    assert 0 < len(some) < 14 and some == sorted(some), some


def picks(browser):
    browser.run("document.querySelector('.box tbody input').click()")
    browser.wait("document.querySelectorAll('.chip').length === 1")
    browser.run(
        "{ const card = swath.cards().find((card) => card.kind === 'curves'); card.seen = true; card.draw(); }"
    )
    count = "swath.cards().find((card) => card.kind === 'curves').chart.getOption().series.at(-1).data.length"
    assert browser.wait(count) == 1
    browser.run("document.querySelector('.chip').click()")
    browser.wait("document.querySelectorAll('.chip').length === 0")


def brushes(browser):
    browser.run(
        "{ const card = swath.cards().find((card) => card.kind === 'parallel'); card.node.scrollIntoView(); card.seen = true; card.draw(); }"
    )
    time.sleep(0.5)
    # The upper half of the first axis: x above the middle of its range.
    place = browser.run("""(() => {
        const card = swath.cards().find((card) => card.kind === 'parallel');
        const layout = card.chart.getModel().getComponent('parallel').coordinateSystem.getAxisLayout('dim0');
        const box = card.box.getBoundingClientRect();
        const length = layout.axisExpandWindow ? 0 : card.chart.getHeight() - 60;
        return { x: box.left + layout.position[0], top: box.top + 40, bottom: box.top + 40 + length };
    })()""")
    middle = (place["top"] + place["bottom"]) / 2
    browser.drag([place["x"], place["top"] + 2], [place["x"], middle])
    browser.wait("swath.sections[0].study.brush !== null")
    left = browser.run("swath.sections[0].study.shownCount")
    assert 0 < left < 14, f"{left} trials are selected"
    low = browser.run(
        "(() => { const { data, brush } = swath.sections[0].study; return Math.min(...data.trials.axes[0].values.filter((_, row) => brush.has(data.trials.id[row]))); })()"
    )
    assert low > 0.3, low
    rows = browser.run("document.querySelectorAll('.box tbody tr:not(.pad)').length")
    assert rows == left, (rows, left)
    browser.run(
        "[...document.querySelectorAll('button')].find((button) => button.textContent === 'show all').click()"
    )
    assert browser.run("swath.sections[0].study.shownCount") == 14


def live(browser, swath):
    server = subprocess.Popen(
        [swath, "ui", "browser"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = server.stdout.readline().strip()
        browser.open(url)
        browser.wait(
            "window.swath && swath.sections.length === 1 && swath.sections[0].study.count === 14"
        )
        assert not browser.complaints, browser.complaints
        sweep(34)
        again = subprocess.Popen(
            [swath, "run", "sweep.toml"],
            env=os.environ | {"SWATH_PROGRAM": swath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        browser.wait("swath.sections[0].study.data.running")
        assert again.wait(60) == 0
        browser.wait(
            "swath.sections[0].study.count === 34 && !swath.sections[0].study.data.running"
        )
        assert browser.run("document.getElementById('live').textContent") == "live"
        assert all(asked.startswith(url) for asked in browser.requests), browser.requests
        assert not browser.complaints, browser.complaints
    finally:
        server.terminate()
        server.wait()
    browser.wait("document.getElementById('live').textContent.startsWith('not connected')")


main()
