"use strict";
// Assembles the page and updates it while `swath ui` serves it.

const TITLES = {
  history: ["History", "the objective of every trial, and the best so far"],
  curves: ["Learning curves", "× marks where a trial was stopped or failed"],
  parallel: [
    "Parallel coordinates",
    "drag along an axis to select trials, click on it to clear the selection; " +
      "lines skip the parameters that a trial does not have",
  ],
  importance: ["Importance", ""],
  slice: ["Slice", "the objective over each parameter"],
  contour: [
    "Contour",
    "the objective predicted by a random forest, averaged over the other parameters",
  ],
  pareto: ["Pareto front", "the non-dominated trials are green"],
  rungs: ["Rung survival", "the outcomes of the trials that reached each rung"],
  timeline: ["Timeline", "the trials in each slot over time"],
  failures: ["Failures", "the number of failed attempts by cause"],
};
const WIDE = new Set(["parallel", "slice", "timeline"]);

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/// A chart and its controls. The chart is first drawn when it scrolls into view.
class Card {
  constructor(page, study, kind) {
    Object.assign(this, { page, study, kind, seen: false, chart: null });
    this.node = element("section", "card" + (WIDE.has(kind) ? " wide" : ""));
    this.node.dataset.kind = kind;
    const head = element("div", "head");
    head.append(element("h3", "", TITLES[kind][0]));
    this.controls = element("div", "controls");
    head.append(this.controls);
    this.scroll = element("div", "scroll");
    this.chartNode = element("div", "chart");
    this.scroll.append(this.chartNode);
    this.notes = element("div");
    this.node.append(head, this.scroll, this.notes);
    this.createControls();
    page.visibility.observe(this.node);
    this.node.card = this;
  }

  /// Adds a menu whose selection is stored as `choices[key]` of the study.
  addMenu(key, names, label) {
    const select = element("select");
    select.setAttribute("aria-label", label);
    for (const [value, name] of names) select.append(new Option(truncate(name, 40), value));
    if (this.study.choices[key]) select.value = this.study.choices[key];
    select.addEventListener("change", () => {
      this.study.choices[key] = select.value;
      this.draw();
    });
    this.controls.append(select);
  }

  createControls() {
    const { data } = this.study;
    this.controls.replaceChildren();
    if (this.kind === "curves" && data.curves.length > 1)
      this.addMenu(
        "curves",
        data.curves.map(({ metric }) => [metric, metric]),
        "metric",
      );
    if (this.kind === "contour" && data.contours.length > 1)
      this.addMenu(
        "contour",
        data.contours.map(pairName).map((name) => [name, name]),
        "pair of parameters",
      );
    if (this.kind === "pareto" && data.pareto && data.objectives.length > 2) {
      const names = [];
      data.objectives.forEach(([left], x) =>
        data.objectives.slice(x + 1).forEach(([right], offset) => {
          names.push([`${x},${x + 1 + offset}`, `${left} × ${right}`]);
        }),
      );
      this.addMenu("pareto", names, "objectives");
    }
    if (["history", "curves", "slice"].includes(this.kind)) {
      const button = element("button", "", "log");
      button.title = "logarithmic scale";
      button.setAttribute("aria-pressed", String(this.study.logScale));
      button.addEventListener("click", () => {
        this.study.logScale = !this.study.logScale;
        this.page.redraw(this.study, true);
      });
      this.controls.append(button);
    }
  }

  /// Returns the lines below the chart.
  captions() {
    const { data } = this.study;
    const lines = TITLES[this.kind][1] ? [TITLES[this.kind][1]] : [];
    if (this.kind === "curves") {
      const curves =
        data.curves.find(({ metric }) => metric === this.study.choices.curves) || data.curves[0];
      if (curves && curves.lines.length < curves.of)
        lines.push(
          `${curves.lines.length} of ${curves.of} trials: the best half and a sample of the others`,
        );
      if (curves && curves.thinned) lines.push("long curves show a part of their points");
    }
    if (this.kind === "history" && data.history.means)
      lines.push("each point is the mean over several seeds");
    if (this.kind === "history" && data.history.breaking.length)
      lines.push("red: the trial violates an outcome constraint and cannot be the best");
    if (this.kind === "importance" && data.importance) {
      const { trials, alone } = data.importance;
      const percent = Math.round(Math.min(1, alone) * 100);
      lines.push(`${trials} trials; single parameters explain ${percent} % of the variance`);
      lines.push(...data.importance.cautions);
    }
    if (this.kind === "contour" && data.importance) lines.push(...data.importance.cautions);
    if (this.kind === "timeline") {
      if (data.timeline.busy)
        lines.push(`slots were busy ${Math.round(data.timeline.busy * 100)} % of the time`);
      for (const [, seconds] of data.timeline.gaps)
        lines.push(`${formatNumber(seconds / 60, 3)} minutes without running trials are not shown`);
    }
    return lines;
  }

