"use strict";
// Puts the page together, and keeps it up to date while `swath ui` serves it.

const TITLES = {
  history: ["History", "the objective of every trial and the best so far"],
  curves: ["Learning curves", "× where a trial was stopped or failed"],
  parallel: ["Parallel coordinates", "drag along an axis to select trials, click on it to drop the selection; a line passes over the parameters that a trial does not have"],
  importance: ["Importance", ""],
  slice: ["Slice", "the objective over each parameter"],
  contour: ["Contour", "what the trees expect, averaged over the other parameters"],
  pareto: ["Pareto front", "the trials that no other trial dominates"],
  rungs: ["Rung survival", "what became of the trials that came to each rung"],
  timeline: ["Timeline", "the trials in each slot over time"],
  failures: ["Failures", "how attempts failed"],
};
const WIDE = new Set(["parallel", "slice", "timeline"]);

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/// A chart in its card. It is drawn when it comes into sight.
class Card {
  constructor(page, study, kind) {
    Object.assign(this, { page, study, kind, seen: false, chart: null });
    this.node = element("section", "card" + (WIDE.has(kind) ? " wide" : ""));
    this.node.dataset.kind = kind;
    const head = element("div", "head");
    head.append(element("h3", "", TITLES[kind][0]));
    this.tools = element("div", "tools");
    head.append(this.tools);
    this.scroll = element("div", "scroll");
    this.box = element("div", "chart");
    this.scroll.append(this.box);
    this.notes = element("div");
    this.node.append(head, this.scroll, this.notes);
    this.setTools();
    page.sight.observe(this.node);
    this.node.card = this;
  }

  choose(key, names, label) {
    const select = element("select");
    select.setAttribute("aria-label", label);
    for (const [value, name] of names) select.append(new Option(cut(name, 40), value));
    if (this.study.choices[key]) select.value = this.study.choices[key];
    select.addEventListener("change", () => {
      this.study.choices[key] = select.value;
      this.draw();
    });
    this.tools.append(select);
  }

  setTools() {
    const { data } = this.study;
    this.tools.replaceChildren();
    if (this.kind === "curves" && data.curves.length > 1) this.choose("curves", data.curves.map((one) => [one.metric, one.metric]), "metric");
    if (this.kind === "contour" && data.contours.length > 1) this.choose("contour", data.contours.map((one) => [pair(one), pair(one)]), "pair of parameters");
    if (this.kind === "pareto" && data.pareto && data.objectives.length > 2) {
      const names = [];
      data.objectives.forEach(([a], x) => data.objectives.forEach(([b], y) => x < y && names.push([`${x},${y}`, `${a} × ${b}`])));
      this.choose("pareto", names, "objectives");
    }
    if (["history", "curves", "slice"].includes(this.kind)) {
      const button = element("button", "", "log");
      button.title = "logarithmic scale";
      button.setAttribute("aria-pressed", String(this.study.log));
      button.addEventListener("click", () => {
        this.study.log = !this.study.log;
        this.page.redraw(this.study, true);
      });
      this.tools.append(button);
    }
  }

  /// Lines below the chart.
  remarks() {
    const { data } = this.study;
    const found = TITLES[this.kind][1] ? [TITLES[this.kind][1]] : [];
    if (this.kind === "curves") {
      const curves = data.curves.find((one) => one.metric === this.study.choices.curves) || data.curves[0];
      if (curves && curves.lines.length < curves.of) found.push(`${curves.lines.length} of ${curves.of} trials: the best half, and some of the others`);
      if (curves && curves.thinned) found.push("long curves are thinned");
    }
    if (this.kind === "history" && data.history.means) found.push("of several seeds the mean");
    if (this.kind === "history" && data.history.breaking.length) found.push("red: breaks an outcome constraint, and is never the best");
    if (this.kind === "importance" && data.importance) {
      found.push(`${data.importance.trials} trials; alone the parameters explain ${Math.round(Math.min(1, data.importance.alone) * 100)} % of the variance`);
      found.push(...data.importance.cautions);
    }
    if (this.kind === "contour" && data.importance) found.push(...data.importance.cautions);
    if (this.kind === "timeline") {
      if (data.timeline.busy) found.push(`slots were busy ${Math.round(data.timeline.busy * 100)} % of the time`);
      for (const [, left] of data.timeline.gaps) found.push(`${short(left / 60, 3)} minutes in which nothing ran are left out`);
    }
    return found;
  }

