"use strict";
// The part of the page that shows one study.

/// Maximum number of parameters of the best trial in the summary.
const MOST_BEST = 8;

/// The part of the page that shows one study.
class Section {
  constructor(page, study) {
    Object.assign(this, { page, study });
    this.node = element("section", "study");
    this.title = element("h2");
    this.lines = element("div");
    this.progress = element("progress");
    this.progress.setAttribute("aria-label", "trials that have ended");
    this.insights = element("ul", "insights");
    this.insights.setAttribute("aria-label", "insights");
    this.chips = element("div", "chips");
    const cards = element("div", "cards");
    this.cards = OWN_CHARTS.map((kind) => new Card(page, study, kind));
    const tableCard = element("section", "card wide");
    tableCard.dataset.kind = "table";
    const head = element("div", "head");
    head.append(element("h3", "", "Trials"));
    this.filter = element("input", "filter");
    this.filter.type = "search";
    this.filter.placeholder = "filter: failed, or lr < 0.01 and optimizer == 'adam' …";
    this.filter.setAttribute("aria-label", "filter trials");
    this.filter.value = study.filter;
    this.filter.addEventListener("input", () => {
      work.defer();
      clearTimeout(this.filterTimer);
      // Keys in quick succession filter once.
      this.filterTimer = setTimeout(() => this.applyFilter(), FILTER_DELAY);
      this.suggest();
    });
    this.filter.addEventListener("change", () => this.applyFilter());
    this.names = element("datalist");
    this.names.id = "names-" + page.sections.length + "-" + study.data.name;
    this.filter.setAttribute("list", this.names.id);
    this.help = element("div", "note filter-help");
    this.help.setAttribute("role", "status");
    this.clear = element("button", "", "show all");
    this.clear.addEventListener("click", () => this.showAll());
    this.count = element("span", "note count");
    const downloads = element("span", "controls");
    for (const form of ["csv", "json"]) {
      const button = element("button", "", form.toUpperCase());
      button.title = `download the trials of the table as ${form.toUpperCase()}`;
      button.addEventListener("click", () => download(this.table, form));
      downloads.append(button);
    }
    head.append(this.filter, this.clear, this.count, downloads);
    this.table = new Table(
      study,
      (id) => page.pick(study, id),
      (id) => page.trialView.open(study, id, "open " + id),
      () => page.saveState(),
    );
    tableCard.append(head, this.names, this.help, this.chips, this.table.node);
    cards.append(
      ...this.cards.slice(0, 3).map((card) => card.node),
      tableCard,
      ...this.cards.slice(3).map((card) => card.node),
    );
    this.node.append(this.title, this.lines, this.progress);
    if (page.actions.areAllowed) {
      this.runButtons = page.actions.runButtons(study);
      this.node.append(this.runButtons);
    }
    this.node.append(this.insights, cards);
    this.describe();
  }

  /// Applies the text of the filter, unless it applies already.
  applyFilter() {
    clearTimeout(this.filterTimer);
    const { study } = this;
    if (study.filter === this.filter.value) return;
    study.filter = this.filter.value;
    study.applyFilters();
    this.page.redraw(study, false);
    this.page.saveState();
  }

  /// Writes the sentences that the page begins with. They stay as they are while nothing in them
  /// changes, so that focus and selection survive an update.
  describeInsights() {
    const { insights } = this.study.data.analysis;
    const text = JSON.stringify(insights);
    if (text === this.insightsText) return;
    this.insightsText = text;
    this.insights.hidden = insights.length === 0;
    this.insights.replaceChildren(...insights.map((insight) => this.insightItem(insight)));
  }

  /// Returns one sentence with links to its chart and to its trials.
  insightItem({ kind, text, caution, trials, chart }) {
    const item = element("li");
    item.dataset.kind = kind;
    item.append(...this.sentence(text));
    const link = (label, title, act) => {
      const button = element("button", "link", label);
      button.title = title;
      button.addEventListener("click", act);
      item.append(" ", button);
    };
    link("chart", `show ${TITLES[chart][0]}`, () => this.showChart(chart));
    if (trials.length) {
      const label = trials.length === 1 ? "trial" : `${trials.length} trials`;
      link(label, "show only these trials", () => this.showOnly(trials));
    }
    if (caution) item.append(element("p", "note", `caution: ${caution}`));
    return item;
  }

