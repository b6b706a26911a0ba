"use strict";
// The view of one trial: what it was, how it went, and what to do next.

/// Window of the running mean of smoothed series.
const SMOOTHING = 9;
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

/// Returns a table with a heading for each column.
function plainTable(headings, rows) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const heading of headings) {
    const cell = document.createElement("th");
    cell.textContent = heading;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const text of row) line.insertCell().textContent = text;
  }
  return table;
}

/// The dialog with one trial.
class TrialView {
  constructor(page) {
    Object.assign(this, { page, study: null, id: null, charts: [], isLog: false, isSmooth: false });
    this.node = document.createElement("dialog");
    this.node.className = "trial";
    this.node.addEventListener("close", () => this.closed());
    // A click beside the dialog closes it.
    this.node.addEventListener("click", (event) => event.target === this.node && this.node.close());
    document.body.append(this.node);
  }

  /// Shows a trial. `opener` gets the focus back when the view is closed.
  async open(study, id, opener) {
    Object.assign(this, { study, id, opener });
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
    this.charts.forEach((chart) => chart.dispose());
    this.charts = [];
    this.id = null;
    this.page.saveState();
    const same = this.opener && this.page.main.querySelector(`[data-focus="${this.opener}"]`);
    if (same) same.focus({ preventScroll: true });
  }

  render(detail, message) {
    this.charts.forEach((chart) => chart.dispose());
    this.charts = [];
    this.grid = null;
    const row = this.study.rowOf.get(this.id);
    const parts = [this.head(row)];
    if (detail) parts.push(...this.failure(detail));
    parts.push(this.part("Parameters", this.parameters(row)));
    if (message) parts.push(element("p", "note", message));
    if (detail) {
      parts.push(...this.metrics(detail), ...this.course(detail), ...this.records(detail));
      parts.push(...this.logs(detail), ...this.provenance(detail), ...this.commands(detail));
    }
    this.node.replaceChildren(...parts);
    if (detail) this.drawCharts(detail);
  }

  part(title, ...nodes) {
    const part = element("section", "part");
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

  /// The cause of a failure with the end of the log, above everything else.
  failure({ row, logs }) {
    if (row.state !== "failed" && row.state !== "invalid") return [];
    const nodes = [element("p", "cause", row.exit || "it failed")];
    const log = logs.find(({ name }) => name === "stderr.log") || logs[0];
    if (log) nodes.push(element("pre", "", log.lines.slice(-30).join("\n")));
    else if (this.page.details)
      nodes.push(element("p", "note", "This file holds no logs; swath ui and swath logs show them."));
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
    const last = series.map(({ log, metric, axis, points }) => {
      const [position, value] = points[points.length - 1] || [null, null];
      return [`${log}/${metric}`, formatNumber(value), `${axis} ${formatNumber(position)}`];
    });
    const table = element("details");
    table.append(element("summary", "", "last values"), plainTable(["metric", "last", "at"], last));
    return [this.part("Metrics", controls, this.grid, table)];
  }

  drawCharts({ series }) {
    this.series = series.filter(({ points }) => points.length > 1);
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
          title: {
            text: log === "report" ? metric : `${log}/${metric}`,
            textStyle: { fontSize: 12, fontWeight: "normal", color: colours.text },
          },
          grid: { left: 8, right: 12, top: 28, bottom: 20, containLabel: true },
          xAxis: stepAxis(colours, axis, { nameGap: 20, min: "dataMin", max: "dataMax" }),
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
    if (row.origin) facts.push(["origin", JSON.stringify(row.origin)]);
    nodes.push(plainTable(["fact", "value"], facts.map(([key, value]) => [key, String(value)])));
    if (attempts.length) {
      const rows = attempts.map(({ slot, start, end, exit }, index) => [
        String(index + 1),
        String(slot),
        start,
        end || "",
        exit || "running",
      ]);
      nodes.push(plainTable(["attempt", "slot", "start", "end", "exit"], rows));
    }
    const decisions = verdicts.filter(([, verdict]) => verdict !== "continue");
    if (decisions.length)
      nodes.push(
        plainTable(
          ["step", "decision of the scheduler"],
          decisions.map(([step, verdict]) => [formatNumber(step), verdict]),
        ),
      );
    return [this.part("Course", ...nodes)];
  }

  /// Data sets, models, artifacts and notes.
  records({ row }) {
    const records = row.records || [];
    if (!records.length) return [];
    const lines = records.map((record) => {
      const [kind, values] = Object.entries(record)[0];
      if (typeof values !== "object" || values === null) return [kind, String(values)];
      const texts = Object.entries(values)
        .filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length))
        .map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`);
      return [kind, texts.join("  ")];
    });
    return [this.part("Data, models, artifacts and notes", plainTable(["record", ""], lines))];
  }

  /// The ends of the logs, with a search.
  logs({ logs }) {
    return logs.map(({ name, lines }) => {
      const search = element("input");
      search.type = "search";
      search.placeholder = "search";
      search.setAttribute("aria-label", `search ${name}`);
      const text = element("pre", "log");
      const show = () => {
        const wanted = search.value.toLowerCase();
        const matching = lines.filter((line) => line.toLowerCase().includes(wanted));
        text.textContent = matching.join("\n") || "no line matches";
      };
      search.addEventListener("input", show);
      show();
      return this.part(`End of ${name}`, search, text);
    });
  }

  provenance({ row }) {
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
    const table = plainTable(["what", ""], facts.filter(([, text]) => text));
    const rest = element("details");
    rest.append(
      element("summary", "", "packages, files and variables"),
      element("pre", "", JSON.stringify(environment, null, 1)),
    );
    return [this.part("Provenance", table, rest)];
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
