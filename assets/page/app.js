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

/// A chart and its controls. The chart is drawn only while it is in or near the view.
class Card {
  constructor(page, study, kind) {
    Object.assign(this, { page, study, kind, isNear: false, isStale: true, chart: null });
    this.node = element("section", "card" + (WIDE.has(kind) ? " wide" : ""));
    this.node.dataset.kind = kind;
    const head = element("div", "head");
    head.append(element("h3", "", TITLES[kind][0]));
    this.controls = element("div", "controls");
    head.append(this.controls);
    this.scroll = element("div", "scroll");
    this.chartNode = element("div", "chart");
    this.chartNode.setAttribute("role", "img");
    this.scroll.append(this.chartNode);
    this.notes = element("div");
    this.node.append(head, this.scroll, this.notes);
    this.createControls();
    page.visibility.observe(this.node);
    this.node.card = this;
  }

  /// Adds a menu whose selection is stored as `choices[key]` of the study.
  addMenu(key, names, label, selected = this.study.choices[key]) {
    const select = element("select");
    select.setAttribute("aria-label", label);
    for (const [value, name] of names) select.append(new Option(truncate(name, 40), value));
    if (selected) select.value = selected;
    select.addEventListener("change", () => {
      this.study.choices[key] = select.value;
      this.page.saveState();
      for (const card of this.page.cards()) if (card.study === this.study) card.refresh(true);
    });
    this.controls.append(select);
  }

  /// Returns everything from which the controls are made.
  controlNames() {
    const { data, logScale } = this.study;
    const names = {
      curves: () => data.curves.map(({ metric }) => metric),
      contour: () => data.contours.map(pairName),
      pareto: () => data.objectives,
      parallel: () => [this.study.levels(), this.study.level().key],
      slice: () => [this.study.levels(), this.study.level().key],
    };
    return [logScale, this.kind in names ? names[this.kind]() : []];
  }

  createControls() {
    const { data } = this.study;
    // Menus that are in use are not replaced while trials report.
    const key = JSON.stringify(this.controlNames());
    if (key === this.controlKey) return;
    this.controlKey = key;
    this.controls.replaceChildren();
    if (["parallel", "slice"].includes(this.kind) && this.study.levels().length > 1)
      this.addMenu(
        "level",
        this.study.levels().map(({ key, name }) => [key, name]),
        "trials by the step that they reached",
        this.study.level().key,
      );
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
        this.page.saveState();
        // The button was made again.
        const again = this.controls.querySelector("button");
        if (again) again.focus();
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
    if (["parallel", "slice"].includes(this.kind)) {
      const { open } = this.study.usableRows();
      if (open.size)
        lines.push(
          this.kind === "slice"
            ? `hollow: the trial has not completed (${open.size} trials)`
            : `dashed: the trial has not completed (${open.size} trials)`,
        );
    }
    if (this.kind === "slice" && data.trials.axes.length > MOST_PANELS)
      lines.push(
        `the ${MOST_PANELS} most important of ${data.trials.axes.length} parameters`,
      );
    if (this.kind === "importance" && data.importance && data.importance.rows.length > MOST_BARS)
      lines.push(`the ${MOST_BARS} most important of ${data.importance.rows.length} parameters`);
    if (this.kind === "timeline") {
      if (data.timeline.busy)
        lines.push(`slots were busy ${Math.round(data.timeline.busy * 100)} % of the time`);
      for (const [, seconds] of data.timeline.gaps)
        lines.push(`${formatNumber(seconds / 60, 3)} minutes without running trials are not shown`);
    }
    return lines;
  }

