"use strict";
// What the page knows: studies as they came, which trials are shown, which are picked.

const STATES = ["complete", "running", "paused", "waiting", "stopped", "failed"];

/// A number as a person reads it.
function short(value, digits = 5) {
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

/// The value on an axis as a text.
function shown(axis, value) {
  if (value === null || value === undefined) return "";
  return axis.labels.length ? axis.labels[value] : short(value);
}

/// One study with everything that depends on what a person did.
class Study {
  constructor(data) {
    this.picked = new Map();
    this.filter = "";
    this.brush = null;
    this.sort = { key: null, down: false };
    this.log = false;
    this.choices = {};
    this.update(data);
  }

  update(data) {
    this.data = data;
    this.count = data.trials.id.length;
    this.row = new Map(data.trials.id.map((id, row) => [id, row]));
    this.columns = columns(data);
    this.refilter();
  }

  /// Finds out which rows are shown: what the filter says and what is brushed.
  refilter() {
    const test = parse(this.filter, this.columns);
    this.wrong = test === null;
    this.visible = new Uint8Array(this.count);
    this.shownCount = 0;
    for (let row = 0; row < this.count; row++) {
      const brushed = this.brush === null || this.brush.has(this.data.trials.id[row]);
      if (brushed && (test === null || test(row))) {
        this.visible[row] = 1;
        this.shownCount++;
      }
    }
  }

  /// Says whether anything is hidden.
  get isFiltered() {
    return this.shownCount < this.count;
  }

  isVisible(id) {
    const row = this.row.get(id);
    return row === undefined || this.visible[row] === 1;
  }

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

  /// The rows of complete trials, with their first objective.
  complete() {
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

/// The columns of the table. Each gives a value to sort by and a text to show.
function columns(data) {
  const trials = data.trials;
  const number = (name, values) => ({
    name,
    number: true,
    value: (row) => values[row],
    text: (row) => short(values[row]),
  });
  const text = (name, values) => ({
    name,
    number: false,
    value: (row) => values[row],
    text: (row) => values[row] || "",
  });
  const found = [number("trial", trials.id), text("state", trials.state)];
  found[0].text = (row) => String(trials.id[row]);
  // No two columns have one name: a filter and a sort find a column by it.
  const add = (kind, column) => {
    const taken = found.some((other) => other.name === column.name);
    found.push(taken ? { ...column, name: `${kind}.${column.name}` } : column);
  };
  if (trials.configuration) found.push(number("configuration", trials.configuration));
  data.objectives.forEach(([metric], at) =>
    add("objective", { ...number(metric, trials.objectives[at]), objective: true }),
  );
  for (const axis of trials.axes) {
    const choice = axis.labels.length > 0;
    const value = choice
      ? (row) => (axis.values[row] === null ? null : axis.labels[axis.values[row]])
      : (row) => axis.values[row];
    add("param", {
      name: axis.name,
      number: !choice,
      value,
      text: (row) => shown(axis, axis.values[row]),
    });
  }
  for (const [name, values] of trials.metrics) add("metric", number(name, values));
  add("trial", number("seconds", trials.seconds));
  if (trials.step.some((step) => step !== null)) add("trial", number("step", trials.step));
  if (trials.exit.some((exit) => exit !== null)) add("trial", text("why", trials.exit));
  return found;
}

/// Makes a test of rows from a filter: words that must occur, and comparisons such as `lr<0.01` or `optimizer=adam`. `null` if it cannot be
/// understood.
function parse(filter, columns) {
  const tests = [];
  const words = filter.match(/(?:"[^"]*"|'[^']*'|\S)+/g) || [];
  const joined = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (/^(and|&&)$/i.test(word)) continue;
    if (/^(<=|>=|!=|==|<|>|=)$/.test(word) && joined.length && at + 1 < words.length) {
      joined.push(joined.pop() + word + words[++at]);
    } else {
      joined.push(word);
    }
  }
  for (const word of joined) {
    const compared = word.match(/^(.+?)(<=|>=|!=|==|<|>|=)(.*)$/);
    if (compared) {
      const [, name, how, quoted] = compared;
      const column = columns.find((column) => column.name === name.replace(/^["']|["']$/g, ""));
      if (!column) return null;
      const wanted = quoted.replace(/^["']|["']$/g, "");
      const number = Number(wanted);
      if (/[<>]/.test(how) && (wanted === "" || Number.isNaN(number))) return null;
      tests.push((row) => {
        const value = column.value(row);
        if (how === "!=")
          return String(value ?? "") !== wanted && !(typeof value === "number" && value === number);
        if (value === null || value === undefined) return false;
        if (how === "=" || how === "==")
          return String(value) === wanted || (wanted !== "" && value === number);
        if (typeof value !== "number") return false;
        return how === "<"
          ? value < number
          : how === "<="
            ? value <= number
            : how === ">"
              ? value > number
              : value >= number;
      });
      continue;
    }
    const wanted = word.replace(/^["']|["']$/g, "").toLowerCase();
    const texts = columns.filter((column) => !column.number || column.name === "trial");
    tests.push((row) =>
      texts.some((column) =>
        column.number
          ? column.text(row) === wanted
          : column.text(row).toLowerCase().includes(wanted),
      ),
    );
  }
  return (row) => tests.every((test) => test(row));
}
