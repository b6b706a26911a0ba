"use strict";
// Assembles the page and updates it while `swath ui` serves it.

/// The page with all its studies.
class App {
  constructor() {
    this.main = document.getElementById("main");
    this.nav = document.getElementById("nav");
    this.sections = [];
    this.hidden = new Set();
    this.visibility = new IntersectionObserver(
      (entries) =>
        entries.forEach(({ target, isIntersecting }) => target.card.approach(isIntersecting)),
      { rootMargin: "500px" },
    );
    // A card becomes wider when its neighbour has nothing to show.
    this.sizes = new ResizeObserver((entries) =>
      entries.forEach(({ target: { card } }) => {
        const width = card.scroll.clientWidth;
        if (card.chart && width && width !== card.drawnWidth) card.draw();
      }),
    );
    let resizeTimer = 0;
    window.addEventListener("resize", () => {
      clearTimeout(resizeTimer);
      resizeTimer = setTimeout(() => this.resize(), 150);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redrawAll());
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
    window.addEventListener("hashchange", () => this.restoreState());
    this.createThemeSwitch();
    this.actions = new Actions(this);
    this.trialView = new TrialView(this);
    this.diffView = new DiffView(this);
    const details = document.getElementById("details").textContent.trim();
    this.details = details ? JSON.parse(details) : null;
  }

  /// Returns everything about a trial, from this file or from the server; `null` if the file does
  /// not have it.
  async loadDetail(study, id) {
    const index = this.sections.findIndex((section) => section.study === study);
    if (this.details) return (this.details[index] || {})[id] || null;
    const reply = await fetch(`trial?study=${index}&id=${id}`, { cache: "no-store" });
    if (!reply.ok) throw new Error(await reply.text());
    return reply.json();
  }

  /// Prepares the page for paper, and back: light colours, all charts drawn as vectors in the width
  /// of a page.
  print(isOnPaper) {
    document.documentElement.classList.toggle("print", isOnPaper);
    for (const card of this.cards()) {
      card.dispose();
      if (isOnPaper) {
        card.wasNear = card.isNear;
        card.isNear = true;
        card.draw();
        work.finish();
      } else {
        card.approach(card.wasNear);
      }
    }
    for (const section of this.sections) {
      section.table.from = -1;
      section.table.draw();
    }
    if (this.overlayChart) {
      this.overlayChart.dispose();
      this.overlayChart = null;
      this.drawOverlay();
    }
  }

  /// Adds the button that changes between the colours of the system, light and dark.
  createThemeSwitch() {
    const button = element("button", "theme");
    const themes = ["system", "light", "dark"];
    const apply = (theme) => {
      document.documentElement.dataset.theme = theme;
      button.textContent = `colours: ${theme}`;
    };
    apply("system");
    button.addEventListener("click", () => {
      const { theme } = document.documentElement.dataset;
      apply(themes[(themes.indexOf(theme) + 1) % themes.length]);
      this.redrawAll();
    });
    document.querySelector("header").append(button);
  }

  /// Puts filters, sorting, picks and choices into the address, so that the view can be sent. Browsers
  /// ignore changes of the address that follow each other too fast.
  saveState() {
    clearTimeout(this.stateTimer);
    this.stateTimer = setTimeout(() => this.writeState(), 200);
  }

  writeState() {
    const parts = this.sections.flatMap(({ study }) => {
      const state = study.state();
      if (this.trialView.study === study && this.trialView.id !== null)
        state.trial = this.trialView.id;
      if (this.diffView.study === study) state.diff = true;
      return Object.keys(state).length ? [[study.data.name, state]] : [];
    });
    const state = encodeURIComponent(JSON.stringify(Object.fromEntries(parts)));
    const text = parts.length ? "#" + state : "";
    if (text === location.hash) return;
    this.savedHash = text;
    history.replaceState(null, "", text || location.pathname + location.search);
  }

  /// Applies the state in the address to the studies.
  restoreState() {
    if (location.hash === this.savedHash) return;
    this.savedHash = location.hash;
    let states = {};
    try {
      states = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
    } catch {
      // An address that somebody has cut shows everything.
    }
    for (const section of this.sections) {
      const state = states[section.study.data.name] || {};
      section.study.restore(state);
      if (section.study.rowOf.has(state.trial))
        this.trialView.open(section.study, state.trial, "open " + state.trial);
      if (state.diff === true && section.study.picked.size > 1) this.diffView.open(section.study);
      section.filter.value = section.study.filter;
      this.redraw(section.study, true);
    }
  }

  cards() {
    const together = this.together ? [this.together.curves] : [];
    return this.sections.flatMap((section) => section.cards).concat(together);
  }

  /// Returns the comparison of the studies, from this file or from the server.
  async loadComparison() {
    const embedded = JSON.parse(document.getElementById("comparison").textContent);
    if (embedded || this.details) return embedded;
    const reply = await fetch("comparison", { cache: "no-store" });
    return reply.ok ? reply.json() : null;
  }

  /// Shows the studies of the data. Filters and picks stay as long as the same studies are shown.
  show(page) {
    const names = page.studies.map((data) => data.name);
    const shownNames = this.sections.map((section) => section.study.data.name);
    if (JSON.stringify(names) === JSON.stringify(shownNames)) {
      page.studies.forEach((data, index) => {
        const { study } = this.sections[index];
        study.update(data);
        this.redraw(study, true);
      });
    } else {
      this.sections = [];
      for (const data of page.studies) this.sections.push(new Section(this, new Study(data)));
      this.arrange();
      this.restoreState();
    }
    document.title = names.join(", ") + " – swath";
    this.drawOverlay();
    this.trialView.follow();
  }

  shownSections() {
    return this.sections.filter((_, index) => !this.hidden.has(index));
  }

  /// Returns the number of studies that fit side by side into the window.
  columnCount() {
    const count = Math.max(1, Math.min(this.shownSections().length, 3));
    return window.innerWidth >= 560 * count ? count : 1;
  }

  /// Places the studies side by side, as many as fit into the window.
  arrange() {
    const shown = this.shownSections();
    this.columns = this.columnCount();
    this.overlay = element("section", "card all-columns");
    this.overlay.append(element("h2", "unseen", "All studies"), element("h3", "", "Best so far"));
    this.overlayBox = element("div", "chart");
    this.overlay.append(this.overlayBox);
    this.overlayChart = null;
    if (this.together) this.together.curves.dispose();
    this.together = shown.length > 1 ? new Together(this, shown) : null;
    const parts = this.together ? [this.overlay, this.together.node] : [this.overlay];
    this.main.replaceChildren(...parts, ...shown.map((section) => section.node));
    this.main.style.gridTemplateColumns = `repeat(${this.columns}, minmax(0, 1fr))`;
    const switches =
      this.sections.length < 2 ? [] : this.sections.map((_, index) => this.studySwitch(index));
    this.nav.replaceChildren(...switches);
  }

  /// Returns the checkbox that shows and hides a study.
  studySwitch(index) {
    const label = element("label");
    const checkbox = element("input");
    checkbox.type = "checkbox";
    checkbox.checked = !this.hidden.has(index);
    checkbox.addEventListener("change", () => {
      if (checkbox.checked) this.hidden.delete(index);
      else this.hidden.add(index);
      this.arrange();
      this.redrawAll();
    });
    label.append(checkbox, " ", this.sections[index].study.data.name);
    return label;
  }

  drawOverlay() {
    const studies = this.shownSections().map((section) => section.study);
    const option = bestSoFarOption(studies, palette());
    this.overlay.hidden = option === null;
    if (option === null) return;
    this.overlayChart ||= echarts.init(this.overlayBox);
    this.overlayChart.resize();
    this.overlayChart.setOption(option, { notMerge: true });
  }

  pick(study, id) {
    study.pick(id);
    this.redraw(study, false);
    this.saveState();
  }

  /// Redraws a study. `dataChanged` is false if only the filter or the picks have changed.
  redraw(study, dataChanged) {
    const section = this.sections.find((section) => section.study === study);
    section.describe();
    section.table.refresh();
    for (const card of section.cards) card.refresh(dataChanged);
    // All studies are redrawn one after the other, and then what shows them together.
    clearTimeout(this.togetherTimer);
    if (this.together) this.togetherTimer = setTimeout(() => this.together.refresh(dataChanged), 0);
  }

  /// Fits the charts to the window. The rest of the page is only arranged again if the number of
  /// columns changes, so that scroll positions and the focus stay.
  resize() {
    if (this.columnCount() !== this.columns) this.arrange();
    this.cards().forEach((card) => card.draw());
    this.drawOverlay();
  }

  redrawAll() {
    this.cards().forEach((card) => card.draw());
    this.drawOverlay();
  }
}

const app = new App();
const embeddedData = document.getElementById("data").textContent.trim();
if (embeddedData && embeddedData !== "null") {
  app.show(JSON.parse(embeddedData));
} else {
  const status = document.getElementById("live");
  status.hidden = false;
  status.textContent = "connecting …";
  document.getElementById("empty").textContent = "Loading …";
  followServer(app, status);
}
window.swath = app;