  draw() {
    if (!this.seen) return;
    const colours = palette();
    const width = this.scroll.clientWidth || 300;
    const option = charts[this.kind](this.study, colours, width);
    this.node.hidden = option === null;
    this.notes.replaceChildren(...this.remarks().map((text) => element("p", "note" + (text.startsWith("caution") ? " caution" : ""), text)));
    if (option === null) return;
    if (this.kind === "parallel") this.box.style.width = Math.max(width, (this.study.data.trials.axes.length + 1) * 84 + 60) + "px";
    if (option.height) this.box.style.height = option.height + "px";
    delete option.height;
    if (!this.chart) {
      this.chart = echarts.init(this.box, null, { renderer: "canvas" });
      this.chart.on("click", (hit) => this.clicked(hit));
      if (this.kind === "parallel") this.chart.on("axisareaselected", () => this.brushed());
    }
    this.chart.resize();
    this.chart.setOption(option, this.kind === "parallel" ? { replaceMerge: ["series"] } : { notMerge: true });
  }

  clicked(hit) {
    const data = hit.data;
    if (!data) return;
    let id = data.id || (Array.isArray(data) ? data[2] : undefined);
    if (this.kind === "timeline") id = data[4];
    if (["importance", "rungs", "failures"].includes(this.kind) || hit.seriesType === "bar") return;
    if (this.kind === "contour" && hit.seriesType === "custom") return;
    if (Number.isInteger(id) && this.study.row.has(id)) this.page.pick(this.study, id);
  }

  /// Takes over what is selected on the axes.
  brushed() {
    const series = this.chart.getModel().getSeriesByIndex(0);
    const ids = this.study.parallelIds;
    const selected = series.getRawIndicesByActiveState("active");
    const axes = this.chart.getOption().parallelAxis;
    const any = axes.some((axis) => axis.activeIntervals && axis.activeIntervals.length) || selected.length > 0;
    this.study.brush = any ? new Set(selected.map((at) => ids[at])) : null;
    this.study.refilter();
    this.page.redraw(this.study, false, "parallel");
  }

  /// Drops what is selected on the axes.
  unbrush() {
    this.study.brush = null;
    if (this.chart) {
      this.chart.dispose();
      this.chart = null;
    }
  }

  refresh(data) {
    if (data) this.setTools();
    this.draw();
  }
}

/// A study on the page.
class Section {
  constructor(page, study) {
    Object.assign(this, { page, study });
    this.node = element("section", "study");
    this.title = element("h2");
    this.lines = element("div");
    this.chips = element("div", "chips");
    const cards = element("div", "cards");
    this.cards = Object.keys(charts).map((kind) => new Card(page, study, kind));
    const place = element("section", "card wide");
    place.dataset.kind = "table";
    const head = element("div", "head");
    head.append(element("h3", "", "Trials"));
    this.filter = element("input", "filter");
    this.filter.type = "search";
    this.filter.placeholder = "filter: failed, lr<0.01, optimizer=adam …";
    this.filter.setAttribute("aria-label", "filter trials");
    this.filter.addEventListener("input", () => {
      study.filter = this.filter.value;
      study.refilter();
      page.redraw(study, false);
    });
    this.clear = element("button", "", "show all");
    this.clear.addEventListener("click", () => this.showAll());
    this.count = element("span", "note count");
    head.append(this.filter, this.clear, this.count);
    this.table = new Table(study, (id) => page.pick(study, id));
    place.append(head, this.chips, this.table.node);
    cards.append(...this.cards.slice(0, 3).map((card) => card.node), place, ...this.cards.slice(3).map((card) => card.node));
    this.node.append(this.title, this.lines, cards);
    this.describe();
  }

  showAll() {
    this.filter.value = "";
    this.study.filter = "";
    this.cards.find((card) => card.kind === "parallel").unbrush();
    this.study.refilter();
    this.page.redraw(this.study, false);
  }

  /// Writes what can be said in words.
  describe() {
    const { study } = this;
    const { data } = study;
    this.title.textContent = data.name;
    const lines = [[["", data.summary + "; " + data.status]]];
    if (data.best) lines.push([[data.objectives.length > 1 ? `best in ${data.objectives[0][0]} ` : "best ", `trial ${data.best.trial}: ${data.best.objectives}  `], ["", data.best.params]]);
    if (data.same.length) lines.push([["the same in all trials ", data.same.map(([name, value]) => `${name}=${value}`).join(" ")]]);
    this.lines.replaceChildren(...lines.map((parts) => {
      const line = element("p", "summary");
      for (const [strong, text] of parts) {
        if (strong) line.append(element("b", "", strong));
        line.append(text);
      }
      return line;
    }));
    this.count.textContent = study.isFiltered ? `${study.shownCount} of ${study.count}` : `${study.count}`;
    this.filter.classList.toggle("wrong", study.wrong);
    this.filter.title = study.wrong ? "there is no such column, or no number to compare with" : "";
    this.chips.replaceChildren(...[...study.picked].map(([id, colour]) => {
      const chip = element("button", "chip", `trial ${id} ✕`);
      chip.style.borderColor = chip.style.color = `var(--pick${colour})`;
      chip.addEventListener("click", () => this.page.pick(study, id));
      return chip;
    }));
  }
}

