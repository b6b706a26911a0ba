"use strict";
// Runs drawing tasks in slices, so that keys and the mouse are not held up.

/// Number of points that are drawn before the browser may show a frame. The browser paints them
/// after the script, which takes several times as long, so that no clock here would see it.
const SLICE = 3000;
/// Number of points after which a chart asks whether it may go on.
const SLICE_STEP = 250;
/// Milliseconds of other work between two frames.
const FRAME_SHARE = 10;
/// Milliseconds without a key until drawing goes on.
const TYPING_PAUSE = 150;

/// Runs drawing tasks in slices.
class Work {
  constructor() {
    Object.assign(this, { tasks: new Map(), isScheduled: false, quietUntil: 0 });
    // The largest number of points between two frames, for the tests.
    this.mostPoints = 0;
  }

  /// Starts a task in place of an earlier one of the same owner. A task is an iterator: it yields
  /// the number of points that it has drawn since it last did.
  start(owner, slices) {
    this.tasks.delete(owner);
    this.tasks.set(owner, slices);
    this.schedule();
  }

  stop(owner) {
    this.tasks.delete(owner);
  }

  /// Lets the tasks wait while the user types.
  defer() {
    this.quietUntil = performance.now() + TYPING_PAUSE;
  }

  schedule() {
    if (this.isScheduled || !this.tasks.size) return;
    this.isScheduled = true;
    setTimeout(() => this.run(), Math.max(0, this.quietUntil - performance.now()));
  }

  run() {
    this.isScheduled = false;
    // The user may have typed since.
    if (performance.now() < this.quietUntil) return this.schedule();
    const end = performance.now() + FRAME_SHARE;
    let points = 0;
    try {
      while (this.tasks.size && points < SLICE && performance.now() < end) points += this.step();
    } finally {
      this.mostPoints = Math.max(this.mostPoints, points);
      this.schedule();
    }
  }

  /// Runs the next task until it yields, and returns the number of points that it has drawn.
  step() {
    const [[owner, slices]] = this.tasks;
    // A slice that fails ends its task.
    let [isDone, points] = [true, 0];
    try {
      const slice = slices.next();
      isDone = slice.done;
      points = slice.value || 0;
    } finally {
      if (isDone && this.tasks.get(owner) === slices) this.tasks.delete(owner);
    }
    return points;
  }

  /// Finishes all tasks at once, for paper.
  finish() {
    while (this.tasks.size) this.step();
  }
}

const work = new Work();
