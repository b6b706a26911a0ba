"use strict";
// The colours of charts: by role, by state, and by rank.

/// Returns the colours of the style sheet, by role.
function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue("--" + name).trim();
  const roles = [
    "card",
    "text",
    "muted",
    "line",
    "grid",
    "normal",
    "best",
    "running",
    "failed",
    "stopped",
    "paused",
    "faint",
  ];
  const colours = Object.fromEntries(roles.map((role) => [role, read(role)]));
  colours.heat = [read("heat0"), read("heat1"), read("heat2")];
  colours.picked = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => read("picked" + index));
  colours.state = {
    complete: colours.normal,
    running: colours.running,
    paused: colours.paused,
    waiting: colours.paused,
    stopped: colours.stopped,
    failed: colours.failed,
    invalid: colours.failed,
    lost: colours.faint,
    prepared: colours.stopped,
  };
  return colours;
}

/// Returns the red, green and blue components of a colour `#rrggbb`.
function rgbOf(hex) {
  return [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
}

/// Interpolates the heat scale. A score of 0 is the worst value, 1 the best.
function heatColour(colours, score) {
  const position = Math.max(0, Math.min(1, Number.isFinite(score) ? score : 0.5)) * 2;
  const segment = Math.min(1, Math.floor(position));
  const [low, high] = [rgbOf(colours.heat[segment]), rgbOf(colours.heat[segment + 1])];
  const mixed = low.map((part, index) =>
    Math.round(part + (high[index] - part) * (position - segment)),
  );
  return "rgb(" + mixed.join(",") + ")";
}

/// Returns the share of the values that are worse than each value: 1 for the best. Ranks spread the
/// colours evenly, however far apart the values are.
function scoresOf(rows, values, minimise) {
  const sorted = rows
    .slice()
    .sort((a, b) => (minimise ? values[b] - values[a] : values[a] - values[b]));
  const last = Math.max(1, sorted.length - 1);
  return new Map(sorted.map((row, rank) => [row, rank / last]));
}

/// Returns the legend of the states that a chart has.
function stateLegend(colours, present) {
  const states = [
    "complete",
    "running",
    "paused",
    "waiting",
    "stopped",
    "failed",
    "invalid",
    "lost",
  ];
  return [...states, "prepared"]
    .filter((state) => present.has(state))
    .map((state) => [colours.state[state], state]);
}
