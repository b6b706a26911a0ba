"use strict";
// The state of the page: the data of the studies, and which trials are visible and picked.

/// Formats a number with the given significant digits.
function formatNumber(value, digits = 5) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) {
    return value
      .toExponential(Math.max(0, digits - 2))
      .replace(/\.?0+e/, "e")
      .replace("e+", "e");
  }
  return String(Number(value.toPrecision(digits)));
}

/// Formats a value of a parameter. Choices are stored as indices of their labels.
function formatAxisValue(axis, value) {
  if (value === null || value === undefined) return "";
  return axis.labels.length ? axis.labels[value] : formatNumber(value);
}

/// A study, and the filter, picks and settings that the user has chosen for it.
class Study {
  constructor(data) {
    this.picked = new Map();
    this.filter = "";
    this.brush = null;
    this.sort = { key: null, down: false };
    this.logScale = false;
    this.choices = {};
    this.update(data);
  }

  update(data) {
    this.data = data;
    this.count = data.trials.id.length;
    this.rowOf = new Map(data.trials.id.map((id, row) => [id, row]));
    this.columns = tableColumns(data);
    this.applyFilters();
  }

  /// Determines the visible rows: those that match the filter and the brush. An invalid filter
  /// hides nothing.
  applyFilters() {
    let predicate = null;
    this.filterError = null;
    try {
      predicate = parseFilter(this.filter, [...this.columns, ...constantColumns(this.data)]);
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      this.filterError = error;
    }
    this.visible = new Uint8Array(this.count);
    this.shownCount = 0;
    for (let row = 0; row < this.count; row++) {
      const isBrushed = this.brush === null || this.brush.has(this.data.trials.id[row]);
      if (isBrushed && (predicate === null || predicate(row))) {
        this.visible[row] = 1;
        this.shownCount++;
      }
    }
  }

  /// Returns whether any trial is hidden.
  get isFiltered() {
    return this.shownCount < this.count;
  }

  isVisible(id) {
    const row = this.rowOf.get(id);
    return row === undefined || this.visible[row] === 1;
  }

  /// Picks a trial, or drops the pick. A picked trial gets the first colour that is not in use.
  pick(id) {
    if (this.picked.has(id)) {
      this.picked.delete(id);
      return;
    }
    const used = new Set(this.picked.values());
    let colour = 0;
    while (used.has(colour)) colour++;
    this.picked.set(id, colour % 8);
  }

  /// Returns what the user has chosen, without what is as at first.
  state() {
    const state = {};
    if (this.filter) state.filter = this.filter;
    if (this.sort.key) state.sort = [this.sort.key, this.sort.down];
    if (this.picked.size) state.picked = [...this.picked.keys()];
    if (this.logScale) state.log = true;
    if (Object.keys(this.choices).length) state.choices = this.choices;
    return state;
  }

  /// Applies what [`state`] returned. The state comes from the address, so nothing in it is
  /// trusted.
  restore(state) {
    this.filter = typeof state.filter === "string" ? state.filter : "";
    const [key, down] = Array.isArray(state.sort) ? state.sort : [null, false];
    this.sort = { key, down: down === true };
    this.logScale = state.log === true;
    this.picked = new Map();
    for (const id of Array.isArray(state.picked) ? state.picked : [])
      if (this.rowOf.has(id) && !this.picked.has(id)) this.pick(id);
    const choices = state.choices && typeof state.choices === "object" ? state.choices : {};
    this.choices = Object.fromEntries(
      Object.entries(choices).filter(([, value]) => typeof value === "string"),
    );
    this.applyFilters();
  }

  /// Returns the steps at which trials can be compared: complete trials, and with a scheduler each
  /// rung.
  levels() {
    const complete = { key: "complete", name: "complete trials", step: null };
    const { rungs, step } = this.data.rungs;
    if (!this.hasPartialTrials()) return [complete];
    return [
      complete,
      ...rungs.map((rung) => ({
        key: String(rung.step),
        name: `${rung.reached} trials at ${step} ${formatNumber(rung.step)}`,
        step: rung.step,
        reached: rung.reached,
      })),
    ];
  }

  /// Returns whether a scheduler has stopped or paused trials.
  hasPartialTrials() {
    return this.data.trials.state.some((state) => state === "stopped" || state === "paused");
  }

  /// Returns the chosen level; by itself the highest rung that a third of the trials share, unless
  /// as many are complete.
  level() {
    const levels = this.levels();
    const chosen = levels.find(({ key }) => key === this.choices.level);
    if (chosen) return chosen;
    const enough = Math.max(5, this.count / 3);
    if (this.completeRows().length >= enough) return levels[0];
    const shared = levels.filter(({ step, reached }) => step !== null && reached >= enough);
    return shared[shared.length - 1] || levels[0];
  }

