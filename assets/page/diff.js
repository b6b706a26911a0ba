"use strict";
// The picked trials beside each other: everything in which they differ.

/// The dialog that compares the picked trials.
class DiffView {
  constructor(page) {
    Object.assign(this, { page, study: null, showsAll: false });
    this.node = createDialog("trial diff", () => this.closed());
  }

  get isOpen() {
    return this.node.open;
  }

  async open(study, opener) {
    Object.assign(this, { study, opener });
    if (!this.node.open) this.node.showModal();
    const ids = [...study.picked.keys()];
    this.render(ids, null);
    this.page.saveState();
    const details = await Promise.all(
      ids.map((id) => this.page.loadDetail(study, id).catch(() => null)),
    );
    if (this.study === study && this.node.open) this.render(ids, details);
  }

  closed() {
    this.study = null;
    this.page.saveState();
    if (this.opener) this.opener.focus({ preventScroll: true });
  }

  render(ids, details) {
    const head = element("div", "head");
    head.append(element("h2", "", `Trials ${ids.join(", ")}`));
    const controls = element("div", "controls");
    const all = element("button", "", "show equal values");
    all.setAttribute("aria-pressed", String(this.showsAll));
    all.addEventListener("click", () => {
      this.showsAll = !this.showsAll;
      this.render(ids, details);
      this.node.querySelector("[aria-pressed]").focus();
    });
    const close = element("button", "", "close");
    close.addEventListener("click", () => this.node.close());
    controls.append(all, close);
    head.append(controls);
    const parts = [head];
    let equal = 0;
    for (const [section, rows] of this.sections(ids, details)) {
      const shown = rows.filter(([, ...values]) => this.showsAll || new Set(values).size > 1);
      equal += rows.length - shown.length;
      if (!shown.length) continue;
      const part = element("section", ids.length > 3 ? "part wide" : "part");
      // A wide table is scrolled with the keys.
      part.tabIndex = 0;
      const headings = ["name", ...ids.map((id) => `trial ${id}`)];
      const isChange = ids.length === 2 && shown.some(([, a, b]) => changeText(a, b) !== "");
      const table = plainTable(
        isChange ? [...headings, "change"] : headings,
        isChange ? shown.map((row) => [...row, changeText(row[1], row[2])]) : shown,
      );
      part.append(element("h3", "", section[0].toUpperCase() + section.slice(1)), table);
      parts.push(part);
    }
    if (details === null) parts.push(element("p", "note", "loading …"));
    else if (details.some((detail) => detail === null))
      parts.push(
        element(
          "p",
          "note",
          "This file does not describe all of these trials. Code, data and environment: " +
            `swath diff ${this.study.data.name}/${ids[0]} ${this.study.data.name}/${ids[1]}`,
        ),
      );
    if (equal) parts.push(element("p", "note", `${equal} equal values are not shown`));
    this.node.replaceChildren(...parts);
  }

  /// Returns the sections with their rows: the name and the value of each trial.
  sections(ids, details) {
    const { study } = this;
    const rows = ids.map((id) => study.rowOf.get(id));
    const isParameter = new Set(study.data.trials.axes.map(({ name }) => name));
    const columns = study.columns.filter(({ name }) => name !== "trial");
    const row = (column) => [
      column.name,
      ...rows.map((at) => (at === undefined ? "" : column.text(at))),
    ];
    const sections = new Map([
      ["parameters", columns.filter(({ name }) => isParameter.has(name)).map(row)],
      ["results", columns.filter(({ name }) => !isParameter.has(name)).map(row)],
    ]);
    if (details === null || details.some((detail) => detail === null)) return sections;
    const valuesOf = details.map(
      ({ facts }) => new Map(facts.map(([section, name, value]) => [`${section}\0${name}`, value])),
    );
    for (const key of new Set(valuesOf.flatMap((values) => [...values.keys()]))) {
      const [section, name] = key.split("\0");
      // The table of the page has them already.
      if (section === "parameters" || section === "metrics") continue;
      if (!sections.has(section)) sections.set(section, []);
      sections.get(section).push([name, ...valuesOf.map((values) => values.get(key) ?? "–")]);
    }
    return sections;
  }
}

/// Returns the relative change between two numbers; empty for other values.
function changeText(a, b) {
  const [from, to] = [Number(a), Number(b)];
  if (a === "" || b === "" || !Number.isFinite(from) || !Number.isFinite(to)) return "";
  if (from === to || from === 0) return "";
  const percent = ((to - from) / Math.abs(from)) * 100;
  return (percent > 0 ? "+" : "") + percent.toFixed(1) + " %";
}
