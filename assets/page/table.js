"use strict";
// The table of trials. Only the rows in view are in the document, so that large studies scroll
// fast.

/// Height of a row in pixels, as in the style sheet.
const ROW_HEIGHT = 26;
/// Maximum number of rows on paper.
const MOST_PRINTED = 500;

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
    this.node.addEventListener("keydown", (event) => this.handleKey(event));
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
    pickHead.append(element("span", "unseen", "picked"));
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
    const shown = this.rows.slice(from, to);
    if (!shown.includes(this.activeRow)) this.activeRow = shown[from > 0 ? 10 : 0];
    const rows = shown.map((row) => this.tableRow(row));
    keepFocus(this.table, () =>
      this.body.replaceChildren(this.spacer(from), ...rows, this.spacer(this.rows.length - to)),
    );
  }

  /// Moves the focus to the row above or below with the arrow keys. Only one row is a stop of the
  /// Tab key, so that hundreds of rows are not in the way.
  handleKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const control = event.target.closest("tbody [data-focus]");
    if (!step || !control) return;
    event.preventDefault();
    const [kind] = control.dataset.focus.split(" ");
    const index = this.rows.indexOf(Number(control.closest("tr").dataset.row)) + step;
    if (index < 0 || index >= this.rows.length) return;
    this.activeRow = this.rows[index];
    const { node } = this;
    const top = index * ROW_HEIGHT;
    // The header covers the first row in view.
    const lowest = top + 2 * ROW_HEIGHT - node.clientHeight;
    node.scrollTop = Math.min(top, Math.max(node.scrollTop, lowest));
    this.from = -1;
    this.draw();
    const id = this.study.data.trials.id[this.activeRow];
    this.body.querySelector(`[data-focus="${kind} ${id}"]`).focus({ preventScroll: true });
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
  openButton(id, text) {
    const button = document.createElement("button");
    button.className = "open";
    button.textContent = text;
    button.title = `show trial ${text}`;
    button.dataset.focus = "open " + id;
    button.addEventListener("click", () => this.onOpen(id));
    return button;
  }

  tableRow(row) {
    const { study } = this;
    const id = study.data.trials.id[row];
    const node = document.createElement("tr");
    node.dataset.row = row;
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
      if (column.name === "trial") cell.append(this.openButton(id, column.text(row)));
      else cell.textContent = column.text(row);
      if (column.number) cell.className = "number";
      if (column.name === "state") cell.className = study.data.trials.state[row];
      if (column.name === "why") cell.className = "why";
      if (!column.number || column.text(row).length > 20) cell.title = cell.textContent;
    }
    for (const control of node.querySelectorAll("[data-focus]"))
      control.tabIndex = row === this.activeRow ? 0 : -1;
    return node;
  }
}

/// Saves the rows of a table, in its order, as a file.
function download(table, form) {
  const { study, rows } = table;
  const value = (column, row) => column.value(row) ?? null;
  const quote = (cell) => {
    const text = cell === null ? "" : String(cell);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = rows.map((row) => study.columns.map((column) => quote(value(column, row))));
  const objects = rows.map((row) =>
    Object.fromEntries(study.columns.map((column) => [column.name, value(column, row)])),
  );
  const csv = [study.columns.map(({ name }) => quote(name)), ...lines]
    .map((cells) => cells.join(",") + "\n")
    .join("");
  const text = form === "csv" ? csv : JSON.stringify(objects, null, 1) + "\n";
  const type = form === "csv" ? "text/csv" : "application/json";
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${study.data.name}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
