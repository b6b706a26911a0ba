"use strict";
// The view of one trial: what it was, how it went, and what to do next.

/// Milliseconds between two looks at a trial that is open and runs.
const DETAIL_PAUSE = 3000;
/// Window of the running mean of smoothed series.
const SMOOTHING = 9;
/// The parts that take the whole width of the view.
const WIDE_PARTS = new Set(["Why it failed", "Metrics", "Artifacts", "Actions"]);
/// The names of the facts of a row, where they differ from the keys.
const FACT_NAMES = {
  step: "last step",
  seconds: "run time (s)",
  cpu_seconds: "processor time (s)",
  peak_mib: "peak memory (MiB)",
  started_at: "started",
  ended_at: "ended",
  best_step: "step of the best report",
  model_step: "step of the model",
};
/// Parameters, metrics and records of a row of `swath show --json` that other parts show.
const SHOWN_ELSEWHERE = new Set([
  "trial",
  "state",
  "params",
  "objectives",
  "metrics",
  "texts",
  "records",
  "provenance",
  "preparations",
  "origin",
  "at_best",
  "exit",
  "why",
  "breaks",
  "feasible",
  "outside",
  "model_path",
  "model_md5",
]);

/// Returns the mean of each point and its neighbours.
function smoothed(points) {
  const half = Math.floor(SMOOTHING / 2);
  return points.map(([position], index) => {
    const near = points.slice(Math.max(0, index - half), index + half + 1);
    return [position, near.reduce((sum, [, value]) => sum + value, 0) / near.length];
  });
}

function median(values) {
  const sorted = values.slice().sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/// Returns the origin of a trial in words, such as `suggested: random`.
function originText(origin) {
  if (typeof origin !== "object") return String(origin);
  const text = (value) =>
    typeof value === "object" ? (value.why ?? JSON.stringify(value)) : value;
  return Object.entries(origin)
    .map(([key, value]) => `${key}: ${text(value)}`)
    .join(", ");
}

/// Returns a table for each list and each group of values of an environment.
function environmentTables({ found, machine, ...environment }) {
  const text = (value) =>
    value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "");
  return Object.entries({ ...environment, ...found }).flatMap(([name, part]) => {
    if (
      Array.isArray(part) &&
      part.length &&
      part.every((item) => item && typeof item === "object")
    ) {
      const names = [...new Set(part.flatMap((item) => Object.keys(item)))];
      return [
        plainTable(
          names,
          part.map((item) => names.map((key) => text(item[key]))),
        ),
      ];
    }
    if (part === null || typeof part !== "object" || Array.isArray(part)) return [];
    return [
      plainTable(
        [name, "value"],
        Object.entries(part).map(([key, value]) => [key, text(value)]),
      ),
    ];
  });
}

/// The dialog with one trial.
class TrialView {
  constructor(page) {
    Object.assign(this, { page, study: null, id: null, charts: [], isLog: false, isSmooth: false });
    this.logViews = [];
    this.node = createDialog("trial", () => this.closed());
  }

  /// Returns the parameters of requests about the trial.
  address() {
    const index = this.page.sections.findIndex(({ study }) => study === this.study);
    return `study=${index}&id=${this.id}`;
  }

  isRunning() {
    return this.study !== null && this.study.stateOf(this.id) === "running";
  }

  /// Called when the page has new data: shows the new values of a trial that is open.
  async follow() {
    const state = this.id === null ? null : this.study.stateOf(this.id);
    const isOver = state === this.shownState && state !== "running";
    const isSoon = performance.now() < (this.nextLook || 0) && state === this.shownState;
    if (state === null || this.page.details || isOver || isSoon || !this.shownState) return;
    this.nextLook = performance.now() + DETAIL_PAUSE;
    const { id, study } = this;
    const detail = await this.page.loadDetail(study, id).catch(() => null);
    if (!detail || this.id !== id || this.study !== study) return;
    const names = (series) => JSON.stringify(series.map(({ log, metric }) => [log, metric]));
    const series = detail.series.filter(({ points }) => points.length > 1);
    if (state === this.shownState && names(series) === names(this.series)) {
      this.series = series;
      this.updateCharts();
    } else {
      const { scrollTop } = this.node;
      this.render(detail, "");
      this.node.scrollTop = scrollTop;
    }
  }

  /// Shows a trial. `opener` gets the focus back when the view is closed.
  async open(study, id, opener, openerNode = null) {
    Object.assign(this, { study, id, opener, openerNode });
    if (!this.node.open) this.node.showModal();
    this.render(null, "loading …");
    const detail = await this.page.loadDetail(study, id).catch((error) => String(error));
    if (this.id !== id || this.study !== study) return;
    if (typeof detail === "string") this.render(null, detail);
    else this.render(detail, detail ? "" : this.missing());
    this.page.saveState();
  }

