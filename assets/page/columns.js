"use strict";
// The columns of the table of trials, which the filter reads, too.

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
    ...column(
      axis.name,
      !isChoice,
      values,
      (row) => formatAxisValue(axis, axis.values[row]),
      cells,
    ),
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
  if (trials.tags) {
    const texts = trials.tags.map((tags) => tags.join("; "));
    const cells = trials.tags.map((tags) => new ElementSet(tags));
    addUnique("trial", {
      ...column("tag", false, texts, (row) => texts[row], cells),
      type: "a string",
      cell: (row) => cells[row],
    });
  }
  if (trials.notes) addUnique("trial", textColumn("note", trials.notes));
  return columns;
}
