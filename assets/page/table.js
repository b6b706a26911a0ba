"use strict";
// The table of trials. Only the rows in view are in the document, so that large studies scroll
// fast.

/// Height of a row in pixels, as in the style sheet.
const ROW_HEIGHT = 26;
/// Maximum number of rows on paper.
const MOST_PRINTED = 500;

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

class Table {
  /// `onPick` is called with the id of a trial whose checkbox was clicked, `onOpen` with that of a
  /// trial to be shown, and `onSort` after the order has changed.
  constructor(study, onPick, onOpen, onSort) {
    Object.assign(this, { study, onPick, onOpen, onSort });
    this.node = document.createElement("div");
    this.node.className = "table-box";
    this.node.tabIndex = 0;
    this.node.setAttribute("aria-label", "trials");
    this.table = document.createElement("table");
    this.head = this.table.createTHead();
    this.body = this.table.createTBody();
    this.node.append(this.table);
    this.node.addEventListener("scroll", () => this.draw());
    this.refresh();
  }

  /// Filters, sorts and draws all rows again.
  refresh() {
    const { study } = this;
    this.rows = [];
    for (let row = 0; row < study.count; row++) if (study.visible[row]) this.rows.push(row);
    const column = study.columns.find((column) => column.name === study.sort.key);
    if (column) {
      const sign = study.sort.down ? -1 : 1;
      this.rows.sort((a, b) => {
        const [x, y] = [column.value(a), column.value(b)];
        // Rows without a value are last in both directions.
        if (isAbsent(x) || isAbsent(y)) return isAbsent(x) - isAbsent(y) || a - b;
        return (x < y ? -1 : x > y ? 1 : 0) * sign || a - b;
      });
    }
    this.from = -1;
    keepFocus(this.table, () => {
      this.drawHead();
      this.draw();
    });
  }

  drawHead() {
    const { sort, columns } = this.study;
    const key = JSON.stringify([sort, columns.map(({ name, number }) => [name, number])]);
    if (key === this.headKey) return;
    this.headKey = key;
    this.head.replaceChildren();
    const headRow = this.head.insertRow();
    const pickHead = document.createElement("th");
    pickHead.setAttribute("aria-label", "picked");
    headRow.append(pickHead);
    for (const column of this.study.columns) {
      const cell = document.createElement("th");
      const button = document.createElement("button");
      const { sort } = this.study;
      const sorted = sort.key === column.name;
      button.textContent = column.name + (sorted ? (sort.down ? " ▼" : " ▲") : "");
      button.title = column.name;
      button.dataset.focus = "column " + column.name;
      cell.setAttribute("aria-sort", sorted ? (sort.down ? "descending" : "ascending") : "none");
      if (column.number) cell.className = "number";
      button.addEventListener("click", () => {
        this.study.sort = { key: column.name, down: sorted && !sort.down };
        this.refresh();
        this.onSort();
      });
      cell.append(button);
      headRow.append(cell);
    }
  }

  draw() {
    const from = isPrinting() ? 0 : Math.max(0, Math.floor(this.node.scrollTop / ROW_HEIGHT) - 10);
    if (from === this.from && !isPrinting()) return;
    this.from = from;
    const to = Math.min(this.rows.length, from + (isPrinting() ? MOST_PRINTED : 45));
    const rows = this.rows.slice(from, to).map((row) => this.tableRow(row));
    keepFocus(this.table, () =>
      this.body.replaceChildren(this.spacer(from), ...rows, this.spacer(this.rows.length - to)),
    );
  }

  /// Returns an empty row with the height of `count` rows outside the view.
  spacer(count) {
    const spacer = document.createElement("tr");
    spacer.className = "spacer";
    const cell = spacer.insertCell();
    cell.colSpan = this.study.columns.length + 1;
    cell.style.height = count * ROW_HEIGHT + "px";
    return spacer;
  }

  /// Returns the number of a trial as a button that shows it.
  openButton(id) {
    const button = document.createElement("button");
    button.className = "open";
    button.textContent = String(id);
    button.title = `show trial ${id}`;
    button.dataset.focus = "open " + id;
    button.addEventListener("click", () => this.onOpen(id));
    return button;
  }

  tableRow(row) {
    const { study } = this;
    const id = study.data.trials.id[row];
    const node = document.createElement("tr");
    if (study.data.best && study.data.best.trial === id) node.className = "best";
    const checkbox = document.createElement("input");
    checkbox.type = "checkbox";
    checkbox.checked = study.picked.has(id);
    checkbox.setAttribute("aria-label", "pick trial " + id);
    checkbox.dataset.focus = "trial " + id;
    if (checkbox.checked) checkbox.style.accentColor = `var(--picked${study.picked.get(id)})`;
    checkbox.addEventListener("change", () => this.onPick(id));
    node.insertCell().append(checkbox);
    for (const column of study.columns) {
      const cell = node.insertCell();
      if (column.name === "trial") cell.append(this.openButton(id));
      else cell.textContent = column.text(row);
      if (column.number) cell.className = "number";
      if (column.name === "state") cell.className = study.data.trials.state[row];
      if (!column.number || column.text(row).length > 20) cell.title = cell.textContent;
    }
    return node;
  }
}