  /// Returns the text about a trial of which the page holds no details.
  missing() {
    const name = this.study.data.name;
    return (
      "This file describes the best, the failed and the latest trials. " +
      `For this one: swath show ${name} ${this.id}, or swath ui ${name}`
    );
  }

  closed() {
    this.clear();
    this.id = null;
    this.page.saveState();
    if (this.openerNode) this.openerNode.focus({ preventScroll: true });
    const same = this.opener && this.page.main.querySelector(`[data-focus="${this.opener}"]`);
    if (same) same.focus({ preventScroll: true });
  }

  /// Ends what the shown trial needs: its charts and its logs.
  clear() {
    this.charts.forEach((chart) => chart.dispose());
    this.logViews.forEach((log) => log.close());
    Object.assign(this, { charts: [], logViews: [], series: [], grid: null, shownState: null });
  }

  render(detail, message) {
    this.clear();
    const row = this.study.rowOf.get(this.id);
    const parts = [this.head(row)];
    parts.push(...this.remarks(row));
    if (detail) parts.push(...this.failure(detail));
    parts.push(this.part("Parameters", this.parameters(row)));
    if (message) parts.push(element("p", "note", message));
    if (detail) {
      parts.push(...this.course(detail), ...this.metrics(detail));
      const { actions } = this.page;
      if (actions.areAllowed) {
        const { params } = detail.row;
        const state = this.study.stateOf(this.id);
        parts.push(this.part("Actions", actions.trialPart(this.study, this.id, state, params)));
      }
      parts.push(...this.artifacts(detail), ...this.logs(), ...this.records(detail));
      parts.push(...this.provenance(detail), ...this.commands(detail));
      this.shownState = this.study.stateOf(this.id);
    }
    this.node.replaceChildren(...parts);
    if (detail) this.drawCharts(detail);
  }

  part(title, ...nodes) {
    const part = element("section", WIDE_PARTS.has(title) ? "part wide" : "part");
    // A wide table is scrolled with the keys.
    part.tabIndex = 0;
    part.append(element("h3", "", title), ...nodes);
    return part;
  }

  head(row) {
    const { data } = this.study;
    const head = element("div", "head");
    const state = row === undefined ? "" : data.trials.state[row];
    head.append(element("h2", "", `Trial ${this.id}`), element("span", "state " + state, state));
    const objectives = data.objectives.map(([metric], index) => {
      const value = row === undefined ? null : data.trials.objectives[index][row];
      return value === null ? "" : `${metric} ${formatNumber(value)}`;
    });
    head.append(element("span", "", objectives.filter((text) => text).join("  ")));
    const controls = element("div", "controls");
    const ids = data.trials.id;
    for (const [label, step] of [
      ["← previous", -1],
      ["next →", 1],
    ]) {
      const button = element("button", "", label);
      const other = ids[row + step];
      button.disabled = other === undefined;
      button.addEventListener("click", () => this.open(this.study, other, "open " + other));
      controls.append(button);
    }
    const close = element("button", "", "close");
    close.addEventListener("click", () => this.node.close());
    controls.append(close);
    head.append(controls);
    return head;
  }

  /// The tags and the note that a person gave the trial.
  remarks(row) {
    const { tags, notes } = this.study.data.trials;
    const lines = [];
    if (tags && tags[row] && tags[row].length) lines.push(["tags: ", tags[row].join(", ")]);
    if (notes && notes[row]) lines.push(["note: ", notes[row]]);
    return lines.map((line) => summaryLine([line]));
  }

  /// The cause of a failure with the end of the log, above everything else.
  failure({ row, logs }) {
    const hasFailed = row.state === "failed" || row.state === "invalid";
    const { exit } = this.study.data.trials;
    const waits =
      /^failed: /.test(exit[this.study.rowOf.get(this.id)] || "") && row.state === "waiting";
    if (!hasFailed && !waits) return [];
    const nodes = [element("p", "cause", row.exit || "it failed")];
    const log = logs.find(({ name }) => name === "stderr.log") || logs[0];
    if (log) nodes.push(element("pre", "", log.lines.slice(-30).join("\n")));
    else if (this.page.details)
      nodes.push(
        element("p", "note", "This file holds no logs; swath ui and swath logs show them."),
      );
    if (waits) nodes.splice(1, 0, element("p", "note", "The trial waits and will run again."));
    return [this.part("Why it failed", ...nodes)];
  }