  draw() {
    if (!this.seen) return;
    const colours = palette();
    const width = this.scroll.clientWidth || 300;
    const option = charts[this.kind](this.study, colours, width);
    this.node.hidden = option === null;
    this.notes.replaceChildren(
      ...this.captions().map((text) =>
        element("p", "note" + (text.startsWith("caution") ? " warning" : ""), text),
      ),
    );
    if (option === null) return;
    if (this.kind === "parallel")
      this.chartNode.style.width =
        Math.max(width, (this.study.data.trials.axes.length + 1) * 84 + 60) + "px";
    if (option.height) this.chartNode.style.height = option.height + "px";
    delete option.height;
    if (!this.chart) {
      this.chart = echarts.init(this.chartNode, null, { renderer: "canvas" });
      this.chart.on("click", (event) => this.handleClick(event));
      if (this.kind === "parallel") this.chart.on("axisareaselected", () => this.applyBrush());
    }
    this.chart.resize();
    this.chart.setOption(
      option,
      this.kind === "parallel" ? { replaceMerge: ["series"] } : { notMerge: true },
    );
  }

  /// Picks the trial of the clicked point or line. The place of its id depends on the chart.
  handleClick({ data, seriesType }) {
    if (!data) return;
    let id = data.id || (Array.isArray(data) ? data[2] : undefined);
    if (this.kind === "timeline") id = data[4];
    if (["importance", "rungs", "failures"].includes(this.kind) || seriesType === "bar") return;
    if (this.kind === "contour" && seriesType === "custom") return;
    if (Number.isInteger(id) && this.study.rowOf.has(id)) this.page.pick(this.study, id);
  }

  /// Restricts the study to the trials that are selected on the axes.
  applyBrush() {
    const series = this.chart.getModel().getSeriesByIndex(0);
    const ids = this.study.parallelIds;
    const selected = series.getRawIndicesByActiveState("active");
    const axes = this.chart.getOption().parallelAxis;
    const isActive =
      axes.some((axis) => axis.activeIntervals && axis.activeIntervals.length) ||
      selected.length > 0;
    this.study.brush = isActive ? new Set(selected.map((index) => ids[index])) : null;
    this.study.applyFilters();
    this.page.redraw(this.study, false, "parallel");
  }

  /// Clears the selection on the axes. ECharts keeps the selection, so the chart is built again.
  clearBrush() {
    this.study.brush = null;
    if (this.chart) {
      this.chart.dispose();
      this.chart = null;
    }
  }

  refresh(dataChanged) {
    if (dataChanged) this.createControls();
    this.draw();
  }
}

/// The part of the page that shows one study.
class Section {
  constructor(page, study) {
    Object.assign(this, { page, study });
    this.node = element("section", "study");
    this.title = element("h2");
    this.lines = element("div");
    this.insights = element("ul", "insights");
    this.insights.setAttribute("aria-label", "insights");
    this.chips = element("div", "chips");
    const cards = element("div", "cards");
    this.cards = Object.keys(charts).map((kind) => new Card(page, study, kind));
    const tableCard = element("section", "card wide");
    tableCard.dataset.kind = "table";
    const head = element("div", "head");
    head.append(element("h3", "", "Trials"));
    this.filter = element("input", "filter");
    this.filter.type = "search";
    this.filter.placeholder = "filter: failed, lr<0.01, optimizer=adam …";
    this.filter.setAttribute("aria-label", "filter trials");
    this.filter.addEventListener("input", () => {
      study.filter = this.filter.value;
      study.applyFilters();
      page.redraw(study, false);
    });
    this.clear = element("button", "", "show all");
    this.clear.addEventListener("click", () => this.showAll());
    this.count = element("span", "note count");
    head.append(this.filter, this.clear, this.count);
    this.table = new Table(study, (id) => page.pick(study, id));
    tableCard.append(head, this.chips, this.table.node);
    cards.append(
      ...this.cards.slice(0, 3).map((card) => card.node),
      tableCard,
      ...this.cards.slice(3).map((card) => card.node),
    );
    this.node.append(this.title, this.lines, this.insights, cards);
    this.describe();
  }

