"use strict";
// Several studies as one: a table of all their trials, their curves over each other, the best values
// so far, and the verdict of `swath compare --by study`.

/// The trials of several studies, in the form of a study that a table and a card can show.
class Union {
  constructor(sections) {
    this.sort = { key: null, down: false };
    this.picked = new Map();
    this.choices = {};
    this.zooms = {};
    this.logScale = false;
    this.sections = sections;
    this.update();
  }

  update() {
    const studies = this.sections.map(({ study }) => study);
    this.rows = studies.flatMap((study) => study.data.trials.id.map((_, row) => ({ study, row })));
    this.count = this.rows.length;
    const id = this.rows.map((_, index) => index);
    const state = this.rows.map(({ study, row }) => study.data.trials.state[row]);
    this.data = { name: "studies", trials: { id, state }, best: null };
    this.rowOf = new Map(id.map((index) => [index, index]));
    const first = new Map(studies.map((study, index) => [study, index]));
    this.colourOf = ({ study }) => first.get(study) % 8;
    const byName = studies.map(
      (study) => new Map(study.columns.map((column) => [column.name, column])),
    );
    const names = [...new Set(studies.flatMap((study) => study.columns.map(({ name }) => name)))];
    const columnAt = (index, name) => byName[first.get(this.rows[index].study)].get(name);
    this.columns = [
      textColumn(
        "study",
        this.rows.map(({ study }) => study.data.name),
      ),
      ...names.map((name) => {
        const value = (index) => columnAt(index, name)?.value(this.rows[index].row) ?? null;
        return {
          name,
          names: [name],
          number: byName.some((columns) => columns.get(name)?.number),
          value,
          cell: (index) => columnAt(index, name)?.cell(this.rows[index].row),
          text: (index) => columnAt(index, name)?.text(this.rows[index].row) ?? "",
        };
      }),
    ];
    this.applyFilters();
  }

  applyFilters() {
    this.visible = Uint8Array.from(this.rows, ({ study, row }) => study.visible[row]);
    this.shownCount = this.visible.reduce((sum, one) => sum + one, 0);
    this.picked = new Map();
    this.rows.forEach(({ study, row }, index) => {
      const colour = study.picked.get(study.data.trials.id[row]);
      if (colour !== undefined) this.picked.set(index, colour);
    });
  }

  get isFiltered() {
    return this.shownCount < this.count;
  }
}

/// Returns the chart of the curves of several studies, each in its colour.
function overlayOption(union, colours) {
  const studies = union.sections.map(({ study }) => study);
  const metric = studies[0].view().history.metric;
  const sets = studies.map((study) => study.data.curves.find((curves) => curves.metric === metric));
  if (sets.some((set) => !set)) return null;
  const items = [];
  const indexOf = new Map(
    union.rows.map(({ study, row }, index) => [
      `${studies.indexOf(study)} ${study.data.trials.id[row]}`,
      index,
    ]),
  );
  sets.forEach((set, index) =>
    set.lines.forEach((line) =>
      items.push({
        id: indexOf.get(`${index} ${line.trial}`) ?? -1,
        points: pointsOf(set, line),
        colour: colours.picked[index % 8],
      }),
    ),
  );
  const steps = [];
  const values = [];
  for (const { points } of items)
    for (let at = 0; at < points.length; at += 2) {
      if (Number.isNaN(points[at + 1])) continue;
      steps.push(points[at]);
      values.push(points[at + 1]);
    }
  if (!items.some(({ points }) => points.length > 2) || !values.length) return null;
  return baseOption(colours, {
    xAxis: stepAxis(colours, sets[0].step, { min: "dataMin", max: "dataMax" }),
    yAxis: valueAxis(colours, union, values),
    title: axisTitle(colours, metric),
    dataZoom: wheelZoom,
    legend: studies.map((study, index) => [colours.picked[index % 8], study.data.name]),
    marks: [
      lineSet(items, {
        colour: items.map(({ colour }) => colour),
        alpha: items.length > 200 ? 0.25 : 0.6,
        width: 1,
        describe: (index) => {
          const { study, row } = union.rows[items[index].id];
          const id = study.data.trials.id[row];
          return tooltipNode(`${study.data.name}: trial ${id}`, []);
        },
      }),
    ],
    series: [cornerSeries(steps, values)],
  });
}

