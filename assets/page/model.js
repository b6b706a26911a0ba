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
    const predicate = parseFilter(this.filter, this.columns);
    this.filterIsInvalid = predicate === null;
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

function numberColumn(name, values) {
  return {
    name,
    number: true,
    value: (row) => values[row],
    text: (row) => formatNumber(values[row]),
  };
}

function textColumn(name, values) {
  return {
    name,
    number: false,
    value: (row) => values[row],
    text: (row) => values[row] || "",
  };
}

/// Returns the column of a parameter. Choices are stored as indices of their labels.
function paramColumn(axis) {
  const choice = axis.labels.length > 0;
  return {
    name: axis.name,
    number: !choice,
    value: (row) => {
      const value = axis.values[row];
      return choice && value !== null ? axis.labels[value] : value;
    },
    text: (row) => formatAxisValue(axis, axis.values[row]),
  };
}

/// Returns the columns of the table. Each has a value to sort by and a text to show.
function tableColumns(data) {
  const trials = data.trials;
  const trialColumn = {
    ...numberColumn("trial", trials.id),
    text: (row) => String(trials.id[row]),
  };
  const columns = [trialColumn, textColumn("state", trials.state)];
  // Filters and sorting refer to columns by name, so a name that is taken gets a prefix.
  const addUnique = (kind, column) => {
    const taken = columns.some((other) => other.name === column.name);
    columns.push(taken ? { ...column, name: `${kind}.${column.name}` } : column);
  };
  if (trials.configuration) columns.push(numberColumn("configuration", trials.configuration));
  data.objectives.forEach(([metric], index) =>
    addUnique("objective", numberColumn(metric, trials.objectives[index])),
  );
  for (const axis of trials.axes) addUnique("param", paramColumn(axis));
  for (const [name, values] of trials.metrics) addUnique("metric", numberColumn(name, values));
  addUnique("trial", numberColumn("seconds", trials.seconds));
  if (trials.step.some((step) => step !== null))
    addUnique("trial", numberColumn("step", trials.step));
  if (trials.exit.some((exit) => exit !== null)) addUnique("trial", textColumn("why", trials.exit));
  return columns;
}

function unquote(text) {
  return text.replace(/^["']|["']$/g, "");
}

/// Splits a filter into terms. Spaces around an operator are allowed; `and` between terms is
/// optional.
function filterTerms(filter) {
  const words = filter.match(/(?:"[^"]*"|'[^']*'|\S)+/g) || [];
  const terms = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index];
    if (/^(and|&&)$/i.test(word)) continue;
    if (/^(<=|>=|!=|==|<|>|=)$/.test(word) && terms.length && index + 1 < words.length) {
      terms.push(terms.pop() + word + words[++index]);
    } else {
      terms.push(word);
    }
  }
  return terms;
}

/// Returns a predicate on rows: whether the value of a column compares to the operand as the
/// operator requires. Returns `null` if the operand must be a number and is not.
function comparison(column, operator, operand) {
  const number = Number(operand);
  if (/[<>]/.test(operator) && (operand === "" || Number.isNaN(number))) return null;
  return (row) => {
    const value = column.value(row);
    if (operator === "!=")
      return String(value ?? "") !== operand && !(typeof value === "number" && value === number);
    if (value === null || value === undefined) return false;
    if (operator === "=" || operator === "==")
      return String(value) === operand || (operand !== "" && value === number);
    if (typeof value !== "number") return false;
    if (operator === "<") return value < number;
    if (operator === "<=") return value <= number;
    if (operator === ">") return value > number;
    return value >= number;
  };
}

/// Returns a predicate on rows: whether any text contains the word, or the trial has that number.
function containsWord(columns, word) {
  const searched = columns.filter((column) => !column.number || column.name === "trial");
  const lowerCase = word.toLowerCase();
  return (row) =>
    searched.some((column) =>
      column.number
        ? column.text(row) === lowerCase
        : column.text(row).toLowerCase().includes(lowerCase),
    );
}

/// Parses a filter: words, and comparisons such as `lr<0.01` or `optimizer=adam`. Returns a
/// predicate on rows that holds if all terms do, or `null` if the filter is invalid.
function parseFilter(filter, columns) {
  const predicates = [];
  for (const term of filterTerms(filter)) {
    const parts = term.match(/^(.+?)(<=|>=|!=|==|<|>|=)(.*)$/);
    if (!parts) {
      predicates.push(containsWord(columns, unquote(term)));
      continue;
    }
    const [, name, operator, operand] = parts;
    const column = columns.find((column) => column.name === unquote(name));
    const predicate = column ? comparison(column, operator, unquote(operand)) : null;
    if (predicate === null) return null;
    predicates.push(predicate);
  }
  return (row) => predicates.every((predicate) => predicate(row));
}
