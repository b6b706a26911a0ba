"use strict";
// Acts on a study under `swath ui --allow-actions`. The server runs the commands of the same names,
// and the page shows their messages.

/// The actions of the page.
class Actions {
  constructor(page) {
    this.page = page;
    this.secret = JSON.parse(document.getElementById("actions").textContent);
  }

  get areAllowed() {
    return this.secret !== null;
  }

  /// Asks the server for an action on a study, and returns the messages of its command.
  async perform(study, action) {
    const index = this.page.sections.findIndex((section) => section.study === study);
    const reply = await fetch("act", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Swath-Secret": this.secret },
      body: JSON.stringify({ study: index, action }),
    });
    if (!reply.ok) return (await reply.text()).trim();
    return (await reply.json()).text.trim();
  }

  /// Returns the buttons that act on the run of a study, with a line for the messages.
  runButtons(study) {
    const box = element("div", "actions");
    const status = statusLine();
    const act = (action) => this.tell(status, study, action);
    const jobs = element("input");
    Object.assign(jobs, { type: "number", min: 1, value: "", placeholder: "jobs" });
    jobs.setAttribute("aria-label", "number of trials to run at a time");
    jobs.addEventListener(
      "change",
      () => jobs.value && act({ jobs: { jobs: Number(jobs.value) } }),
    );
    const trials = element("input");
    Object.assign(trials, { type: "number", min: 1, value: "", placeholder: "trials" });
    trials.setAttribute("aria-label", "total number of trials");
    const raise = confirmButton("raise", "run more trials?", () => {
      if (trials.value) act({ trials: { trials: Number(trials.value) } });
    });
    raise.title = "raise the total number of trials to this one";
    const ofRun = element("span", "of-run");
    ofRun.append(
      confirmButton("drain", "start no more trials?", () => act({ drain: {} })),
      confirmButton("stop", "stop all trials?", () => act({ stop: {} })),
      jobs,
    );
    box.append(ofRun, trials, raise, status);
    return box;
  }

  /// Returns the actions on a trial: stop it, retry it, write notes and tags, or add a configuration
  /// that begins with its values.
  trialPart(study, id, state, params) {
    const box = element("div", "actions");
    const status = statusLine();
    if (state === "running")
      box.append(
        confirmButton("stop", `stop trial ${id}?`, () =>
          this.tell(status, study, { stop_trial: { trial: id } }),
        ),
      );
    if (["failed", "stopped", "invalid"].includes(state))
      box.append(
        confirmButton("retry", `run trial ${id} again?`, () =>
          this.tell(status, study, { retry: { trial: id } }),
        ),
      );
    box.append(...this.remarkForms(study, id, status));
    const form = element("form", "add");
    for (const [name, value] of Object.entries(params)) {
      const label = element("label", "", name);
      const input = element("input");
      input.name = name;
      input.value =
        value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
      label.append(input);
      form.append(label);
    }
    const add = element("button", "", "add this configuration");
    form.append(add);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const inputs = [...form.querySelectorAll("input")].filter(({ value }) => value.trim() !== "");
      const values = Object.fromEntries(inputs.map(({ name, value }) => [name, value]));
      this.tell(status, study, { add: { values } });
    });
    const variation = element("details");
    variation.append(
      element("summary", "", "add a variation"),
      element("p", "note", "An empty value is drawn at random."),
      form,
    );
    box.append(variation, status);
    return box;
  }

  /// Returns the forms for the note and the tags of a trial.
  remarkForms(study, id, status) {
    const { tags, notes } = study.data.trials;
    const row = study.rowOf.get(id);
    const own = (tags && tags[row]) || [];
    const noteForm = textForm("note", (notes && notes[row]) || "", (text) =>
      this.tell(status, study, { note: { trial: id, text } }),
    );
    const tagForm = textForm("tag", "", (tag) =>
      this.tell(status, study, { tag: { trial: id, tag, remove: false } }),
    );
    const removals = own.map((tag) => {
      const button = element("button", "", `${tag} ✕`);
      button.title = `remove the tag ${tag}`;
      button.addEventListener("click", () =>
        this.tell(status, study, { tag: { trial: id, tag, remove: true } }),
      );
      return button;
    });
    return [noteForm, tagForm, ...removals];
  }

  async tell(status, study, action) {
    status.textContent = "…";
    status.textContent = await this.perform(study, action).catch((error) => String(error));
  }
}

/// Returns a form with one text.
function textForm(name, value, send) {
  const form = element("form");
  const input = element("input");
  input.value = value;
  input.placeholder = name;
  input.setAttribute("aria-label", name);
  form.append(input, element("button", "", `save ${name}`));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(input.value);
  });
  return form;
}

function statusLine() {
  const status = element("pre", "status");
  status.setAttribute("role", "status");
  return status;
}

/// Returns a button that acts at the second click, after it has asked.
function confirmButton(label, question, act) {
  const button = element("button", "", label);
  let timer = 0;
  const reset = () => {
    clearTimeout(timer);
    timer = 0;
    button.textContent = label;
    button.classList.remove("asking");
  };
  button.addEventListener("click", () => {
    if (timer) {
      reset();
      act();
      return;
    }
    button.textContent = question;
    button.classList.add("asking");
    timer = setTimeout(reset, 5000);
  });
  return button;
}