charts.overlay = overlayOption;

/// The card of the curves of all studies.
class OverlayCard extends Card {
  createControls() {}

  captions() {
    return ["the learning curves of all studies; the filter and the picks of each study count"];
  }

  description() {
    return `learning curves of ${this.study.sections.length} studies`;
  }

  refresh() {
    this.draw();
  }
}

/// The part of the page above several studies.
class Together {
  constructor(page, sections) {
    Object.assign(this, { page, union: new Union(sections) });
    this.node = element("div", "all-columns together");
    this.verdict = element("section", "card");
    this.verdict.hidden = true;
    this.curves = new OverlayCard(page, this.union, "overlay");
    const card = element("section", "card wide");
    const head = element("div", "head");
    this.filter = element("input", "filter");
    Object.assign(this.filter, { type: "search", placeholder: "filter all studies" });
    this.filter.setAttribute("aria-label", "filter the trials of all studies");
    this.filter.addEventListener("input", () => {
      work.defer();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.applyFilter(), FILTER_DELAY);
    });
    this.count = element("span", "note count");
    head.append(element("h3", "", "Trials of all studies"), this.filter, this.count);
    const place = (index) => {
      const { study, row } = this.union.rows[index];
      return [study, study.data.trials.id[row]];
    };
    this.table = new Table(
      this.union,
      (index) => page.pick(...place(index)),
      (index) => page.trialView.open(...place(index), "open " + index),
      () => {},
    );
    this.table.node.setAttribute("aria-label", "trials of all studies");
    card.append(head, this.table.node);
    const cards = element("div", "cards");
    cards.append(this.verdict, this.curves.node, card);
    this.node.append(cards);
    this.refresh();
  }

  applyFilter() {
    for (const { study, filter } of this.union.sections) {
      filter.value = study.filter = this.filter.value;
      study.applyFilters();
      this.page.redraw(study, false);
    }
    this.page.saveState();
  }

  /// Shows new data, a new filter or new picks.
  refresh(dataChanged = true) {
    if (dataChanged) this.union.update();
    else this.union.applyFilters();
    this.count.textContent = `${this.union.shownCount} of ${this.union.count}`;
    this.table.refresh();
    this.curves.refresh();
    if (dataChanged) this.showVerdict();
  }

  /// Shows the verdict of `swath compare`, at most every few seconds.
  async showVerdict() {
    if (performance.now() < (this.nextVerdict || 0)) return;
    this.nextVerdict = performance.now() + VERDICT_PAUSE;
    const result = await this.page.loadComparison().catch(() => null);
    this.verdict.hidden = !result || !result.groups;
    if (this.verdict.hidden) return;
    const text = JSON.stringify(result);
    if (text === this.verdictText) return;
    this.verdictText = text;
    const metric = result.metric;
    const rows = result.groups.map((group) => [
      group.by.study,
      String(group.n),
      formatNumber(group.mean),
      group.low === undefined ? "" : formatNumber((group.high - group.low) / 2, 3),
      formatNumber(group.best),
      formatNumber(group.p, 3),
      group.verdict,
    ]);
    const headings = ["study", "trials", `mean ${metric}`, "±", "best", "p", "verdict"];
    const notes = (result.notes || []).map((note) => element("p", "note", note));
    this.verdict.replaceChildren(
      element("h3", "", "Comparison of the studies"),
      plainTable(headings, rows),
      ...notes,
    );
  }
}

/// Milliseconds between two comparisons of the studies.
const VERDICT_PAUSE = 10000;
