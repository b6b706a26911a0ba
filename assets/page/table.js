"use strict";
// The table of trials: sorted, filtered, with only the rows in sight in the document.

const ROW = 26;

class Table {
  constructor(study, changed) {
    this.study = study;
    this.changed = changed;
    this.node = document.createElement("div");
    this.node.className = "box";
    this.node.tabIndex = 0;
    this.node.setAttribute("aria-label", "trials");
    this.table = document.createElement("table");
    this.head = this.table.createTHead();
    this.body = this.table.createTBody();
    this.node.append(this.table);
    this.node.addEventListener("scroll", () => this.draw());
    this.refresh();
  }

  /// Sorts and filters anew, and draws.
  refresh() {
    const { study } = this;
    this.rows = [];
    for (let row = 0; row < study.count; row++) if (study.visible[row]) this.rows.push(row);
    const column = study.columns.find((column) => column.name === study.sort.key);
    if (column) {
      const sign = study.sort.down ? -1 : 1;
      const absent = (value) => value === null || value === undefined || value === "";
      this.rows.sort((a, b) => {
        const [x, y] = [column.value(a), column.value(b)];
        if (absent(x) || absent(y)) return absent(x) - absent(y) || a - b;
        return (x < y ? -1 : x > y ? 1 : 0) * sign || a - b;
      });
    }
    this.drawHead();
    this.from = -1;
    this.draw();
  }

  drawHead() {
    this.head.replaceChildren();
    const line = this.head.insertRow();
    line.append(document.createElement("th"));
    for (const column of this.study.columns) {
      const cell = document.createElement("th");
      const button = document.createElement("button");
      const { sort } = this.study;
      const sorted = sort.key === column.name;
      button.textContent = column.name + (sorted ? (sort.down ? " ▼" : " ▲") : "");
      button.title = column.name;
      cell.setAttribute("aria-sort", sorted ? (sort.down ? "descending" : "ascending") : "none");
      if (column.number) cell.className = "number";
      button.addEventListener("click", () => {
        this.study.sort = { key: column.name, down: sorted && !sort.down };
        this.refresh();
      });
      cell.append(button);
      line.append(cell);
    }
  }

  draw() {
    const from = Math.max(0, Math.floor(this.node.scrollTop / ROW) - 10);
    if (from === this.from) return;
    this.from = from;
    const to = Math.min(this.rows.length, from + 45);
    const pad = (count) => {
      const line = document.createElement("tr");
      line.className = "pad";
      const cell = line.insertCell();
      cell.colSpan = this.study.columns.length + 1;
      cell.style.height = count * ROW + "px";
      return line;
    };
    const lines = this.rows.slice(from, to).map((row) => this.line(row));
    this.body.replaceChildren(pad(from), ...lines, pad(this.rows.length - to));
  }

  line(row) {
    const { study } = this;
    const id = study.data.trials.id[row];
    const line = document.createElement("tr");
    if (study.data.best && study.data.best.trial === id) line.className = "best";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = study.picked.has(id);
    box.setAttribute("aria-label", "pick trial " + id);
    if (box.checked) box.style.accentColor = `var(--pick${study.picked.get(id)})`;
    box.addEventListener("change", () => this.changed(id));
    line.insertCell().append(box);
    for (const column of study.columns) {
      const cell = line.insertCell();
      cell.textContent = column.text(row);
      if (column.number) cell.className = "number";
      if (column.name === "state") cell.className = study.data.trials.state[row];
      if (!column.number || column.text(row).length > 20) cell.title = cell.textContent;
    }
    return line;
  }
}