  draw() {
    this.isStale = true;
    if (!this.isNear) return;
    this.isStale = false;
    const colours = palette();
    const width = this.scroll.clientWidth || 300;
    const option = charts[this.kind](this.study, colours, width);
    this.node.hidden = option === null;
    setLines(
      this.notes,
      option === null ? [] : this.captions(),
      (text) => "note" + (text.startsWith("caution") ? " warning" : ""),
    );
    if (option === null) return;
    this.chartNode.setAttribute("aria-label", this.description());
    if (this.kind === "parallel")
      this.chartNode.style.width =
        (isPrinting()
          ? width
          : Math.max(width, (this.study.data.trials.axes.length + 1) * 84 + 60)) + "px";
    if (option.height) this.chartNode.style.height = option.height + "px";
    delete option.height;
    const zoom = this.zoomState();
    if (!this.chart) this.createChart();
    this.chart.resize();
    this.chart.setOption(
      option,
      this.kind === "parallel" ? { replaceMerge: ["series"] } : { notMerge: true },
    );
    for (const range of zoom) this.chart.dispatchAction({ type: "dataZoom", ...range });
    if (this.pointer) this.chart.dispatchAction({ type: "showTip", ...this.pointer });
  }

  createChart() {
    this.chart = echarts.init(this.chartNode, null, {
      renderer: isPrinting() ? "svg" : "canvas",
    });
    this.chart.on("click", (event) => this.handleClick(event));
    if (this.kind === "parallel") this.chart.on("axisareaselected", () => this.applyBrush());
    // A tooltip stays where the pointer is when the chart is drawn again.
    this.chart.getZr().on("mousemove", ({ offsetX: x, offsetY: y }) => (this.pointer = { x, y }));
    this.chart.getZr().on("globalout", () => (this.pointer = null));
  }

  /// Returns the ranges of the axes that the user has zoomed, in units of the axes.
  zoomState() {
    const zooms = (this.chart && this.chart.getOption().dataZoom) || [];
    return zooms
      .map(({ start, end, startValue, endValue }, dataZoomIndex) => ({
        isZoomed: start > 0 || end < 100,
        range: { dataZoomIndex, startValue, endValue },
      }))
      .filter(({ isZoomed }) => isZoomed)
      .map(({ range }) => range);
  }

  dispose() {
    if (this.chart) this.chart.dispose();
    this.chart = null;
    this.pointer = null;
  }

  /// Returns the text that describes the chart to a screen reader.
  description() {
    const { data, shownCount, count } = this.study;
    const trials = shownCount < count ? `${shownCount} of ${count} trials` : `${count} trials`;
    const best = data.best ? `; best: trial ${data.best.trial}, ${data.best.objectives}` : "";
    return `${TITLES[this.kind][0]} of ${data.name}: ${trials}${best}`;
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
    this.dispose();
  }

  refresh(dataChanged) {
    if (dataChanged) this.createControls();
    this.draw();
  }

