"use strict";
// A card: a chart with its title, controls, legend and notes.

const TITLES = {
  history: ["History", "the objective of every trial, and the best so far"],
  curves: ["Learning curves", ""],
  parallel: ["Parallel coordinates", ""],
  slice: ["Slice", "the objective over each parameter"],
  importance: ["Importance", ""],
  contour: [
    "Contour",
    "the objective predicted by a random forest, averaged over the other parameters",
  ],
  pareto: ["Pareto front", "on the front no objective can improve unless another one gets worse"],
  edf: ["Distribution", "the share of complete trials that are at least as good"],
  rank: ["Rank", "each trial by two of its parameters"],
  rungs: [
    "Promotions",
    "the trials at each rung and how many reached it; a line follows a trial from rung to rung",
  ],
  timeline: ["Timeline", "the trials in each slot over time"],
  overlay: ["Learning curves of all studies", ""],
  failures: ["Failures", "the number of failed attempts by cause"],
};
/// The charts of one study, in their order.
const OWN_CHARTS = Object.keys(TITLES).filter((kind) => kind !== "overlay");
/// The states of trials whose curves end early.
const CUT_STATES = new Set(["stopped", "failed", "invalid"]);
/// The charts with a button for a logarithmic scale of the objective.
const WITH_LOG = new Set(["history", "curves", "parallel", "slice", "pareto", "edf", "rungs"]);
const WIDE = new Set(["parallel", "slice", "timeline", "overlay"]);
/// The charts that show one objective, which a menu chooses.
const OF_OBJECTIVE = new Set(["history", "parallel", "slice", "contour", "edf", "rank", "rungs"]);
/// The parts of the data of a study from which each chart is drawn.
const PARAMETERS = ["trials.id", "trials.state", "trials.axes", "trials.objectives", "levels"];
const INPUTS = {
  history: ["history"],
  curves: ["curves", "trials.state", "best"],
  parallel: [...PARAMETERS, "analysis"],
  importance: ["analysis"],
  slice: [...PARAMETERS, "analysis"],
  contour: ["analysis", "history"],
  pareto: ["pareto"],
  edf: ["trials.objectives", "trials.state"],
  rank: [...PARAMETERS, "analysis"],
  rungs: ["rungs", "levels", "trials.state"],
  timeline: ["timeline"],
  failures: ["failures"],
};

/// Returns the part of an object at a path such as `trials.state`.
function partAt(data, path) {
  return path.split(".").reduce((part, key) => part[key], data);
}

/// Returns what a chart shows in words: its axes and the meaning of its colours.
function summaryOf({ xAxis, title, parallelAxis, legend }) {
  const names = (parts) =>
    [parts].flat().flatMap((part) => (part && (part.name || part.text)) || []);
  const over = names(xAxis).join(", ");
  const axes = parallelAxis
    ? names(parallelAxis).join(", ")
    : [...new Set(names(title))].join(", ") + (over ? ` over ${over}` : "");
  const colours = Array.isArray(legend) ? legend.map(([, text]) => text).join(", ") : "";
  return [axes, colours && `colours: ${colours}`].filter((part) => part).join("; ");
}

/// Returns the numbers of trials behind importance and contours of an objective.
function surfaceNames({ complete, rung }) {
  return [complete, rung].map((surface) => surface && [surface.step, surface.importance.trials]);
}