  /// Writes the sentences that the page begins with. They stay as they are while nothing in them
  /// changes, so that focus and selection survive an update.
  describeInsights() {
    const { insights } = this.study.data;
    const text = JSON.stringify(insights);
    if (text === this.insightsText) return;
    this.insightsText = text;
    this.insights.hidden = insights.length === 0;
    this.insights.replaceChildren(...insights.map((insight) => this.insightItem(insight)));
  }

  /// Returns one sentence with links to its chart and to its trials.
  insightItem({ kind, text, caution, trials, chart }) {
    const item = element("li");
    item.dataset.kind = kind;
    item.append(...sentence(text));
    const link = (label, title, act) => {
      const button = element("button", "link", label);
      button.title = title;
      button.addEventListener("click", act);
      item.append(" ", button);
    };
    link("chart", `show ${TITLES[chart][0]}`, () => this.showChart(chart));
    if (trials.length) {
      const label = trials.length === 1 ? "trial" : `${trials.length} trials`;
      link(label, "show only these trials", () => this.showOnly(trials));
    }
    if (caution) item.append(element("p", "note", `caution: ${caution}`));
    return item;
  }

  /// Scrolls to a chart and gives it the focus.
  showChart(kind) {
    const card = this.cards.find((card) => card.kind === kind);
    card.seen = true;
    card.draw();
    const { node } = card.node.hidden ? this.cards[0] : card;
    node.tabIndex = -1;
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: "start" });
  }

  /// Restricts the study to some trials and scrolls to their rows.
  showOnly(trials) {
    this.showAll();
    this.study.brush = new Set(trials);
    this.study.applyFilters();
    this.page.redraw(this.study, false);
    this.clear.focus({ preventScroll: true });
    this.clear.scrollIntoView({ block: "center" });
  }

  showAll() {
    this.filter.value = "";
    this.study.filter = "";
    this.cards.find((card) => card.kind === "parallel").clearBrush();
    this.study.applyFilters();
    this.page.redraw(this.study, false);
  }

  /// Writes the texts of the section: title, summary, number of trials and picked trials.
  describe() {
    const { study } = this;
    const { data } = study;
    this.title.textContent = data.name;
    const lines = [[["", data.summary + "; " + data.status]]];
    // The first sentence has the parameters of the best trial unless they are long.
    const isSaid = ({ kind, text }) => kind === "best" && text.includes(data.best.params);
    if (data.best && !data.insights.some(isSaid))
      lines.push([
        [
          data.objectives.length > 1 ? `best in ${data.objectives[0][0]} ` : "best ",
          `trial ${data.best.trial}: ${data.best.objectives}  `,
        ],
        ["", data.best.params],
      ]);
    if (data.same.length)
      lines.push([
        ["same in all trials: ", data.same.map(([name, value]) => `${name}=${value}`).join(" ")],
      ]);
    this.lines.replaceChildren(
      ...lines.map((parts) => {
        const line = element("p", "summary");
        for (const [strong, text] of parts) {
          if (strong) line.append(element("b", "", strong));
          line.append(text);
        }
        return line;
      }),
    );
    this.describeInsights();
    this.count.textContent = study.isFiltered
      ? `${study.shownCount} of ${study.count}`
      : `${study.count}`;
    this.filter.classList.toggle("invalid", study.filterIsInvalid);
    this.filter.title = study.filterIsInvalid
      ? "unknown column, or a comparison with something that is not a number"
      : "";
    this.chips.replaceChildren(
      ...[...study.picked].map(([id, colour]) => {
        const chip = element("button", "chip", `trial ${id} ✕`);
        chip.style.borderColor = chip.style.color = `var(--picked${colour})`;
        chip.addEventListener("click", () => this.page.pick(study, id));
        return chip;
      }),
    );
  }
}