/// The whole page.
class App {
  constructor() {
    this.main = document.getElementById("main");
    this.nav = document.getElementById("nav");
    this.sections = [];
    this.hidden = new Set();
    this.sight = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const { card } = entry.target;
        if (!entry.isIntersecting || card.seen) continue;
        card.seen = true;
        card.draw();
      }
    }, { rootMargin: "500px" });
    let waiting = 0;
    window.addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.redrawAll(), 150);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redrawAll());
    window.addEventListener("beforeprint", () => this.cards().forEach((card) => { card.seen = true; card.draw(); }));
  }

  cards() {
    return this.sections.flatMap((section) => section.cards);
  }

  /// Shows studies, the ones it knows with what a person did to them.
  show(page) {
    const names = page.studies.map((data) => data.name);
    const known = this.sections.map((section) => section.study.data.name);
    if (JSON.stringify(names) === JSON.stringify(known)) {
      page.studies.forEach((data, at) => {
        this.sections[at].study.update(data);
        this.redraw(this.sections[at].study, true);
      });
    } else {
      this.sections = page.studies.map((data) => new Section(this, new Study(data)));
      this.arrange();
    }
    document.title = names.join(", ") + " – swath";
    this.drawOverlay();
  }

  arrange() {
    const shown = this.sections.filter((_, at) => !this.hidden.has(at));
    this.overlay = element("section", "card across");
    this.overlay.append(element("h3", "", "Best so far"));
    this.overlayBox = element("div", "chart");
    this.overlay.append(this.overlayBox);
    this.overlayChart = null;
    this.main.replaceChildren(this.overlay, ...shown.map((section) => section.node));
    const beside = Math.max(1, Math.min(shown.length, 3));
    const wide = window.innerWidth >= 560 * beside && beside > 1;
    this.main.style.gridTemplateColumns = wide ? `repeat(${beside}, minmax(0, 1fr))` : "minmax(0, 1fr)";
    this.nav.replaceChildren(...(this.sections.length < 2 ? [] : this.sections.map((section, at) => {
      const label = element("label");
      const box = element("input");
      box.type = "checkbox";
      box.checked = !this.hidden.has(at);
      box.addEventListener("change", () => {
        if (box.checked) this.hidden.delete(at); else this.hidden.add(at);
        this.arrange();
        this.redrawAll();
      });
      label.append(box, " ", section.study.data.name);
      return label;
    })));
  }

  drawOverlay() {
    const shown = this.sections.filter((_, at) => !this.hidden.has(at)).map((section) => section.study);
    const option = overlay(shown, palette());
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

  /// Draws what belongs to a study anew; `data` if more than the selection changed; all but the chart `except`.
  redraw(study, data, except) {
    const section = this.sections.find((section) => section.study === study);
    section.describe();
    section.table.refresh();
    clearTimeout(section.waiting);
    section.waiting = setTimeout(() => {
      for (const card of section.cards) if (card.kind !== except) card.refresh(data);
    }, 60);
  }

  redrawAll() {
    this.arrange();
    this.cards().forEach((card) => card.draw());
    this.drawOverlay();
  }
}

/// Asks for the studies again and again, more slowly the larger they are.
async function follow(app, live) {
  let mark = "";
  for (;;) {
    const begun = performance.now();
    try {
      const answer = await fetch("data?since=" + encodeURIComponent(mark), { cache: "no-store" });
      if (answer.status === 200) {
        mark = answer.headers.get("X-Mark") || "";
        app.show(await answer.json());
      } else if (answer.status !== 204) {
        throw new Error(await answer.text());
      }
      live.className = "on";
      live.textContent = "live";
    } catch (error) {
      live.className = "off";
      live.textContent = "not connected: is `swath ui` still running?";
    }
    const took = performance.now() - begun;
    await new Promise((done) => setTimeout(done, Math.min(15000, Math.max(1000, took * 5))));
  }
}

const app = new App();
const given = document.getElementById("data").textContent.trim();
if (given && given !== "null") {
  app.show(JSON.parse(given));
} else {
  const live = document.getElementById("live");
  live.hidden = false;
  live.textContent = "connecting …";
  document.getElementById("empty").textContent = "Reading …";
  follow(app, live);
}
window.swath = app;