  /// Returns the rows that charts over parameters compare, the first objective of each row, and the
  /// rows of trials that have not completed.
  usableRows() {
    const { step } = this.level();
    if (step === null) {
      const values = this.data.trials.objectives[0] || [];
      return { rows: this.completeRows(), values, open: new Set() };
    }
    const metric = (this.data.objectives[0] || [])[0];
    const curves = this.data.curves.find((curves) => curves.metric === metric);
    const [rows, values, open] = [[], [], new Set()];
    for (const line of curves ? curves.lines : []) {
      const row = this.rowOf.get(line.trial);
      const reached = line.points.some(([at]) => at >= step);
      const points = line.points.filter(([at, value]) => at <= step && value !== null);
      if (row === undefined || !reached || !points.length) continue;
      rows.push(row);
      values[row] = points[points.length - 1][1];
      if (this.data.trials.state[row] !== "complete") open.add(row);
    }
    return { rows: rows.sort((a, b) => a - b), values, open };
  }

  /// Returns the axes of the parameters, the important ones first if they are many.
  orderedAxes(most) {
    const { axes } = this.data.trials;
    const { importance } = this.data;
    if (axes.length <= most || !importance) return axes;
    const rank = new Map(importance.rows.map(({ name }, index) => [name, index]));
    const rankOf = (axis) => rank.get(axis.name) ?? axes.length;
    return axes.slice().sort((a, b) => rankOf(a) - rankOf(b));
  }

  /// Returns the rows of complete trials that have a first objective and fit the space.
  completeRows() {
    const { state, objectives } = this.data.trials;
    const values = objectives[0] || [];
    const outside = new Set(this.data.trials.outside);
    const rows = [];
    for (let row = 0; row < this.count; row++) {
      if (state[row] === "complete" && typeof values[row] === "number" && !outside.has(row))
        rows.push(row);
    }
    return rows;
  }
}

/// Returns the type of an expression of a column with these values: that of all of them, or any.
function typeOfValues(values) {
  const types = new Set(values.filter((value) => !isAbsent(value)).map(typeOf));
  return types.size === 1 ? [...types][0] : "any value";
}

function isAbsent(value) {
  return value === null || value === undefined || value === "";
}

/// Returns a column of the table. `values` are what the table sorts by, `cells` what a filter reads.
function column(name, number, values, text, cells = values) {
  return {
    name,
    number,
    names: [name],
    type: typeOfValues(cells),
    value: (row) => values[row],
    cell: (row) => (isAbsent(cells[row]) ? undefined : cells[row]),
    text,
  };
}

function numberColumn(name, values) {
  return column(name, true, values, (row) => formatNumber(values[row]));
}

function textColumn(name, values) {
  return column(name, false, values, (row) => values[row] || "");
}

/// Returns the value that a text of a parameter stands for: a number, a truth value, or the text.
function valueOfLabel(label) {
  if (/^(?:true|false)$/.test(label)) return label === "true";
  return /^[+-]?(?:\d|\.\d)/.test(label) && Number.isFinite(Number(label)) ? Number(label) : label;
}

/// Returns the column of a parameter. Choices are stored as indices of their labels.
function paramColumn(axis) {
  const isChoice = axis.labels.length > 0;
  const labels = axis.values.map((value) => (isAbsent(value) ? value : axis.labels[value]));
  const values = isChoice ? labels : axis.values;
  const cells = isChoice
    ? labels.map((label) => (isAbsent(label) ? label : valueOfLabel(label)))
    : values;
  return {
    ...column(axis.name, !isChoice, values, (row) => formatAxisValue(axis, axis.values[row]), cells),
    names: [axis.name, `param.${axis.name}`],
  };
}

/// Returns the column of a metric.
function metricColumn(name, values) {
  return { ...numberColumn(name, values), names: [name, `metric.${name}`] };
}

/// Returns the columns that only a filter reads: parameters with the same value in all trials.
function constantColumns(data) {
  return data.same.map(([name, text]) => {
    const cell = valueOfLabel(text);
    return { names: [name, `param.${name}`], type: typeOf(cell), cell: () => cell };
  });
}

/// Returns the columns of the table. Each has a value to sort by and a text to show.
function tableColumns(data) {
  const trials = data.trials;
  const trialColumn = {
    ...numberColumn("trial", trials.id),
    names: ["trial", "trial_id"],
    text: (row) => String(trials.id[row]),
  };
  const columns = [trialColumn, textColumn("state", trials.state)];
  // Sorting refers to columns by name, so a name that is taken gets a prefix.
  const addUnique = (kind, column) => {
    const taken = columns.some((other) => other.name === column.name);
    columns.push(taken ? { ...column, name: `${kind}.${column.name}` } : column);
  };
  if (trials.configuration) columns.push(numberColumn("configuration", trials.configuration));
  data.objectives.forEach(([metric], index) =>
    addUnique("objective", metricColumn(metric, trials.objectives[index])),
  );
  for (const axis of trials.axes) addUnique("param", paramColumn(axis));
  for (const [name, values] of trials.metrics) addUnique("metric", metricColumn(name, values));
  addUnique("trial", numberColumn("seconds", trials.seconds));
  if (trials.step.some((step) => step !== null))
    addUnique("trial", numberColumn("step", trials.step));
  if (trials.exit.some((exit) => exit !== null)) addUnique("trial", textColumn("why", trials.exit));
  return columns;
}