  /// Parameters beside those of the best trial and the median of all.
  parameters(row) {
    const { data } = this.study;
    const best = data.best ? this.study.rowOf.get(data.best.trial) : undefined;
    const rows = data.trials.axes.map((axis) => {
      const known = axis.values.filter((value) => value !== null);
      const middle = axis.labels.length || !known.length ? "" : formatNumber(median(known));
      const valueIn = (other) =>
        other === undefined ? "" : formatAxisValue(axis, axis.values[other]);
      return [axis.name, valueIn(row), valueIn(best), middle];
    });
    for (const [name, value] of data.same) rows.push([name, value, value, ""]);
    const bestName = data.best ? `best (trial ${data.best.trial})` : "best";
    return plainTable(["parameter", "this trial", bestName, "median"], rows);
  }

  metrics({ series }) {
    if (!series.length) return [];
    const controls = element("div", "controls");
    for (const [label, key] of [
      ["log", "isLog"],
      ["smooth", "isSmooth"],
    ]) {
      const button = element("button", "", label);
      button.setAttribute("aria-pressed", String(this[key]));
      button.addEventListener("click", () => {
        this[key] = !this[key];
        button.setAttribute("aria-pressed", String(this[key]));
        this.updateCharts();
      });
      controls.append(button);
    }
    this.grid = element("div", "metrics");
    const rows = series.map(({ log, metric, axis, last }) => {
      const [position, value] = last || [null, null];
      return [`${log}/${metric}`, formatNumber(value), `${axis} ${formatNumber(position)}`];
    });
    const table = element("details");
    table.append(element("summary", "", "last values"), plainTable(["metric", "last", "at"], rows));
    return [this.part("Metrics", controls, this.grid, table)];
  }

  drawCharts({ series }) {
    const { objectives } = this.study.data;
    const rankOf = ({ log, metric }) => {
      const index = log === "report" ? objectives.findIndex(([name]) => name === metric) : -1;
      return index < 0 ? objectives.length : index;
    };
    // The objectives come first, the use of the machine last.
    this.series = series
      .filter(({ points }) => points.length > 1)
      .sort((a, b) => rankOf(a) - rankOf(b));
    if (!this.grid) return;
    for (const { log, metric } of this.series) {
      const box = element("div", "metric");
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", `${metric} of trial ${this.id}`);
      this.grid.append(box);
      const chart = echarts.init(box);
      // Charts of one log have one axis, so they share the cursor.
      chart.group = `trial ${this.id} ${log}`;
      echarts.connect(chart.group);
      this.charts.push(chart);
    }
    this.updateCharts();
  }

  updateCharts() {
    const colours = palette();
    this.charts.forEach((chart, index) => {
      const { log, metric, axis, points } = this.series[index];
      const shown = this.isSmooth ? smoothed(points) : points;
      const isLog = this.isLog && points.every(([, value]) => value > 0);
      chart.setOption(
        {
          ...baseOption(colours, { toolbox: { show: false } }),
          title: axisTitle(colours, log === "report" ? metric : `${log}/${metric}`),
          grid: { left: 8, right: 12, top: 28, bottom: 20, containLabel: true },
          xAxis: stepAxis(colours, axis, {
            nameGap: 20,
            min: "dataMin",
            max: "dataMax",
            ...(areWhole(points.map(([position]) => position))
              ? { minInterval: 1 }
              : { axisLabel: { showMaxLabel: false } }),
          }),
          yAxis: styledAxis(colours, { type: isLog ? "log" : "value" }),
          tooltip: {
            ...baseOption(colours).tooltip,
            trigger: "axis",
            formatter: ([item]) =>
              tooltipNode(`${axis} ${formatNumber(item.data[0])}`, [
                [metric, formatNumber(item.data[1])],
              ]),
          },
          series: [
            ...(this.isSmooth
              ? [
                  {
                    type: "line",
                    data: points,
                    symbol: "none",
                    silent: true,
                    lineStyle: { color: colours.faint, width: 1 },
                  },
                ]
              : []),
            {
              type: "line",
              data: shown,
              symbol: "none",
              lineStyle: { color: colours.normal, width: 1.5 },
            },
          ],
        },
        { notMerge: true },
      );
    });
  }