  /// Called when the card comes near the view, or leaves it.
  approach(isNear) {
    this.isNear = isNear;
    if (isNear && this.isStale) this.draw();
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
    this.filter.placeholder = "filter: failed, or lr < 0.01 and optimizer == 'adam' …";
    this.filter.setAttribute("aria-label", "filter trials");
    this.filter.value = study.filter;
    this.filter.addEventListener("input", () => {
      study.filter = this.filter.value;
      study.applyFilters();
      page.redraw(study, false);
      page.saveState();
    });
    this.names = element("datalist");
    this.names.id = "names-" + page.sections.length + "-" + study.data.name;
    this.filter.setAttribute("list", this.names.id);
    this.help = element("div", "note filter-help");
    this.help.setAttribute("role", "status");
    this.clear = element("button", "", "show all");
    this.clear.addEventListener("click", () => this.showAll());
    this.count = element("span", "note count");
    const downloads = element("span", "controls");
    for (const form of ["csv", "json"]) {
      const button = element("button", "", form.toUpperCase());
      button.title = `download the trials of the table as ${form.toUpperCase()}`;
      button.addEventListener("click", () => download(this.table, form));
      downloads.append(button);
    }
    head.append(this.filter, this.clear, this.count, downloads);
    this.table = new Table(
      study,
      (id) => page.pick(study, id),
      (id) => page.trialView.open(study, id, "open " + id),
      () => page.saveState(),
    );
    tableCard.append(head, this.names, this.help, this.chips, this.table.node);
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
    card.approach(true);
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

  /// Offers the names of columns that begin with the last word of the filter.
  suggest() {
    const word = (this.filter.value.match(/[\p{L}\p{N}_.]+$/u) || [""])[0];
    const isTyping = document.activeElement === this.filter && word !== "";
    const names = this.study.columns.map(({ name }) => name);
    const matching = names.filter((name) => name.startsWith(word) && name !== word);
    this.names.replaceChildren(
      ...(isTyping ? matching.slice(0, 12) : []).map((name) => {
        const isWord = (name.match(WORD) || [""])[0] === name;
        const value = this.filter.value.slice(0, -word.length) + (isWord ? name : `\`${name}\``);
        return new Option(name, value);
      }),
    );
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
    // Text that a person has selected stays as long as it does not change.
    if (this.lines.dataset.text !== JSON.stringify(lines)) {
      this.lines.dataset.text = JSON.stringify(lines);
      this.lines.replaceChildren(...lines.map(summaryLine));
    }
    this.describeInsights();
    this.count.textContent = study.isFiltered
      ? `${study.shownCount} of ${study.count}`
      : `${study.count}`;
    const { filterError } = study;
    this.filter.classList.toggle("invalid", filterError !== null);
    this.filter.setAttribute("aria-invalid", String(filterError !== null));
    const message = filterError
      ? [filterError.message, filterError.hint].filter((text) => text).join("; ")
      : "";
    setLines(this.help, message ? [message] : [], () => "invalid");
    this.suggest();
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

function summaryLine(parts) {
  const line = element("p", "summary");
  for (const [strong, text] of parts) {
    if (strong) line.append(element("b", "", strong));
    line.append(text);
  }
  return line;
}

/// Shows one line of text for each item, and changes nothing if they are shown already.
function setLines(node, texts, className) {
  const key = JSON.stringify(texts);
  if (node.dataset.text === key) return;
  node.dataset.text = key;
  node.replaceChildren(...texts.map((text) => element("p", className(text), text)));
}

/// Saves the rows of a table, in its order, as a file.
function download(table, form) {
  const { study, rows } = table;
  const value = (column, row) => column.value(row) ?? null;
  const quote = (cell) => {
    const text = cell === null ? "" : String(cell);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = rows.map((row) => study.columns.map((column) => quote(value(column, row))));
  const objects = rows.map((row) =>
    Object.fromEntries(study.columns.map((column) => [column.name, value(column, row)])),
  );
  const csv = [study.columns.map(({ name }) => quote(name)), ...lines]
    .map((cells) => cells.join(",") + "\n")
    .join("");
  const text = form === "csv" ? csv : JSON.stringify(objects, null, 1) + "\n";
  const type = form === "csv" ? "text/csv" : "application/json";
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${study.data.name}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
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
      (entries) => entries.forEach(({ target, isIntersecting }) => target.card.approach(isIntersecting)),
      { rootMargin: "500px" },
    );
    let resizeTimer = 0;
    window.addEventListener("resize", () => {
      clearTimeout(resizeTimer);
      resizeTimer = setTimeout(() => this.resize(), 150);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redrawAll());
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
    window.addEventListener("hashchange", () => this.restoreState());
    this.createThemeSwitch();
    this.trialView = new TrialView(this);
    const details = document.getElementById("details").textContent.trim();
    this.details = details ? JSON.parse(details) : null;
  }

  /// Returns everything about a trial, from this file or from the server; `null` if the file does
  /// not have it.
  async loadDetail(study, id) {
    const index = this.sections.findIndex((section) => section.study === study);
    if (this.details) return (this.details[index] || {})[id] || null;
    const reply = await fetch(`trial?study=${index}&id=${id}`, { cache: "no-store" });
    if (!reply.ok) throw new Error(await reply.text());
    return reply.json();
  }

  /// Prepares the page for paper, and back: light colours, all charts drawn as vectors in the width
  /// of a page.
  print(isOnPaper) {
    document.documentElement.classList.toggle("print", isOnPaper);
    for (const card of this.cards()) {
      card.dispose();
      if (isOnPaper) {
        card.wasNear = card.isNear;
        card.isNear = true;
        card.draw();
      } else {
        card.approach(card.wasNear);
      }
    }
    for (const section of this.sections) {
      section.table.from = -1;
      section.table.draw();
    }
    if (this.overlayChart) {
      this.overlayChart.dispose();
      this.overlayChart = null;
      this.drawOverlay();
    }
  }

  /// Adds the button that changes between the colours of the system, light and dark.
  createThemeSwitch() {
    const button = element("button", "theme");
    const themes = ["system", "light", "dark"];
    const apply = (theme) => {
      document.documentElement.dataset.theme = theme;
      button.textContent = `colours: ${theme}`;
    };
    apply("system");
    button.addEventListener("click", () => {
      const { theme } = document.documentElement.dataset;
      apply(themes[(themes.indexOf(theme) + 1) % themes.length]);
      this.redrawAll();
    });
    document.querySelector("header").append(button);
  }

  /// Puts filters, sorting, picks and choices into the address, so that the view can be sent. Browsers
  /// ignore changes of the address that follow each other too fast.
  saveState() {
    clearTimeout(this.stateTimer);
    this.stateTimer = setTimeout(() => this.writeState(), 200);
  }

  writeState() {
    const parts = this.sections.flatMap(({ study }) => {
      const state = study.state();
      if (this.trialView.study === study && this.trialView.id !== null)
        state.trial = this.trialView.id;
      return Object.keys(state).length ? [[study.data.name, state]] : [];
    });
    const state = encodeURIComponent(JSON.stringify(Object.fromEntries(parts)));
    const text = parts.length ? "#" + state : "";
    if (text === location.hash) return;
    this.savedHash = text;
    history.replaceState(null, "", text || location.pathname + location.search);
  }

  /// Applies the state in the address to the studies.
  restoreState() {
    if (location.hash === this.savedHash) return;
    this.savedHash = location.hash;
    let states = {};
    try {
      states = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
    } catch {
      // An address that somebody has cut shows everything.
    }
    for (const section of this.sections) {
      const state = states[section.study.data.name] || {};
      section.study.restore(state);
      if (section.study.rowOf.has(state.trial))
        this.trialView.open(section.study, state.trial, "open " + state.trial);
      section.filter.value = section.study.filter;
      this.redraw(section.study, true);
    }
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
      this.sections = [];
      for (const data of page.studies) this.sections.push(new Section(this, new Study(data)));
      this.arrange();
      this.restoreState();
    }
    document.title = names.join(", ") + " – swath";
    this.drawOverlay();
  }

  shownSections() {
    return this.sections.filter((_, index) => !this.hidden.has(index));
  }

  /// Returns the number of studies that fit side by side into the window.
  columnCount() {
    const count = Math.max(1, Math.min(this.shownSections().length, 3));
    return window.innerWidth >= 560 * count ? count : 1;
  }

  /// Places the studies side by side, as many as fit into the window.
  arrange() {
    const shown = this.shownSections();
    this.columns = this.columnCount();
    this.overlay = element("section", "card all-columns");
    this.overlay.append(element("h3", "", "Best so far"));
    this.overlayBox = element("div", "chart");
    this.overlay.append(this.overlayBox);
    this.overlayChart = null;
    this.main.replaceChildren(this.overlay, ...shown.map((section) => section.node));
    this.main.style.gridTemplateColumns = `repeat(${this.columns}, minmax(0, 1fr))`;
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
    this.saveState();
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

  /// Fits the charts to the window. The rest of the page is only arranged again if the number of
  /// columns changes, so that scroll positions and the focus stay.
  resize() {
    if (this.columnCount() !== this.columns) this.arrange();
    this.cards().forEach((card) => card.draw());
    this.drawOverlay();
  }

  redrawAll() {
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
