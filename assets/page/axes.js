"use strict";
// What charts have in common: their axes, tools and ranges. A chart is a function in `charts` that
// maps a study to an ECharts option. Names and values are drawn on a canvas or set as
// `textContent`.

/// The charts by kind.
const charts = {};

const SAVE_ICON =
  "path://M4.7,22.9L29.3,45.5L54.7,23.4M4.6,43.6L4.6,58L53.8,58L53.8,43.6M29.2,45.1L29.2,0";

/// Returns whether the page is laid out for paper.
function isPrinting() {
  return document.documentElement.classList.contains("print");
}

/// Returns the option that all charts share, with the entries of `more` in it.
function baseOption(colours, more) {
  return {
    animation: false,
    textStyle: { color: colours.text, fontFamily: "system-ui, sans-serif", fontSize: 12 },
    tooltip: {
      confine: true,
      backgroundColor: colours.card,
      borderColor: colours.line,
      textStyle: { color: colours.text, fontSize: 12 },
    },
    grid: { left: 8, right: 16, top: 30, bottom: 26, containLabel: true },
    toolbox: {
      show: !isPrinting(),
      right: 0,
      top: -4,
      itemSize: 12,
      iconStyle: { borderColor: colours.muted },
      feature: {
        dataZoom: {
          title: { zoom: "zoom into a box", back: "undo the zoom" },
          brushStyle: { color: "rgba(120,140,160,.2)" },
        },
        restore: { title: "reset" },
        mySave: { show: true, title: "save as image", icon: SAVE_ICON, onclick() {} },
      },
    },
    ...more,
  };
}

function styledAxis(colours, more) {
  return {
    axisLine: { lineStyle: { color: colours.line } },
    axisLabel: {
      color: colours.muted,
      fontSize: 11,
      hideOverlap: true,
      formatter: (value) => formatNumber(value, 6),
      ...(more.axisLabel || {}),
    },
    splitLine: { lineStyle: { color: colours.grid } },
    nameTextStyle: { color: colours.muted, fontSize: 11 },
    scale: true,
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "axisLabel")),
  };
}

/// Returns an axis of metric values. It is logarithmic on request if all values are positive.
function valueAxis(colours, study, values, more = {}) {
  const log = study.logScale && values.every((value) => value > 0);
  return styledAxis(colours, { type: log ? "log" : "value", ...more });
}

/// Returns the name of a vertical axis as a title above it: a name at the end of the axis would be
/// cut at the edge of the chart, or stand under its tools.
function axisTitle(colours, text, left = 0, top = 6) {
  const textStyle = { fontSize: 11, fontWeight: "normal", color: colours.muted };
  return { text: truncate(text, 40), left, top, padding: 0, textStyle };
}

/// Returns the name of an objective with the direction in which it improves.
function objectiveName([metric, minimise]) {
  return `${metric} (${minimise ? "lower" : "higher"} is better)`;
}

/// Returns a horizontal axis of steps or trials.
function stepAxis(colours, name, more = {}) {
  return styledAxis(colours, {
    type: "value",
    name: truncate(name, 36),
    nameLocation: "middle",
    nameGap: 24,
    ...more,
    splitLine: { show: false },
  });
}

// The wheel zooms only with Ctrl, so that it still scrolls the page.
const wheelZoom = [
  {
    type: "inside",
    xAxisIndex: 0,
    filterMode: "none",
    zoomOnMouseWheel: "ctrl",
    moveOnMouseWheel: false,
    preventDefaultMouseMove: false,
  },
  {
    type: "inside",
    yAxisIndex: 0,
    filterMode: "none",
    zoomOnMouseWheel: "ctrl",
    moveOnMouseWheel: false,
    preventDefaultMouseMove: false,
  },
];

/// Returns the size of the points of a chart.
function pointSize(study) {
  return study.count > 2000 ? 3 : study.count > 300 ? 5 : 7;
}

/// Returns whether all values are whole numbers, so that an axis needs no ticks between them.
function areWhole(values) {
  return values.every((value) => value === null || Number.isInteger(value));
}

/// Returns the bounds of the axis of a parameter: those of the sweep file.
function boundsOf(axis) {
  const whole = !axis.log && areWhole(axis.values) ? { minInterval: 1 } : {};
  return { ...widened(axis.min, axis.max, axis.log), ...whole };
}

/// Returns the bounds of an axis. A single value gets space on both sides.
function widened(min, max, isLog) {
  if (max > min) return { min, max };
  const margin = Math.abs(min) / 2 || 1;
  return isLog ? { min: min / 2, max: min * 2 } : { min: min - margin, max: min + margin };
}

/// Returns ticks and labels for an axis of choices, which are numbered from 0.
function choiceTicks(labels, limit) {
  const customValues = labels.map((_, index) => index);
  return {
    axisTick: { customValues },
    axisLabel: {
      customValues,
      formatter: (value) => truncate(labels[value] ?? "", limit),
    },
  };
}

/// Returns the offset of a trial in a column of equal values, between −0.5 and 0.5. The fractional
/// parts of multiples of an irrational number are evenly spread, and redrawing keeps them.
function jitter(id, irrational) {
  return ((id * irrational) % 1) - 0.5;
}
