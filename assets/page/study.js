"use strict";
// The state of the page: the data of the studies, and which trials are visible and picked.

/// The history of a study without objectives.
const EMPTY_HISTORY = {
  metric: "",
  minimise: true,
  complete: [],
  breaking: [],
  partial: [],
  failed: [],
  best: [],
  restarts: [],
  last: 0,
};

/// The points of each line of the curves that were read already.
const knownPoints = new WeakMap();

/// Returns the points `[x, y, …]` of a line of some curves.
function pointsOf(curves, line) {
  const steps = curves.grids[line.grid];
  const known = knownPoints.get(line);
  if (known && known.steps === steps) return known.points;
  const points = new Float64Array(line.values.length * 2);
  line.values.forEach((value, index) => {
    points[index * 2] = steps[index];
    points[index * 2 + 1] = nanOfNull(value);
  });
  knownPoints.set(line, { steps, points });
  return points;
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
    // The zoomed ranges of each kind of chart.
    this.zooms = {};
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
    if (Object.keys(this.zooms).length) state.zooms = this.zooms;
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
    this.zooms = zoomsOf(state.zooms);
    this.applyFilters();
  }

  /// Returns the index of the objective that the charts show.
  objectiveIndex() {
    const index = this.data.objectives.findIndex(([metric]) => metric === this.choices.objective);
    return Math.max(0, index);
  }

  /// Returns the history, and importance and contours at the chosen level, of the objective that the
  /// charts show.
  view() {
    const index = this.objectiveIndex();
    const history = this.data.history[index] || EMPTY_HISTORY;
    return { history, ...this.surface(index) };
  }

  /// Returns importance and contours of an objective, with the step of the rung of their trials.
  surface(index) {
    const { complete, rung } = this.data.analysis.objectives[index] || {};
    const isRung = this.choices.surface ? this.choices.surface === "rung" : !complete;
    const chosen = (isRung ? rung : complete) || complete || rung;
    return chosen || { step: null, importance: null, contours: [] };
  }

  /// Returns the curves of the chosen metric.
  curves() {
    const { curves } = this.data;
    const wanted = this.choices.curves || this.choices.objective;
    return curves.find(({ metric }) => metric === wanted) || curves[0];
  }

  stateOf(id) {
    return this.data.trials.state[this.rowOf.get(id)] || "lost";
  }

  /// Returns the steps at which trials can be compared: complete trials, and with a scheduler each
  /// rung.
  levels() {
    const complete = { key: "complete", name: "complete trials", step: null };
    const levels = this.data.levels[this.objectiveIndex()] || [];
    return [
      complete,
      ...levels.map((level) => ({
        key: String(level.step),
        name: `${level.trials.length} trials at ${this.data.rungs.step} ${formatNumber(level.step)}`,
        ...level,
      })),
    ];
  }

  /// Returns the chosen level; by itself the highest rung that a third of the trials share, unless
  /// as many are complete.
  level() {
    const levels = this.levels();
    const chosen = levels.find(({ key }) => key === this.choices.level);
    if (chosen) return chosen;
    const enough = Math.max(5, this.count / 3);
    if (this.completeRows().length >= enough) return levels[0];
    const shared = levels.filter(({ step, trials }) => step !== null && trials.length >= enough);
    return shared[shared.length - 1] || levels[0];
  }

  /// Returns the rows that charts over parameters compare, the objective of each row, and the
  /// rows of trials that have not completed.
  usableRows() {
    const level = this.level();
    if (level.step === null) {
      const values = this.data.trials.objectives[this.objectiveIndex()] || [];
      return { rows: this.completeRows(), values, open: new Set() };
    }
    const [rows, values, open] = [[], [], new Set()];
    level.trials.forEach((id, index) => {
      const row = this.rowOf.get(id);
      if (row === undefined) return;
      rows.push(row);
      values[row] = level.values[index];
      if (this.data.trials.state[row] !== "complete") open.add(row);
    });
    return { rows, values, open };
  }

  /// Returns the axes of the parameters, the important ones first if there are more than `most`.
  orderedAxes(most) {
    const { axes } = this.data.trials;
    const { importance } = this.view();
    if ((most && axes.length <= most) || !importance) return axes;
    const rank = new Map(importance.rows.map(({ name }, index) => [name, index]));
    const rankOf = (axis) => rank.get(axis.name) ?? axes.length;
    return axes.slice().sort((a, b) => rankOf(a) - rankOf(b));
  }

  /// Returns the rows of complete trials that have the objective and fit the space.
  completeRows() {
    const { state, objectives } = this.data.trials;
    const values = objectives[this.objectiveIndex()] || [];
    const outside = new Set(this.data.trials.outside);
    const rows = [];
    for (let row = 0; row < this.count; row++) {
      if (state[row] === "complete" && typeof values[row] === "number" && !outside.has(row))
        rows.push(row);
    }
    return rows;
  }
}

/// Returns the zoomed ranges of charts in a part of the address.
function zoomsOf(part) {
  const entries = Object.entries(part && typeof part === "object" ? part : {});
  const isRange = (range) =>
    range !== null &&
    [range.dataZoomIndex, range.startValue, range.endValue].every(Number.isFinite);
  return Object.fromEntries(
    entries.filter(([, ranges]) => Array.isArray(ranges) && ranges.every(isRange)),
  );
}
