"use strict";
// Elements of the document: texts become text nodes, and never markup.

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/// Shows one line of text for each item, and changes nothing if they are shown already.
function setLines(node, texts, className) {
  const key = JSON.stringify(texts);
  if (node.dataset.text === key) return;
  node.dataset.text = key;
  node.replaceChildren(...texts.map((text) => element("p", className(text), text)));
}

function summaryLine(parts) {
  const line = element("p", "summary");
  for (const [strong, text] of parts) {
    if (strong) line.append(element("b", "", strong));
    line.append(text);
  }
  return line;
}

/// Changes a part of the document, and gives the focus back to the element that had it.
function keepFocus(part, change) {
  const { activeElement } = document;
  const key = part.contains(activeElement) ? activeElement.dataset.focus : undefined;
  change();
  if (key === undefined || document.activeElement === activeElement) return;
  const elements = [...part.querySelectorAll("[data-focus]")];
  const same = elements.find((element) => element.dataset.focus === key);
  if (same) same.focus({ preventScroll: true });
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

/// Returns a dialog that a click beside it closes.
function createDialog(className, closed) {
  const node = element("dialog", className);
  node.addEventListener("close", closed);
  node.addEventListener("click", (event) => event.target === node && node.close());
  document.body.append(node);
  return node;
}

/// Builds a tooltip from nodes instead of HTML, because names and values are untrusted text.
function tooltipNode(title, rows) {
  const box = document.createElement("div");
  box.className = "tooltip";
  const heading = document.createElement("b");
  heading.textContent = title;
  const table = document.createElement("table");
  for (const [name, value] of rows) {
    const line = table.insertRow();
    line.insertCell().textContent = name;
    line.insertCell().textContent = value;
  }
  box.append(heading, table);
  return box;
}

/// Builds the tooltip of a trial: its state, objectives and parameters, at most 24 lines.
function trialTooltip(study, id) {
  const row = study.rowOf.get(id);
  if (row === undefined) return tooltipNode("trial " + id, []);
  const cells = study.columns.slice(1).map((column) => [column.name, column.text(row)]);
  return tooltipNode("trial " + id, cells.filter(([, text]) => text !== "").slice(0, 24));
}