  /// Returns the parts of a sentence: names between back quotes stand out, and a trial that is named
  /// is opened by a click.
  sentence(text) {
    const { page, study } = this;
    return text.split(/(`[^`]*`|[Tt]rial \d+)/).map((part) => {
      if (/^`.*`$/.test(part)) return element("b", "", part.slice(1, -1));
      const id = Number((part.match(/^[Tt]rial (\d+)$/) || [])[1]);
      if (!study.rowOf.has(id)) return document.createTextNode(part);
      const button = element("button", "mention", part);
      button.title = `show trial ${id}`;
      button.addEventListener("click", () => page.trialView.open(study, id, null, button));
      return button;
    });
  }

  /// Scrolls to a chart and gives it the focus.
  showChart(kind) {
    const card = this.cards.find((card) => card.kind === kind);
    card.approach(true);
    const { node } = card.node.hidden ? this.cards[0] : card;
    node.tabIndex = -1;
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: "start" });
  }

  /// Restricts the study to some trials and scrolls to their rows.
  showOnly(trials) {
    this.showAll();
    this.study.brush = new Set(trials);
    this.study.applyFilters();
    this.page.redraw(this.study, false);
    this.clear.focus({ preventScroll: true });
    this.clear.scrollIntoView({ block: "center" });
  }

  showAll() {
    this.filter.value = "";
    this.study.filter = "";
    this.cards.find((card) => card.kind === "parallel").clearBrush();
    this.study.applyFilters();
    this.page.redraw(this.study, false);
  }

  /// Offers the names of columns that begin with the last word of the filter.
  suggest() {
    const word = (this.filter.value.match(/[\p{L}\p{N}_.]+$/u) || [""])[0];
    const isTyping = document.activeElement === this.filter && word !== "";
    const names = this.study.columns.map(({ name }) => name);
    const matching = names.filter((name) => name.startsWith(word) && name !== word);
    this.names.replaceChildren(
      ...(isTyping ? matching.slice(0, 12) : []).map((name) => {
        const isWord = (name.match(WORD) || [""])[0] === name;
        const value = this.filter.value.slice(0, -word.length) + (isWord ? name : `\`${name}\``);
        return new Option(name, value);
      }),
    );
  }

  /// Writes the texts of the section: title, summary, number of trials and picked trials.
  describe() {
    const { study } = this;
    const { data } = study;
    this.title.textContent = data.name;
    if (this.runButtons) this.runButtons.querySelector(".of-run").hidden = !data.running;
    const lines = [[["", data.summary + "; " + data.status]]];
    // The first sentence has the parameters of the best trial unless they are long.
    const isSaid = ({ kind, text }) => kind === "best" && text.includes(data.best.params);
    if (data.best && !data.analysis.insights.some(isSaid))
      lines.push([
        [
          data.objectives.length > 1 ? `best in ${data.objectives[0][0]} ` : "best ",
          `trial ${data.best.trial}: ${data.best.objectives}  `,
        ],
        ["", bestParameters(study)],
      ]);
    if (data.same.length)
      lines.push([
        [
          "constant parameters: ",
          truncate(data.same.map(([name, value]) => `${name}=${value}`).join(" "), MOST_SUMMARY),
        ],
      ]);
    this.progress.hidden = !data.progress;
    if (data.progress) [this.progress.value, this.progress.max] = data.progress;
    // Text that a person has selected stays as long as it does not change.
    if (this.lines.dataset.text !== JSON.stringify(lines)) {
      this.lines.dataset.text = JSON.stringify(lines);
      this.lines.replaceChildren(...lines.map(summaryLine));
    }
    this.describeInsights();
    this.count.textContent = study.isFiltered
      ? `${study.shownCount} of ${study.count}`
      : `${study.count}`;
    const { filterError } = study;
    this.filter.classList.toggle("invalid", filterError !== null);
    this.filter.setAttribute("aria-invalid", String(filterError !== null));
    const message = filterError
      ? [filterError.message, filterError.hint].filter((text) => text).join("; ")
      : "";
    setLines(this.help, message ? [message] : [], () => "invalid");
    this.suggest();
    const chipKey = JSON.stringify([...study.picked]);
    if (chipKey === this.chips.dataset.text) return;
    this.chips.dataset.text = chipKey;
    this.chips.replaceChildren(
      ...[...study.picked].map(([id, colour]) => {
        const chip = element("button", "chip", `trial ${id} ✕`);
        chip.style.borderColor = `var(--picked${colour})`;
        chip.addEventListener("click", () => this.page.pick(study, id));
        return chip;
      }),
    );
    if (study.picked.size > 1) {
      const compare = element("button", "", `compare ${study.picked.size} trials`);
      compare.dataset.focus = "compare";
      compare.addEventListener("click", () => this.page.diffView.open(study, compare));
      this.chips.append(compare);
    }
  }
}

/// Returns the parameters of the best trial, at most [`MOST_BEST`] of them, the important ones.
function bestParameters(study) {
  const { axes } = study.data.trials;
  const { best } = study.data;
  if (axes.length <= MOST_BEST) return truncate(best.params, MOST_SUMMARY);
  const row = study.rowOf.get(best.trial);
  const texts = study
    .orderedAxes(MOST_BEST)
    .slice(0, MOST_BEST)
    .filter((axis) => axis.values[row] !== null && row !== undefined)
    .map((axis) => `${axis.name}=${formatAxisValue(axis, axis.values[row])}`);
  return `${texts.join(" ")} … (${axes.length} parameters; the trial shows all)`;
}