  /// Attempts, decisions of the scheduler, and the other facts of the row.
  course({ row, attempts, verdicts }) {
    const nodes = [];
    const facts = Object.entries(row).filter(
      ([key, value]) => !SHOWN_ELSEWHERE.has(key) && value !== null && typeof value !== "object",
    );
    if (row.exit) facts.unshift(["end", row.exit]);
    if (row.why) facts.unshift(["scheduler", row.why]);
    for (const broken of row.breaks || []) facts.unshift(["breaks a constraint", broken]);
    if (row.origin) facts.push(["origin", originText(row.origin)]);
    const textOf = (value) =>
      typeof value !== "number" || Number.isInteger(value) ? shortTime(value) : formatNumber(value);
    const shown = facts.map(([key, value]) => [FACT_NAMES[key] || key, textOf(value)]);
    nodes.push(plainTable(["fact", "value"], shown));
    if (attempts.length) {
      const rows = attempts.map(({ slot, start, end, exit }, index) => [
        String(index + 1),
        String(slot),
        shortTime(start),
        end ? shortTime(end) : "",
        exit || "running",
      ]);
      nodes.push(plainTable(["attempt", "slot", "start", "end", "exit"], rows));
    }
    if (verdicts.length)
      nodes.push(
        plainTable(
          ["step", "decision of the scheduler", "reason"],
          verdicts.map(([step, verdict, why]) => [formatNumber(step), verdict, why]),
        ),
      );
    return [this.part("Attempts and facts", ...nodes)];
  }

  /// Data sets, models, and what else the trial has recorded.
  records({ row }) {
    const all = row.records || [];
    if (!all.length) return [];
    const nodes = [];
    const models = all.flatMap(({ model }) => (model ? [model] : []));
    if (models.length)
      nodes.push(
        plainTable(
          ["model", "md5", "size", "counts"],
          models.map(({ model_path: path, md5, size }) => [
            path,
            md5 || "",
            typeof size === "number" ? sizeText(size) : "",
            path === row.model_path && md5 === row.model_md5 ? "yes" : "",
          ]),
        ),
      );
    const records = all.filter(({ model }) => !model);
    const lines = records.map((record) => {
      const [kind, values] = Object.entries(record)[0];
      if (typeof values !== "object" || values === null) return [kind, String(values)];
      const texts = Object.entries(values)
        .filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length))
        .map(
          ([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`,
        );
      return [kind, texts.join("  ")];
    });
    if (lines.length) nodes.push(plainTable(["record", "values"], lines));
    return [this.part("Data, models and records", ...nodes)];
  }

  artifacts({ artifacts }) {
    if (!artifacts.length) return [];
    return [this.part("Artifacts", artifactList(this.address(), artifacts))];
  }

  /// The logs, as they grow. A file that was exported has none.
  logs() {
    if (this.page.details) return [];
    const address = this.address();
    const isRunning = () => this.isRunning();
    this.logViews = ["stderr.log", "stdout.log"].map(
      (name) => new LogView(address, name, isRunning),
    );
    return this.logViews.map(({ node }) => node);
  }

  provenance({ row, patch }) {
    const { provenance } = row;
    if (!provenance) return [];
    const facts = [
      ["code", provenance.git_commit || "not in a git repository"],
      ["uncommitted changes", provenance.code_patch || ""],
      ["sweep file", "md5 " + provenance.sweep_md5],
    ];
    const environment = provenance.environment || {};
    const { machine } = environment;
    if (machine) facts.push(["machine", `${machine.user}@${machine.host}, ${machine.os}`]);
    if (environment.command_line) facts.push(["run by", environment.command_line.join(" ")]);
    const table = plainTable(
      ["fact", "value"],
      facts.filter(([, text]) => text),
    );
    const rest = element("details");
    rest.append(
      element("summary", "", "packages, files and variables"),
      ...environmentTables(environment),
    );
    const changes = element("details");
    changes.append(element("summary", "", "uncommitted changes"), element("pre", "log", patch));
    return [this.part("Provenance", table, ...(patch ? [changes] : []), rest)];
  }

  commands({ commands }) {
    const list = element("div", "commands");
    for (const [purpose, text] of commands) {
      const line = element("p");
      const copy = element("button", "", "copy");
      copy.setAttribute("aria-label", `copy: ${text}`);
      const code = element("code", "", text);
      copy.addEventListener("click", () => {
        // Where a page may not write to the clipboard, the text is selected for the keyboard.
        getSelection().selectAllChildren(code);
        const written = navigator.clipboard && navigator.clipboard.writeText(text);
        if (written) written.then(() => (copy.textContent = "copied")).catch(() => {});
      });
      line.append(copy, " ", code, ` ${purpose}`);
      list.append(line);
    }
    return [this.part("What next", list)];
  }
}