/// Returns the parts of a sentence: names between back quotes stand out.
function sentence(text) {
  return text
    .split(/`([^`]*)`/)
    .map((part, index) => (index % 2 ? element("b", "", part) : document.createTextNode(part)));
}

/// The page with all its studies.
class App {
  constructor() {
    this.main = document.getElementById("main");
    this.nav = document.getElementById("nav");
    this.sections = [];
    this.hidden = new Set();
    this.visibility = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const { card } = entry.target;
          if (!entry.isIntersecting || card.seen) continue;
          card.seen = true;
          card.draw();
        }
      },
      { rootMargin: "500px" },
    );
    let resizeTimer = 0;
    window.addEventListener("resize", () => {
      clearTimeout(resizeTimer);
      resizeTimer = setTimeout(() => this.redrawAll(), 150);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redrawAll());
    // A printed page includes the charts that were never in view.
    window.addEventListener("beforeprint", () =>
      this.cards().forEach((card) => {
        card.seen = true;
        card.draw();
      }),
    );
  }

  cards() {
    return this.sections.flatMap((section) => section.cards);
  }

  /// Shows the studies of the data. Filters and picks stay as long as the same studies are shown.
  show(page) {
    const names = page.studies.map((data) => data.name);
    const shownNames = this.sections.map((section) => section.study.data.name);
    if (JSON.stringify(names) === JSON.stringify(shownNames)) {
      page.studies.forEach((data, index) => {
        const { study } = this.sections[index];
        study.update(data);
        this.redraw(study, true);
      });
    } else {
      this.sections = page.studies.map((data) => new Section(this, new Study(data)));
      this.arrange();
    }
    document.title = names.join(", ") + " – swath";
    this.drawOverlay();
  }

  shownSections() {
    return this.sections.filter((_, index) => !this.hidden.has(index));
  }

  /// Places the studies side by side, as many as fit into the window.
  arrange() {
    const shown = this.shownSections();
    this.overlay = element("section", "card all-columns");
    this.overlay.append(element("h3", "", "Best so far"));
    this.overlayBox = element("div", "chart");
    this.overlay.append(this.overlayBox);
    this.overlayChart = null;
    this.main.replaceChildren(this.overlay, ...shown.map((section) => section.node));
    const columnCount = Math.max(1, Math.min(shown.length, 3));
    const fits = window.innerWidth >= 560 * columnCount && columnCount > 1;
    this.main.style.gridTemplateColumns = fits
      ? `repeat(${columnCount}, minmax(0, 1fr))`
      : "minmax(0, 1fr)";
    const switches =
      this.sections.length < 2 ? [] : this.sections.map((_, index) => this.studySwitch(index));
    this.nav.replaceChildren(...switches);
  }

  /// Returns the checkbox that shows and hides a study.
  studySwitch(index) {
    const label = element("label");
    const checkbox = element("input");
    checkbox.type = "checkbox";
    checkbox.checked = !this.hidden.has(index);
    checkbox.addEventListener("change", () => {
      if (checkbox.checked) this.hidden.delete(index);
      else this.hidden.add(index);
      this.arrange();
      this.redrawAll();
    });
    label.append(checkbox, " ", this.sections[index].study.data.name);
    return label;
  }

  drawOverlay() {
    const studies = this.shownSections().map((section) => section.study);
    const option = bestSoFarOption(studies, palette());
    this.overlay.hidden = option === null;
    if (option === null) return;
    this.overlayChart ||= echarts.init(this.overlayBox);
    this.overlayChart.resize();
    this.overlayChart.setOption(option, { notMerge: true });
  }

  pick(study, id) {
    study.pick(id);
    this.redraw(study, false);
  }

  /// Redraws a study except for the chart `except`. `dataChanged` is false if only the filter or
  /// the picks have changed.
  redraw(study, dataChanged, except) {
    const section = this.sections.find((section) => section.study === study);
    section.describe();
    section.table.refresh();
    // Keystrokes in quick succession redraw the charts once.
    clearTimeout(section.redrawTimer);
    section.redrawTimer = setTimeout(() => {
      for (const card of section.cards) if (card.kind !== except) card.refresh(dataChanged);
    }, 60);
  }

  redrawAll() {
    this.arrange();
    this.cards().forEach((card) => card.draw());
    this.drawOverlay();
  }
}

/// Polls the server for changes of the studies. The pause between two polls grows with the time
/// that a poll takes, so that large studies do not keep the server busy.
async function pollServer(app, status) {
  let mark = "";
  for (;;) {
    const start = performance.now();
    try {
      const reply = await fetch("data?since=" + encodeURIComponent(mark), { cache: "no-store" });
      if (reply.status === 200) {
        mark = reply.headers.get("X-Mark") || "";
        app.show(await reply.json());
      } else if (reply.status !== 204) {
        throw new Error(await reply.text());
      }
      status.className = "on";
      status.textContent = "live";
    } catch {
      status.className = "off";
      status.textContent = "not connected: is `swath ui` still running?";
    }
    const elapsed = performance.now() - start;
    const pause = Math.min(15000, Math.max(1000, elapsed * 5));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

const app = new App();
const embeddedData = document.getElementById("data").textContent.trim();
if (embeddedData && embeddedData !== "null") {
  app.show(JSON.parse(embeddedData));
} else {
  const status = document.getElementById("live");
  status.hidden = false;
  status.textContent = "connecting …";
  document.getElementById("empty").textContent = "Loading …";
  pollServer(app, status);
}
window.swath = app;
