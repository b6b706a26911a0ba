"use strict";
// The filter of the page: the language of `--where` over the columns of the table. Functions over
// reports, such as `min(val_loss)`, need reports that the page does not hold. A filter of plain
// words, such as `failed adam`, searches the texts of the table.

const KEYWORDS = new Set(["and", "or", "in", "not", "true", "True", "false", "False"]);
const SYMBOLS = ["**", "//", "<=", ">=", "==", "!=", ..."+-*/%<>()[],"];
/// Operators of other languages, and the ones to write instead.
const FOREIGN = [
  ["&&", "and"],
  ["||", "or"],
  ["<>", "!="],
  ["=", "=="],
  ["!", "not"],
  ["^", "**"],
  ["&", "and"],
  ["|", "or"],
];
const WORD = /^[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*/u;
const NUMBER = /^(?:\d|\.\d)(?:[eE][+-]|[A-Za-z0-9._])*/;
/// Functions over the reports of a trial, which only the command line can compute.
const REPORT_FUNCTIONS = /^(?:first|last|best|at_best|mean|median|std|count)$/;
const DEEPEST = 100;

/// An error in a filter, with a hint that may be empty.
class FilterError extends Error {
  constructor(message, hint = "") {
    super(message);
    this.hint = hint;
  }
}

/// Thrown if an expression has no value for a trial; the trial then does not match.
class NoValue extends Error {}

function typeOf(value) {
  if (Array.isArray(value)) return "a list";
  return { number: "a number", string: "a string", boolean: "true or false" }[typeof value];
}

function fits(type, expected) {
  return type === expected || type === "any value" || expected === "any value";
}

/// Returns the longest name that is not a word and is a prefix of `rest`.
function nonWordPrefix(rest, names) {
  const continues = /[\p{L}\p{N}_]/u;
  return names.find(
    (name) =>
      rest.startsWith(name) &&
      !(continues.test(name.slice(-1)) && continues.test(rest.charAt(name.length))),
  );
}

/// Returns whether a name can also be read as an expression of other names.
function isExpression(name, known) {
  let tokens;
  try {
    tokens = filterTokens(name, { nonWords: [], known: new Set() });
  } catch {
    return false;
  }
  return tokens.every(({ kind, value }, index) => {
    if (kind === "quoted") return known.has(value);
    if (kind !== "word") return true;
    const isCalled = tokens[index + 1] !== undefined && tokens[index + 1].value === "(";
    return known.has(value) || KEYWORDS.has(value) || (isCalled && value in FUNCTIONS);
  });
}

/// Splits a filter into tokens: `{kind, value}` with the kinds literal, word, quoted and symbol.
function filterTokens(text, { nonWords, known }) {
  const tokens = [];
  let rest = text;
  const take = (kind, value, length) => {
    tokens.push({ kind, value });
    rest = rest.slice(length);
  };
  for (;;) {
    rest = rest.trimStart();
    if (!rest) return tokens;
    const name = nonWordPrefix(rest, nonWords);
    if (name !== undefined && !isExpression(name, known)) {
      take("quoted", name, name.length);
      continue;
    }
    if (name !== undefined && WORD.test(name))
      throw new FilterError(
        `\`${name}\` is a name, and also an expression of other names`,
        `write \`${name}\` in backticks, or spaces between the parts`,
      );
    const number = rest.match(NUMBER);
    const word = rest.match(WORD);
    const symbol = SYMBOLS.find((symbol) => rest.startsWith(symbol));
    if (number) {
      const digits = number[0].replaceAll("_", "");
      const value = /^[\d.eE+-]+$/.test(digits) ? Number(digits) : NaN;
      if (Number.isNaN(value)) throw new FilterError(`\`${number[0]}\` is not a number`);
      if (!Number.isFinite(value)) throw new FilterError("this number is too large");
      take("literal", value, number[0].length);
    } else if (/^["'`]/.test(rest)) {
      const end = rest.indexOf(rest[0], 1);
      if (end < 0) throw new FilterError(`this ${rest[0]} is never closed`);
      take(rest[0] === "`" ? "quoted" : "literal", rest.slice(1, end), end + 1);
    } else if (word) {
      take("word", word[0], word[0].length);
    } else if (symbol) {
      take("symbol", symbol, symbol.length);
    } else {
      const foreign = FOREIGN.find(([foreign]) => rest.startsWith(foreign));
      if (foreign)
        throw new FilterError(
          `\`${foreign[0]}\` is not an operator of expressions`,
          `write \`${foreign[1]}\``,
        );
      const message = rest[0] === "@" ? "a step after `@`" : `\`${Array.from(rest)[0]}\``;
      throw new FilterError(
        `unexpected ${message}`,
        rest[0] === "@" ? "reports are read by `--where` only" : "",
      );
    }
  }
}

function needNumber(value) {
  if (typeof value === "boolean" || typeof value === "string" || Array.isArray(value))
    throw new NoValue();
  return value;
}

function needFinite(value) {
  if (!Number.isFinite(value)) throw new NoValue();
  return value;
}

function isEqual(left, right) {
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((item, index) => isEqual(item, right[index]));
  return left === right;
}

/// Compares two numbers or two strings: below 0, 0, or above 0.
function order(left, right) {
  if (typeof left === "string" && typeof right === "string")
    return left < right ? -1 : left > right ? 1 : 0;
  return needNumber(left) - needNumber(right);
}

function contains(item, container) {
  if (Array.isArray(container)) return container.some((candidate) => isEqual(candidate, item));
  if (typeof container === "string" && typeof item === "string") return container.includes(item);
  throw new NoValue();
}

/// The elements of a name whose value is a set, such as the tags of a trial.
class ElementSet {
  constructor(elements) {
    this.elements = elements;
  }

  toString() {
    return this.elements.join(";");
  }
}

/// Compares two values. A comparison with a set holds if it holds for one of its elements, and `!=`
/// and `not in` if they hold for all.
function compareSets(sign, left, right) {
  if (!(left instanceof ElementSet) && !(right instanceof ElementSet))
    return COMPARISONS[sign](left, right);
  const elementsOf = (value) => (value instanceof ElementSet ? value.elements : [value]);
  const opposite = { "!=": "==", "not in": "in" }[sign];
  const holds = elementsOf(left).some((one) =>
    elementsOf(right).some((other) => COMPARISONS[opposite || sign](one, other)),
  );
  return opposite ? !holds : holds;
}

const COMPARISONS = {
  "==": isEqual,
  "!=": (left, right) => !isEqual(left, right),
  "<": (left, right) => order(left, right) < 0,
  "<=": (left, right) => order(left, right) <= 0,
  ">": (left, right) => order(left, right) > 0,
  ">=": (left, right) => order(left, right) >= 0,
  in: contains,
  "not in": (left, right) => !contains(left, right),
};

const ARITHMETIC = {
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "//": (left, right) => Math.floor(left / right),
  "%": (left, right) => left - right * Math.floor(left / right),
  "**": (left, right) => left ** right,
};

/// Rounds half to even, as Python does.
function roundHalfEven(number) {
  const floor = Math.floor(number);
  if (number - floor !== 0.5) return Math.round(number);
  return floor % 2 === 0 ? floor : floor + 1;
}

function extremeOf(pick) {
  return (first, ...others) => {
    const items = Array.isArray(first) && !others.length ? first : [first, ...others];
    if (!items.length) throw new NoValue();
    return pick(...items.map(needNumber));
  };
}

/// The functions, each with the smallest and largest number of arguments and what it needs.
const FUNCTIONS = {
  min: { arity: [1, 64], list: true, compute: extremeOf(Math.min) },
  max: { arity: [1, 64], list: true, compute: extremeOf(Math.max) },
  abs: { arity: [1, 1], compute: Math.abs },
  floor: { arity: [1, 1], compute: Math.floor },
  ceil: { arity: [1, 1], compute: Math.ceil },
  round: {
    arity: [1, 2],
    compute: (number, places) =>
      places === undefined
        ? roundHalfEven(number)
        : Number(number.toFixed(Math.max(0, Math.min(100, Math.trunc(places))))),
  },
  log: {
    arity: [1, 2],
    compute: (number, base) =>
      base === undefined ? Math.log(number) : Math.log(number) / Math.log(base),
  },
  log2: { arity: [1, 1], compute: Math.log2 },
  sqrt: { arity: [1, 1], compute: Math.sqrt },
  len: { arity: [1, 1], any: true, compute: (value) => Array.from(value).length },
  sum: {
    arity: [1, 1],
    list: true,
    compute: (items) => items.map(needNumber).reduce((sum, item) => sum + item, 0),
  },
};

/// Parses the tokens of a filter to nodes `{type, value}`; `value(row)` is `undefined` where the
/// value is absent.
class FilterParser {
  constructor(tokens, columns) {
    Object.assign(this, { tokens, columns, position: 0, depth: 0 });
  }

  parse() {
    const root = this.disjunction();
    if (this.position < this.tokens.length) {
      const { value } = this.tokens[this.position];
      throw new FilterError(
        `expected the end before \`${value}\``,
        "write `and` or `or` between two conditions",
      );
    }
    if (!fits(root.type, "true or false"))
      throw new FilterError("the filter is neither true nor false", "write a comparison");
    return root;
  }

  take(kind, value) {
    const token = this.tokens[this.position];
    if (token === undefined || token.kind !== kind || token.value !== value) return false;
    this.position++;
    return true;
  }

  expect(symbol) {
    if (!this.take("symbol", symbol)) throw new FilterError(`\`${symbol}\` is missing`);
  }

  nested(parse) {
    if (++this.depth > DEEPEST) throw new FilterError("the filter is nested too deeply");
    const node = parse.call(this);
    this.depth--;
    return node;
  }

  disjunction() {
    return this.chain("or", this.conjunction, true);
  }

  conjunction() {
    return this.chain("and", this.negation, false);
  }

  /// Parses operands joined by a word. A first operand equal to `decisive` decides.
  chain(word, operand, decisive) {
    const operands = [operand.call(this)];
    while (this.take("word", word)) operands.push(operand.call(this));
    if (operands.length === 1) return operands[0];
    operands.forEach((node) => this.need(node, "true or false", `\`${word}\` needs true or false`));
    return {
      type: "true or false",
      value: (row) =>
        operands.some((node) => this.truth(node.value(row)) === decisive) ? decisive : !decisive,
    };
  }

  /// An absent operand is false.
  truth(value) {
    if (value === undefined) return false;
    if (typeof value !== "boolean") throw new NoValue();
    return value;
  }

  negation() {
    if (!this.take("word", "not")) return this.comparison();
    const operand = this.nested(this.negation);
    this.need(operand, "true or false", "`not` needs true or false");
    return { type: "true or false", value: (row) => !this.truth(operand.value(row)) };
  }

  comparison() {
    const first = this.sum();
    const rest = [];
    let left = first;
    for (let sign = this.comparisonSign(); sign; sign = this.comparisonSign()) {
      const right = this.sum();
      this.checkComparison(sign, left, right);
      rest.push([sign, right]);
      left = right;
    }
    if (!rest.length) return first;
    return {
      type: "true or false",
      value(row) {
        let result = true;
        let left = first.value(row);
        for (const [sign, operand] of rest) {
          const right = operand.value(row);
          if (left === undefined || right === undefined) result = false;
          else if (!compareSets(sign, left, right)) return false;
          left = right;
        }
        return result;
      },
    };
  }

  comparisonSign() {
    if (this.take("word", "in")) return "in";
    if (this.take("word", "not")) {
      if (this.take("word", "in")) return "not in";
      throw new FilterError("`not` stands between two values", "write `not in`, or `and not`");
    }
    return ["==", "!=", "<=", "<", ">=", ">"].find((sign) => this.take("symbol", sign));
  }

  checkComparison(sign, left, right) {
    if (sign === "in" || sign === "not in") {
      const isText = right.type === "a string" && fits(left.type, "a string");
      if (!isText && !fits(right.type, "a list"))
        throw new FilterError(
          `\`in\` needs a list, and this is ${right.type}`,
          "write `x in ['a', 'b']`",
        );
      return;
    }
    if (!fits(left.type, right.type))
      throw new FilterError(`this compares ${left.type} with ${right.type}`);
    if (sign === "==" || sign === "!=") return;
    for (const { type } of [left, right])
      if (type === "true or false" || type === "a list")
        throw new FilterError(`only numbers and strings have an order, and this is ${type}`);
  }

  need(node, type, rule) {
    if (!fits(node.type, type)) throw new FilterError(`${rule}, and this is ${node.type}`);
  }

  arithmetic(sign, left, right) {
    const isText = (node) => node.type === "a string";
    const joins = sign === "+" && (isText(left) || isText(right));
    for (const node of [left, right])
      if (joins) this.need(node, "a string", "`+` joins strings");
      else this.need(node, "a number", "arithmetic needs numbers");
    return {
      type: joins ? "a string" : "a number",
      value(row) {
        const [a, b] = [left.value(row), right.value(row)];
        if (a === undefined || b === undefined) return undefined;
        if (sign === "+" && typeof a === "string" && typeof b === "string") return a + b;
        return needFinite(ARITHMETIC[sign](needNumber(a), needNumber(b)));
      },
    };
  }

  operators(signs, operand) {
    let left = operand.call(this);
    for (;;) {
      const sign = signs.find((sign) => this.take("symbol", sign));
      if (!sign) return left;
      left = this.arithmetic(sign, left, operand.call(this));
    }
  }

  sum() {
    return this.operators(["+", "-"], this.product);
  }

  product() {
    return this.operators(["*", "//", "/", "%"], this.unary);
  }

  unary() {
    if (this.take("symbol", "+")) return this.nested(this.unary);
    if (!this.take("symbol", "-")) return this.power();
    const operand = this.nested(this.unary);
    this.need(operand, "a number", "`-` needs a number");
    return {
      type: "a number",
      value(row) {
        const value = operand.value(row);
        return value === undefined ? undefined : -needNumber(value);
      },
    };
  }

  power() {
    const base = this.indexed();
    if (!this.take("symbol", "**")) return base;
    return this.arithmetic("**", base, this.nested(this.unary));
  }

  indexed() {
    let base = this.primary();
    while (this.take("symbol", "[")) {
      const [list, index] = [base, this.nested(this.disjunction)];
      this.expect("]");
      this.need(index, "a number", "an index is a number");
      if (!["a string", "a list", "any value"].includes(list.type))
        throw new FilterError(`only a list has elements, and this is ${list.type}`);
      base = {
        type: list.type === "a string" ? "a string" : "any value",
        value(row) {
          const [items, at] = [list.value(row), index.value(row)];
          if (items === undefined || at === undefined) return undefined;
          const element = (typeof items === "string" ? Array.from(items) : items).at(at);
          if (!Number.isInteger(at) || element === undefined) throw new NoValue();
          return element;
        },
      };
    }
    return base;
  }

  primary() {
    const token = this.tokens[this.position];
    if (token === undefined) throw new FilterError("a value is missing at the end");
    this.position++;
    const { kind, value } = token;
    if (kind === "literal") return { type: typeOf(value), value: () => value };
    if (kind === "quoted") return this.name(value);
    if (kind === "word") return this.nameOrCall(value);
    if (value === "(") {
      const inner = this.nested(this.disjunction);
      this.expect(")");
      return inner;
    }
    if (value !== "[") throw new FilterError(`expected a value, not \`${value}\``);
    const items = this.items("]");
    return {
      type: "a list",
      value(row) {
        const values = items.map((item) => item.value(row));
        return values.includes(undefined) ? undefined : values;
      },
    };
  }

  /// Parses the items of a list or the arguments of a call, up to the closing bracket.
  items(close) {
    const items = [];
    while (!this.take("symbol", close)) {
      if (items.length) this.expect(",");
      if (items.length && this.take("symbol", close)) break;
      items.push(this.nested(this.disjunction));
    }
    return items;
  }

  name(name) {
    const column = this.columns.get(name);
    if (column) return column;
    const quoted = JSON.stringify(name);
    throw new FilterError(
      `there is no column ${quoted}`,
      /^\w+$/.test(name) ? `a text is written in quotes: '${name}'` : "",
    );
  }

  nameOrCall(word) {
    if (/^[tT]rue$/.test(word)) return { type: "true or false", value: () => true };
    if (/^[fF]alse$/.test(word)) return { type: "true or false", value: () => false };
    if (KEYWORDS.has(word)) throw new FilterError(`expected a value, not \`${word}\``);
    if (!this.take("symbol", "(")) return this.name(word);
    const called = Object.hasOwn(FUNCTIONS, word) ? FUNCTIONS[word] : null;
    const next = this.tokens[this.position];
    const after = this.tokens[this.position + 1];
    const isOverReports =
      REPORT_FUNCTIONS.test(word) ||
      (["min", "max", "sum"].includes(word) &&
        next !== undefined &&
        ["word", "quoted"].includes(next.kind) &&
        after !== undefined &&
        after.value === ")");
    if (isOverReports)
      throw new FilterError(
        `\`${word}\` reads reports, which this page does not hold`,
        "on the command line: swath ls STUDY --where '…'",
      );
    if (!called) throw new FilterError(`there is no function \`${word}\``);
    return this.call(word, called, this.items(")"));
  }

  call(word, { arity, list, any, compute }, parameters) {
    if (parameters.length < arity[0] || parameters.length > arity[1])
      throw new FilterError(`\`${word}\` does not take ${parameters.length} arguments`);
    const needsList = list && parameters.length === 1;
    for (const node of parameters) {
      if (any && !["a string", "a list", "any value"].includes(node.type))
        throw new FilterError(`\`${word}\` needs a list or a string, and this is ${node.type}`);
      if (!any)
        this.need(
          node,
          needsList ? "a list" : "a number",
          `\`${word}\` needs ${needsList ? "a list" : "numbers"}`,
        );
    }
    return {
      type: "a number",
      value(row) {
        const values = parameters.map((node) => node.value(row));
        if (values.includes(undefined)) return undefined;
        if (!any && !needsList) values.forEach(needNumber);
        return needFinite(compute(...values));
      },
    };
  }
}

/// Returns the columns by every name that a filter may use.
function filterColumns(columns) {
  const byName = new Map();
  for (const column of columns) {
    const values = { type: column.type, value: (row) => column.cell(row) };
    for (const name of column.names) if (!byName.has(name)) byName.set(name, values);
  }
  return byName;
}

/// Returns a predicate on rows: whether the texts of the row contain every word, or the row is the
/// trial of that number.
function containsWords(columns, words) {
  const searched = columns.filter(
    (column) => column.text && (!column.number || column.name === "trial"),
  );
  const lowerCase = words.map((word) => word.toLowerCase());
  return (row) =>
    lowerCase.every((word) =>
      searched.some((column) =>
        column.number ? column.text(row) === word : column.text(row).toLowerCase().includes(word),
      ),
    );
}

/// Parses a filter. Returns a predicate on rows.
///
/// # Errors
/// Throws a `FilterError` if the filter is neither words nor a condition.
function parseFilter(filter, columns) {
  const text = filter.trim();
  if (!text) return () => true;
  const byName = filterColumns(columns);
  const words = text.split(/\s+/);
  const isWords = words.every(
    (word) => /^[\p{L}\p{N}_.:-]+$/u.test(word) && !KEYWORDS.has(word) && !byName.has(word),
  );
  if (isWords) return containsWords(columns, words);
  const nonWords = [...byName.keys()].filter((name) => (name.match(WORD) || [""])[0] !== name);
  nonWords.sort((a, b) => b.length - a.length);
  const tokens = filterTokens(text, { nonWords, known: new Set(byName.keys()) });
  const root = new FilterParser(tokens, byName).parse();
  return (row) => {
    try {
      return root.value(row) === true;
    } catch (error) {
      if (error instanceof NoValue) return false;
      throw error;
    }
  };
}