/// Maximum number of characters of the parameters in the summary.
const MOST_SUMMARY = 240;
/// Milliseconds after a key in the filter until it applies.
const FILTER_DELAY = 80;

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
    this.chartNode.tabIndex = 0;
    this.chartNode.addEventListener("keydown", (event) => this.handleKey(event));
    this.chartNode.addEventListener("blur", () => this.layer && this.layer.hover(null));
    this.plot = element("div", "plot");
    this.plot.append(this.chartNode);
    this.scroll.append(this.plot);
    this.legend = element("div", "legend");
    this.notes = element("div");
    this.node.append(head, this.scroll, this.legend, this.notes);
    this.createControls();
    page.visibility.observe(this.node);
    page.sizes.observe(this.scroll);
    this.node.card = this.scroll.card = this;
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
      this.page.redraw(this.study, true);
    });
    this.controls.append(select);
  }

  /// Returns everything from which the controls are made.
  controlNames() {
    const { data, logScale } = this.study;
    const levels = () => [this.study.levels().map(({ name }) => name), this.study.level().key];
    const surfaces = () => [data.analysis.objectives.map(surfaceNames), this.study.choices.surface];
    const names = {
      curves: () => data.curves.map(({ metric }) => metric),
      contour: () => [this.study.view().contours.map(pairName), surfaces()],
      importance: surfaces,
      parallel: levels,
      slice: levels,
      rank: () => [levels(), data.trials.axes.map(({ name }) => name)],
    };
    const own = this.kind in names ? names[this.kind]() : [];
    return [logScale, data.objectives, this.study.choices.objective, own];
  }

  createControls() {
    const { data } = this.study;
    // Menus that are in use are not replaced while trials report.
    const key = JSON.stringify(this.controlNames());
    if (key === this.controlKey) return;
    this.controlKey = key;
    this.controls.replaceChildren();
    if (data.objectives.length > 1 && OF_OBJECTIVE.has(this.kind))
      this.addMenu(
        "objective",
        data.objectives.map(([metric]) => [metric, metric]),
        "objective",
        data.objectives[this.study.objectiveIndex()][0],
      );
    const { complete, rung } = data.analysis.objectives[this.study.objectiveIndex()] || {};
    if (["importance", "contour"].includes(this.kind) && complete && rung)
      this.addMenu(
        "surface",
        [
          ["complete", `${complete.importance.trials} complete trials`],
          [
            "rung",
            `${rung.importance.trials} trials at ${data.rungs.step} ${formatNumber(rung.step)}`,
          ],
        ],
        "trials of the analysis",
      );
    if (["parallel", "slice", "rank"].includes(this.kind) && this.study.levels().length > 1)
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
    const { contours } = this.study.view();
    if (this.kind === "contour" && contours.length > 1)
      this.addMenu(
        "contour",
        contours.map(pairName).map((name) => [name, name]),
        "pair of parameters",
      );
    if (this.kind === "rank")
      for (const [index, axis] of rankAxes(this.study).entries())
        this.addMenu(
          "rank" + index,
          data.trials.axes.map(({ name }) => [name, name]),
          index ? "vertical parameter" : "horizontal parameter",
          axis.name,
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
    if (WITH_LOG.has(this.kind)) {
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
    const { history, importance, step } = this.study.view();
    if (this.kind === "curves") {
      const curves = this.study.curves();
      if (curves && curves.lines.length < curves.of)
        lines.push(
          `${curves.lines.length} of ${curves.of} trials: the best half and a sample of the others`,
        );
      if (curves && curves.thinned) lines.push("long curves show a part of their points");
      const isCut = ({ trial }) => CUT_STATES.has(this.study.stateOf(trial));
      if (curves && curves.lines.some(isCut))
        lines.push("× marks where a trial was stopped or failed");
    }
    if (this.kind === "parallel") {
      if (!isPrinting())
        lines.push("drag along an axis to select trials, click on it to clear the selection");
      const { rows } = this.study.usableRows();
      if (data.trials.axes.some(({ values }) => rows.some((row) => values[row] === null)))
        lines.push("a line skips the parameters that its trial does not have");
    }
    if (this.kind === "history" && history.means)
      lines.push("each point is the mean over several seeds");
    if (this.kind === "importance" && importance) {
      const { trials, alone } = importance;
      const percent = Math.round(Math.min(1, alone) * 100);
      lines.push(`${trials} trials; single parameters explain ${percent} % of the variance`);
      lines.push(...importance.cautions);
    }
    if (this.kind === "contour" && importance) lines.push(...importance.cautions);
    if (["importance", "contour"].includes(this.kind) && importance && step !== null)
      lines.push(`the trials as they were at ${data.rungs.step} ${formatNumber(step)}`);
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
      lines.push(`the ${MOST_PANELS} most important of ${data.trials.axes.length} parameters`);
    if (this.kind === "importance" && importance && importance.rows.length > MOST_BARS)
      lines.push(`the ${MOST_BARS} most important of ${importance.rows.length} parameters`);
    const mostAxes = isPrinting() ? MOST_PRINTED_AXES : MOST_AXES;
    if (this.kind === "parallel" && data.trials.axes.length > mostAxes)
      lines.push(`the ${mostAxes} most important of ${data.trials.axes.length} parameters`);
    if (this.kind === "timeline") {
      if (data.timeline.busy)
        lines.push(`slots were busy ${Math.round(data.timeline.busy * 100)} % of the time`);
      for (const [, seconds] of data.timeline.gaps)
        lines.push(`${formatNumber(seconds / 60, 3)} minutes without running trials are not shown`);
    }
    return lines;
  }

  /// Draws the card when it is near and the browser has time for it.
  draw() {
    this.isStale = true;
    if (!this.isNear) return;
    this.isStale = false;
    work.start(this, this.drawing());
  }

  /// Draws the axes, then the marks in slices.
  *drawing() {
    this.createControls();
    this.drawAxes();
    yield;
    if (this.chart && this.layer) yield* this.layer.draw();
  }

  /// Draws the marks again, if the filter or the picks have changed and the axes have not.
  drawMarks() {
    if (this.isStale || !this.isNear) return this.draw();
    if (this.kind === "edf") return this.draw();
    // A drawing that has not ended shows the present filter.
    if (work.tasks.has(this) || !this.layer || this.node.hidden) return;
    this.chartNode.setAttribute("aria-label", this.description());
    work.start(this, this.layer.draw());
  }

  drawAxes() {
    const colours = palette();
    const width = this.scroll.clientWidth || 300;
    this.drawnWidth = width;
    const option = charts[this.kind](this.study, colours, width);
    this.node.hidden = option === null;
    setLines(
      this.notes,
      option === null ? [] : this.captions(),
      (text) => "note" + (text.startsWith("caution") ? " warning" : ""),
    );
    if (option === null) return;
    this.summary = option.summary || summaryOf(option);
    delete option.summary;
    if (this.kind === "parallel") {
      const axisCount = option.parallelAxis.length;
      this.plot.style.width = (isPrinting() ? width : Math.max(width, axisCount * 72 + 70)) + "px";
    }
    if (option.height) this.chartNode.style.height = option.height + "px";
    delete option.height;
    const { marks } = option;
    delete option.marks;
    if (Array.isArray(option.legend)) {
      this.drawLegend(option.legend);
      delete option.legend;
    }
    if (marks && this.kind !== "contour") option.tooltip.show = false;
    const { feature } = option.toolbox;
    if (feature) feature.mySave.onclick = () => this.saveImage();
    if (!this.chart) this.createChart();
    this.chart.resize();
    this.chart.setOption(
      option,
      this.kind === "parallel" ? { replaceMerge: ["series"] } : { notMerge: true },
    );
    // The chart has lost its zoom.
    for (const range of this.study.zooms[this.kind] || [])
      this.chart.dispatchAction({ type: "dataZoom", ...range });
    if (marks && !this.layer) this.layer = new Layer(this);
    if (marks) this.layer.setSets(marks);
    else if (this.pointer) this.chart.dispatchAction({ type: "showTip", ...this.pointer });
    this.chartNode.setAttribute("aria-label", this.description());
    this.axesDrawn = (this.axesDrawn || 0) + 1;
  }

  /// Names the colours of the chart.
  drawLegend(entries) {
    const key = JSON.stringify(entries.map(([colour, text]) => [colour, text]));
    if (key === this.legend.dataset.text) return;
    this.legend.dataset.text = key;
    this.legend.replaceChildren(
      ...entries.map(([colour, text]) => {
        const entry = element("span", "", "");
        const sample = element("i");
        sample.style.background = Array.isArray(colour)
          ? `linear-gradient(90deg, ${colour.join(",")})`
          : colour;
        if (Array.isArray(colour)) sample.className = "scale";
        entry.append(sample, text);
        return entry;
      }),
    );
  }

  createChart() {
    this.chart = echarts.init(this.chartNode, null, {
      renderer: isPrinting() ? "svg" : "canvas",
    });
    if (this.kind === "parallel") this.chart.on("axisareaselected", () => this.applyBrush());
    for (const change of ["datazoom", "restore"])
      this.chart.on(change, () => {
        this.keepZoom();
        this.drawMarks();
      });
    const surface = this.chart.getZr();
    surface.on("click", () => {
      const hit = this.layer && this.layer.hit;
      if (hit && this.study.rowOf.has(hit.id)) this.page.pick(this.study, hit.id);
    });
    // A tooltip stays where the pointer is when the chart is drawn again.
    surface.on("mousemove", ({ offsetX: x, offsetY: y }) => this.point({ x, y }));
    surface.on("globalout", () => this.point(null));
  }

  /// Takes the place of the pointer, and looks for a mark there once a frame.
  point(pointer) {
    this.pointer = pointer;
    if (!this.layer || this.isPointing) return;
    this.isPointing = true;
    requestAnimationFrame(() => {
      this.isPointing = false;
      if (!this.chart || !this.layer) return;
      this.layer.hover(this.pointer);
      if (this.layer.hit) this.chart.dispatchAction({ type: "hideTip" });
    });
  }

  /// Goes through the marks with the arrow keys. Space picks the trial of a mark, Enter shows it.
  handleKey(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const { layer, study } = this;
    if (!layer || !layer.counts || event.target !== this.chartNode) return;
    const hit = step ? layer.neighbour(step) : layer.hit;
    if (!hit || !(step || event.key === " " || event.key === "Enter")) return;
    event.preventDefault();
    if (step) layer.show(hit, layer.placeOf(hit));
    else if (study.rowOf.has(hit.id) && event.key === " ") this.page.pick(study, hit.id);
    else if (study.rowOf.has(hit.id)) this.page.trialView.open(study, hit.id, null, this.chartNode);
  }

  /// Saves the chart with its marks as an image.
  saveImage() {
    const scale = this.layer ? this.layer.scale : 2;
    const canvas = element("canvas");
    [canvas.width, canvas.height] = [this.chart.getWidth() * scale, this.chart.getHeight() * scale];
    const context = canvas.getContext("2d");
    context.fillStyle = palette().card;
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (this.layer) context.drawImage(this.layer.canvas, 0, 0);
    const axes = this.chart.renderToCanvas({ pixelRatio: scale });
    context.drawImage(axes, 0, 0, canvas.width, canvas.height);
    const link = element("a");
    link.href = canvas.toDataURL();
    link.download = `${this.study.data.name}-${this.kind}.png`;
    link.click();
  }

  /// Keeps the ranges of the axes that the user has zoomed, in units of the axes.
  keepZoom() {
    const zooms = this.chart.getOption().dataZoom || [];
    const ranges = zooms.flatMap(({ start, end, startValue, endValue }, dataZoomIndex) =>
      start > 0 || end < 100 ? [{ dataZoomIndex, startValue, endValue }] : [],
    );
    if (ranges.length) this.study.zooms[this.kind] = ranges;
    else delete this.study.zooms[this.kind];
    this.page.saveState();
  }

  dispose() {
    work.stop(this);
    if (this.chart) this.chart.dispose();
    if (this.layer) this.layer.dispose();
    Object.assign(this, { chart: null, layer: null, pointer: null, isStale: true });
  }

  /// Returns the text that describes the chart to a screen reader.
  description() {
    const { data, shownCount, count } = this.study;
    const trials = shownCount < count ? `${shownCount} of ${count} trials` : `${count} trials`;
    const best = data.best ? `best: trial ${data.best.trial}, ${data.best.objectives}` : "";
    const parts = [`${TITLES[this.kind][0]} of ${data.name}`, this.summary, trials, best];
    const keys = "arrow keys go through the trials, Space picks one, Enter shows it";
    return [...parts, this.layer ? keys : ""].filter((part) => part).join("; ");
  }

  /// Restricts the study to the trials that are selected on the axes.
  applyBrush() {
    const { study } = this;
    const axes = this.chart.getOption().parallelAxis;
    const models = axes.map((_, index) =>
      this.chart.getModel().getComponent("parallelAxis", index),
    );
    const isActive = models.some(({ activeIntervals }) => activeIntervals.length);
    const isSelected = (_, index) =>
      study
        .parallelValues(index)
        .every((value, dim) => models[dim].getActiveState(value) !== "inactive");
    study.brush = isActive ? new Set(study.parallelIds.filter(isSelected)) : null;
    study.applyFilters();
    this.page.redraw(study, false);
  }

  /// Clears the selection on the axes. ECharts keeps the selection, so the chart is built again.
  clearBrush() {
    const wasBrushed = this.study.brush !== null;
    this.study.brush = null;
    if (!wasBrushed) return;
    this.dispose();
    this.draw();
  }

  /// Draws the card again if something that it shows has changed.
  refresh(dataChanged) {
    if (!dataChanged) return this.drawMarks();
    const { study } = this;
    const shown = JSON.stringify([study.choices, study.logScale, study.zooms[this.kind]]);
    const inputs = [shown, ...INPUTS[this.kind].map((path) => partAt(study.data, path))];
    const isSame = this.inputs && inputs.every((input, index) => input === this.inputs[index]);
    this.inputs = inputs;
    if (isSame) this.drawMarks();
    else this.draw();
  }

  /// Called when the card comes near the view, or leaves it.
  approach(isNear) {
    this.isNear = isNear;
    if (isNear && this.isStale) this.draw();
  }
}
