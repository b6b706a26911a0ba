"use strict";
// One function for each chart: it maps a study to an ECharts option. Texts from studies are drawn
// on a canvas or set as `textContent`, never parsed as HTML.

/// Maximum number of parameters in the slice, and in the bars of importance.
const MOST_PANELS = 24;
const MOST_BARS = 20;

const CROSS = "path://M2,0L5,3L8,0L10,2L7,5L10,8L8,10L5,7L2,10L0,8L3,5L0,2Z";

/// Returns whether the page is laid out for paper.
function isPrinting() {
  return document.documentElement.classList.contains("print");
}

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

/// Returns the offset of a trial in a column of equal values, between −0.5 and 0.5. The fractional
/// parts of multiples of an irrational number are evenly spread, and redrawing keeps them.
function jitter(id, irrational) {
  return ((id * irrational) % 1) - 0.5;
}

/// Builds a tooltip from nodes instead of HTML, because names and values are untrusted text.
function tooltipNode(title, rows) {
  const box = document.createElement("div");
  box.className = "tooltip";
  const heading = document.createElement("b");
  heading.textContent = title;
  const table = document.createElement("table");
  for (const [name, value] of rows) {
    const line = table.insertRow();
    line.insertCell().textContent = name;
    line.insertCell().textContent = value;
  }
  box.append(heading, table);
  return box;
}

/// Builds the tooltip of a trial: its state, objectives and parameters, at most 24 lines.
function trialTooltip(study, id) {
  const row = study.rowOf.get(id);
  if (row === undefined) return tooltipNode("trial " + id, []);
  const cells = study.columns.slice(1).map((column) => [column.name, column.text(row)]);
  return tooltipNode("trial " + id, cells.filter(([, text]) => text !== "").slice(0, 24));
}

/// Shortens a text to at most `limit` characters.
function truncate(text, limit) {
  const characters = Array.from(String(text));
  return characters.length > limit ? characters.slice(0, limit - 1).join("") + "…" : String(text);
}

/// Returns the option that all charts share, with the entries of `more` in it.
function baseOption(colours, more) {
  return {
    animation: false,
    textStyle: { color: colours.text, fontFamily: "system-ui, sans-serif", fontSize: 12 },
    aria: { enabled: true },
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
        saveAsImage: { title: "save as image", backgroundColor: colours.card },
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
      formatter: (value) => formatNumber(value, 4),
      ...(more.axisLabel || {}),
    },
    splitLine: { lineStyle: { color: colours.grid } },
    nameTextStyle: { color: colours.muted, fontSize: 11 },
    scale: true,
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "axisLabel")),
  };
}

/// Returns an axis of metric values. It is logarithmic on request if all values are positive.
function valueAxis(colours, study, name, values, more = {}) {
  const log = study.logScale && values.every((value) => value > 0);
  return styledAxis(colours, {
    type: log ? "log" : "value",
    name: truncate(name, 36),
    nameLocation: "end",
    nameGap: 8,
    ...more,
    nameTextStyle: { color: colours.muted, fontSize: 11, align: "left", padding: [0, 0, 0, -30] },
  });
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

/// Returns two series for points `[x, y, id]`: trials that the filter hides, and visible trials.
function scatterSeries(study, colours, data, colour, more = {}) {
  const shown = data.filter(([, , id]) => study.isVisible(id));
  const hidden = study.isFiltered ? data.filter(([, , id]) => !study.isVisible(id)) : [];
  const size = study.count > 2000 ? 3 : study.count > 300 ? 5 : 7;
  const large = data.length > 4000;
  return [
    {
      type: "scatter",
      data: hidden,
      symbolSize: size,
      large,
      silent: true,
      itemStyle: { color: colours.faint, opacity: 0.4 },
      z: 1,
    },
    {
      type: "scatter",
      data: shown,
      symbolSize: size,
      large,
      itemStyle: { color: colour, opacity: study.count > 2000 ? 0.6 : 0.85 },
      z: 2,
      ...more,
    },
  ];
}

/// Returns the marks of failed trials, which have no value, along the horizontal axis.
function failedMarks(ids, colours) {
  if (!ids.length) return [];
  return [
    {
      type: "scatter",
      yAxisIndex: 1,
      data: ids.map((id) => [id, 0, id]),
      symbol: CROSS,
      symbolSize: 8,
      symbolOffset: [0, 8],
      clip: false,
      itemStyle: { color: colours.failed },
      z: 3,
    },
  ];
}

/// Returns the bounds of the axis of a parameter: those of the sweep file.
function boundsOf(axis) {
  if (!(axis.max > axis.min)) return {};
  const isWhole = !axis.log && axis.values.every((value) => value === null || Number.isInteger(value));
  return { min: axis.min, max: axis.max, ...(isWhole ? { minInterval: 1 } : {}) };
}

/// Returns the share of the values that are worse than each value: 1 for the best. Ranks spread the
/// colours evenly, however far apart the values are.
function scoresOf(rows, values, minimise) {
  const sorted = rows.slice().sort((a, b) => (minimise ? values[b] - values[a] : values[a] - values[b]));
  const last = Math.max(1, sorted.length - 1);
  return new Map(sorted.map((row, rank) => [row, rank / last]));
}

/// Returns one ring for each picked trial among the points.
function pickedRings(study, colours, data) {
  const pointOf = new Map(data.map((point) => [point[2], point]));
  return [...study.picked]
    .filter(([id]) => pointOf.has(id))
    .map(([id, colour]) => ({
      type: "scatter",
      data: [pointOf.get(id)],
      symbolSize: 12,
      z: 5,
      itemStyle: { color: "transparent", borderColor: colours.picked[colour], borderWidth: 3 },
    }));
}

/// Returns the series of some learning curves. Hidden curves are silent: they ignore the mouse.
function curveSeries(data, opacity, width, z, silent) {
  return {
    type: "lines",
    coordinateSystem: "cartesian2d",
    polyline: true,
    data,
    z,
    silent,
    lineStyle: { opacity, width },
    emphasis: { lineStyle: { opacity: 1, width: 3 } },
  };
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

/// Returns the edges of the cells of a contour along one axis. Choices are centred on their number.
function cellEdges(axis) {
  return axis.labels.length ? axis.edges.map((edge) => edge - 0.5) : axis.edges;
}

/// Returns an axis of a contour.
function contourAxis(axis, edges) {
  return {
    type: axis.log ? "log" : "value",
    min: edges[0],
    max: edges[edges.length - 1],
    scale: !axis.labels.length,
    ...(axis.labels.length ? choiceTicks(axis.labels, 12) : {}),
    splitLine: { show: false },
  };
}

const charts = {
  history(study, colours) {
    const data = study.data.history;
    const better = data.minimise ? "less is better" : "more is better";
    const breaking = new Set(data.breaking);
    const complete = data.complete.map(([id, value]) => [id, value, id]);
    const infeasible = complete.filter(([id]) => breaking.has(id));
    const feasible = complete.filter(([id]) => !breaking.has(id));
    const partial = data.partial.map(([id, value]) => [id, value, id]);
    const values = data.complete.concat(data.partial).map(([, value]) => value);
    if (!values.length) return null;
    const best = data.best.map(([id, value]) => [id, value]);
    if (best.length) best.push([data.last, best[best.length - 1][1]]);
    const option = baseOption(colours, {
      xAxis: stepAxis(colours, "trial", { min: 1, max: Math.max(2, data.last), minInterval: 1 }),
      yAxis: valueAxis(colours, study, `${data.metric} (${better})`, values),
      dataZoom: wheelZoom,
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) => (item.data[2] ? trialTooltip(study, item.data[2]) : ""),
      },
      series: [
        ...scatterSeries(study, colours, partial, colours.stopped),
        ...scatterSeries(study, colours, infeasible, colours.failed),
        ...scatterSeries(study, colours, feasible, colours.normal),
        ...failedMarks(data.failed, colours),
        {
          type: "line",
          step: "end",
          data: best,
          symbol: "none",
          silent: true,
          lineStyle: { color: colours.best, width: 2 },
          z: 4,
        },
        ...pickedRings(study, colours, complete.concat(partial)),
      ],
    });
    // Failed trials have no value. They lie on an axis of their own below the others.
    if (data.failed.length) {
      option.yAxis = [option.yAxis, { show: false, type: "value", min: 0, max: 1 }];
      option.grid.bottom = 44;
      option.xAxis.nameGap = 34;
      option.xAxis.offset = 12;
    }
    return option;
  },

  curves(study, colours) {
    const metrics = study.data.curves;
    if (!metrics.length) return null;
    const data = metrics.find(({ metric }) => metric === study.choices.curves) || metrics[0];
    const best = study.data.best ? study.data.best.trial : null;
    const lines = { hidden: [], shown: [], best: [], picked: [] };
    const ends = [];
    const values = [];
    let [first, last] = [Infinity, -Infinity];
    for (const line of data.lines) {
      const coords = line.points.filter(([, value]) => value !== null);
      for (const [step, value] of coords) {
        values.push(value);
        first = Math.min(first, step);
        last = Math.max(last, step);
      }
      if (!coords.length) continue;
      const colour = study.picked.get(line.trial);
      const item = {
        // A line needs two points; a curve of one report is a line without length.
        coords: coords.length > 1 ? coords : [coords[0], coords[0]],
        id: line.trial,
        lineStyle: { color: colours.state[line.state] },
      };
      if (["stopped", "failed", "invalid"].includes(line.state))
        ends.push([...coords[coords.length - 1], line.trial, line.state]);
      if (colour !== undefined)
        lines.picked.push({ ...item, lineStyle: { color: colours.picked[colour], width: 3 } });
      else if (!study.isVisible(line.trial))
        lines.hidden.push({ ...item, lineStyle: { color: colours.faint } });
      else if (line.trial === best)
        lines.best.push({ ...item, lineStyle: { color: colours.best, width: 2.5 } });
      else lines.shown.push(item);
    }
    // If every trial has reported only once, there are no lines to draw.
    if (!data.lines.some((line) => line.points.length > 1)) return null;
    const many = data.lines.length > 60;
    const sorted = values.slice().sort((a, b) => a - b);
    const [lowest, highest] = [sorted[0], sorted[sorted.length - 1]];
    const log = study.logScale && lowest > 0;
    const margin = log ? 0 : (highest - lowest) * 0.04 || Math.abs(lowest) * 0.1 || 1;
    return baseOption(colours, {
      xAxis: stepAxis(colours, data.step, {
        min: first === last ? first - 1 : first,
        max: first === last ? last + 1 : last,
      }),
      yAxis: valueAxis(colours, study, data.metric, values, {
        min: lowest - margin,
        max: highest + margin,
        axisLabel: { showMinLabel: false, showMaxLabel: false },
      }),
      dataZoom: wheelZoom,
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) => trialTooltip(study, item.data.id || item.data[2]),
      },
      series: [
        curveSeries(lines.hidden, 0.25, 1, 1, true),
        curveSeries(lines.shown, many ? 0.45 : 0.8, many ? 1 : 1.5, 2, false),
        {
          type: "scatter",
          data: ends.filter((end) => study.isVisible(end[2])),
          symbol: CROSS,
          symbolSize: 7,
          z: 3,
          itemStyle: { color: (item) => colours.state[item.data[3]] },
        },
        curveSeries(lines.best, 1, 2.5, 4, false),
        curveSeries(lines.picked, 1, 3, 5, false),
      ],
    });
  },

  parallel(study, colours) {
    const axes = study.data.trials.axes;
    const { rows, values, open } = study.usableRows();
    if (!axes.length || !rows.length) return null;
    const minimise = study.data.objectives[0][1];
    const sorted = rows.map((row) => values[row]).sort((a, b) => a - b);
    const scores = scoresOf(rows, values, minimise);
    // The lines pass over the labels, so the labels have a border in the colour of the card.
    const halo = { textBorderColor: colours.card, textBorderWidth: 3 };
    const label = { color: colours.text, fontSize: 10, ...halo };
    const parallelAxis = axes.map((axis, dim) => ({
      dim,
      name: truncate(axis.name, 16),
      ...(axis.labels.length
        ? { type: "category", data: axis.labels.map((text) => truncate(text, 14)) }
        : { type: axis.log ? "log" : "value", scale: true, ...boundsOf(axis) }),
    }));
    const log = study.logScale && sorted[0] > 0;
    parallelAxis.push({
      dim: axes.length,
      name: truncate(study.data.objectives[0][0], 16),
      type: log ? "log" : "value",
      scale: true,
    });
    const item = (row) => ({
      value: [...axes.map((axis) => axis.values[row] ?? "-"), values[row]],
      id: study.data.trials.id[row],
      lineStyle: {
        color: heatColour(colours, scores.get(row)),
        type: open.has(row) ? "dashed" : "solid",
      },
    });
    const bestId = study.data.best ? study.data.best.trial : null;
    const bestRows = rows.filter((row) => study.data.trials.id[row] === bestId);
    const others = rows.filter((row) => !study.picked.has(study.data.trials.id[row]));
    const picked = rows.filter((row) => study.picked.has(study.data.trials.id[row]));
    // The best trials are drawn last, on top of the others.
    others.sort((a, b) => (minimise ? values[b] - values[a] : values[a] - values[b]));
    const shown = others.filter((row) => study.brush !== null || study.visible[row]);
    study.parallelIds = shown.map((row) => study.data.trials.id[row]);
    const many = others.length > 1000;
    return baseOption(colours, {
      toolbox: { show: false },
      parallel: { left: 30, right: 60, top: 40, bottom: 20, axisExpandable: false },
      parallelAxis: parallelAxis.map((axis) => ({
        ...axis,
        nameTextStyle: { color: colours.text, fontSize: 11, ...halo },
        axisLine: { lineStyle: { color: colours.muted } },
        axisTick: { lineStyle: { color: colours.muted } },
        axisLabel:
          axis.type === "category"
            ? label
            : { ...label, formatter: (value) => formatNumber(value, 3) },
        areaSelectStyle: {
          width: 16,
          borderColor: colours.normal,
          color: colours.normal,
          opacity: 0.25,
        },
      })),
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) => trialTooltip(study, item.data.id),
      },
      series: [
        {
          type: "parallel",
          data: shown.map(item),
          // A page that is printed is not drawn in steps.
          progressive: isPrinting() ? 0 : 500,
          inactiveOpacity: 0.03,
          activeOpacity: many ? 0.4 : 0.8,
          lineStyle: { width: many ? 1 : 1.5, opacity: many ? 0.25 : 0.7 },
          emphasis: { lineStyle: { width: 3, opacity: 1 } },
        },
        ...bestRows
          .filter((row) => !study.picked.has(bestId) && (study.brush !== null || study.visible[row]))
          .map((row) => ({
            type: "parallel",
            data: [{ ...item(row), lineStyle: { color: colours.best, width: 3, opacity: 1 } }],
            z: 4,
            inactiveOpacity: 0.1,
            activeOpacity: 1,
          })),
        ...picked.map((row) => ({
          type: "parallel",
          data: [{ ...item(row), lineStyle: undefined }],
          z: 5,
          inactiveOpacity: 0.8,
          activeOpacity: 1,
          lineStyle: {
            width: 3,
            opacity: 1,
            color: colours.picked[study.picked.get(study.data.trials.id[row])],
          },
        })),
      ],
    });
  },

  slice(study, colours, width) {
    const axes = study.orderedAxes(MOST_PANELS).slice(0, MOST_PANELS);
    const { rows, values, open } = study.usableRows();
    if (!axes.length || !rows.length) return null;
    const openIds = new Set([...open].map((row) => study.data.trials.id[row]));
    const columnCount = Math.max(1, Math.min(axes.length, Math.floor(width / 165), 6));
    const rowCount = Math.ceil(axes.length / columnCount);
    const [panelWidth, panelHeight] = [width / columnCount, 210];
    const option = baseOption(colours, {
      toolbox: { show: false },
      grid: [],
      xAxis: [],
      yAxis: [],
      series: [],
    });
    option.height = rowCount * panelHeight;
    option.tooltip = { ...option.tooltip, formatter: (item) => trialTooltip(study, item.data[2]) };
    const shownValues = rows.map((row) => values[row]);
    axes.forEach((axis, index) => {
      const left = (index % columnCount) * panelWidth;
      const top = Math.floor(index / columnCount) * panelHeight;
      option.grid.push({
        left: left + 44,
        top: top + 10,
        width: panelWidth - 58,
        height: panelHeight - 56,
        containLabel: false,
      });
      const shared = {
        gridIndex: index,
        name: truncate(axis.name, 28),
        nameLocation: "middle",
        nameGap: 24,
        splitLine: { show: false },
        nameTextStyle: { color: colours.text, fontSize: 11 },
      };
      option.xAxis.push(
        styledAxis(
          colours,
          axis.labels.length
            ? {
                ...shared,
                type: "value",
                scale: false,
                min: -0.5,
                max: axis.labels.length - 0.5,
                ...choiceTicks(axis.labels, 10),
              }
            : { ...shared, type: axis.log ? "log" : "value", splitNumber: 4, ...boundsOf(axis) },
        ),
      );
      option.yAxis.push({
        ...valueAxis(colours, study, "", shownValues),
        axisLine: { onZero: false, lineStyle: { color: colours.line } },
        gridIndex: index,
        splitNumber: 4,
      });
      const spread = axis.labels.length ? 0.5 : 0;
      const data = rows
        .filter((row) => axis.values[row] !== null)
        .map((row) => {
          const id = study.data.trials.id[row];
          return [axis.values[row] + jitter(id, 0.618034) * spread, values[row], id];
        });
      const best = study.data.best
        ? data.filter((point) => point[2] === study.data.best.trial)
        : [];
      const hollow = { color: "transparent", borderColor: colours.normal, borderWidth: 1.5 };
      const series = [
        ...scatterSeries(
          study,
          colours,
          data.filter((point) => !openIds.has(point[2])),
          colours.normal,
        ),
        ...scatterSeries(
          study,
          colours,
          data.filter((point) => openIds.has(point[2])),
          colours.normal,
          { itemStyle: hollow },
        ),
        { type: "scatter", data: best, symbolSize: 9, itemStyle: { color: colours.best }, z: 4 },
        ...pickedRings(study, colours, data),
      ];
      option.series.push(
        ...series.map((layer) => ({ ...layer, xAxisIndex: index, yAxisIndex: index })),
      );
    });
    return option;
  },

  importance(study, colours) {
    const data = study.data.importance;
    if (!data) return null;
    const rows = data.rows.slice(0, MOST_BARS).reverse();
    const names = rows.map((row) => truncate(row.name, 20));
    const categories = { type: "category", data: names, axisTick: { show: false } };
    const option = baseOption(colours, {
      toolbox: { show: false },
      grid: [
        { left: 8, width: "52%", top: 24, bottom: 20, containLabel: true },
        { left: "66%", right: 16, top: 24, bottom: 20, containLabel: true },
      ],
      xAxis: [
        styledAxis(colours, {
          type: "value",
          gridIndex: 0,
          scale: false,
          axisLabel: { formatter: (value) => Math.round(value * 100) + " %" },
        }),
        styledAxis(colours, {
          type: "value",
          gridIndex: 1,
          min: -1,
          max: 1,
          scale: false,
          interval: 1,
        }),
      ],
      yAxis: [
        styledAxis(colours, {
          ...categories,
          gridIndex: 0,
          axisLabel: { formatter: (value) => value },
        }),
        styledAxis(colours, { ...categories, gridIndex: 1, axisLabel: { show: false } }),
      ],
      title: [
        {
          text: "share of the variance (fANOVA)",
          left: 0,
          top: 0,
          textStyle: { fontSize: 11, fontWeight: "normal", color: colours.muted },
        },
        {
          text: "rank correlation",
          left: "66%",
          top: 0,
          textStyle: { fontSize: 11, fontWeight: "normal", color: colours.muted },
        },
      ],
      series: [
        {
          type: "bar",
          data: rows.map((row) => row.share),
          itemStyle: { color: colours.normal },
          barMaxWidth: 18,
        },
        {
          type: "bar",
          xAxisIndex: 1,
          yAxisIndex: 1,
          data: rows.map((row) => row.correlation),
          itemStyle: { color: colours.paused },
          barMaxWidth: 10,
        },
      ],
    });
    option.tooltip.formatter = (item) => {
      const row = rows[item.dataIndex];
      const statistic = row.choice ? "correlation ratio of ranks" : "Spearman's correlation";
      return tooltipNode(row.name, [
        ["share", (row.share * 100).toFixed(1) + " %"],
        ["standard deviation among trees", (row.spread * 100).toFixed(1) + " %"],
        [statistic, formatNumber(row.correlation, 3)],
        ["trials with this parameter", row.trials],
      ]);
    };
    option.height = Math.max(180, rows.length * 24 + 60);
    return option;
  },

  contour(study, colours) {
    const contours = study.data.contours;
    if (!contours.length) return null;
    const selected = contours.find((contour) => pairName(contour) === study.choices.contour);
    const data = selected || contours[0];
    const values = data.cells.filter((value) => value !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const minimise = study.data.history.minimise;
    const scoreOf = (value) => {
      const position = high > low ? (value - low) / (high - low) : 0.5;
      return minimise ? 1 - position : position;
    };
    const width = data.x.edges.length - 1;
    const cells = data.cells
      .map((value, index) => [index % width, Math.floor(index / width), value])
      .filter(([, , value]) => value !== null);
    const [xEdges, yEdges] = [cellEdges(data.x), cellEdges(data.y)];
    const [xSpread, ySpread] = [data.x, data.y].map((axis) => (axis.labels.length ? 0.6 : 0));
    const trials = data.points.map(([id, x, y]) => [
      x + jitter(id, 0.618034) * xSpread,
      y + jitter(id, 0.754878) * ySpread,
      id,
    ]);
    return baseOption(colours, {
      xAxis: styledAxis(colours, {
        ...contourAxis(data.x, xEdges),
        name: truncate(data.x.name, 36),
        nameLocation: "middle",
        nameGap: 24,
      }),
      yAxis: styledAxis(colours, {
        ...contourAxis(data.y, yEdges),
        name: truncate(data.y.name, 36),
        nameTextStyle: { color: colours.muted, align: "left", padding: [0, 0, 0, -30] },
      }),
      dataZoom: wheelZoom,
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) =>
          item.seriesType === "custom"
            ? tooltipNode("predicted " + study.data.history.metric, [
                ["", formatNumber(item.data[2])],
              ])
            : trialTooltip(study, item.data[2]),
      },
      series: [
        {
          type: "custom",
          data: cells,
          clip: true,
          encode: { x: -1, y: -1 },
          renderItem(params, api) {
            const [x, y] = [api.value(0), api.value(1)];
            const [left, bottom] = api.coord([xEdges[x], yEdges[y]]);
            const [right, top] = api.coord([xEdges[x + 1], yEdges[y + 1]]);
            // The cells overlap slightly, so that no seams show between them.
            return {
              type: "rect",
              shape: { x: left, y: top, width: right - left + 0.6, height: bottom - top + 0.6 },
              style: { fill: heatColour(colours, scoreOf(api.value(2))) },
            };
          },
        },
        {
          type: "scatter",
          data: trials.filter((point) => study.isVisible(point[2])),
          symbolSize: trials.length > 500 ? 3 : 5,
          itemStyle: { color: colours.card, borderColor: colours.text, borderWidth: 0.8 },
          z: 3,
        },
        ...pickedRings(study, colours, trials),
      ],
    });
  },

  pareto(study, colours) {
    const data = study.data.pareto;
    if (!data || !data.trials.length) return null;
    const [a, b] = (study.choices.pareto || "0,1").split(",").map(Number);
    const front = new Set(data.front);
    const point = ([id, values]) => [values[a], values[b], id];
    const nonDominated = data.trials
      .filter(([id]) => front.has(id))
      .map(point)
      .sort((left, right) => left[0] - right[0]);
    const dominated = data.trials.filter(([id]) => !front.has(id)).map(point);
    const axisName = (index) => {
      const [metric, minimise] = data.objectives[index];
      return `${metric} (${minimise ? "less" : "more"} is better)`;
    };
    return baseOption(colours, {
      xAxis: stepAxis(colours, axisName(a)),
      yAxis: valueAxis(
        colours,
        study,
        axisName(b),
        data.trials.map(([, values]) => values[b]),
      ),
      dataZoom: wheelZoom,
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) => trialTooltip(study, item.data[2]),
      },
      series: [
        ...scatterSeries(study, colours, dominated, colours.normal),
        ...scatterSeries(study, colours, nonDominated, colours.best),
        ...pickedRings(study, colours, dominated.concat(nonDominated)),
      ],
    });
  },

  rungs(study, colours) {
    const data = study.data.rungs;
    // Without a scheduler the bars would only say how long trials are.
    if (!data.rungs.length || !study.hasPartialTrials()) return null;
    const outcomes = [
      ["went_on", "went on", colours.running],
      ["complete", "complete", colours.best],
      ["running", "running", colours.normal],
      ["paused", "paused", colours.paused],
      ["stopped", "stopped", colours.stopped],
      ["failed", "failed", colours.failed],
    ];
    const rungs = data.rungs.slice().reverse();
    const present = outcomes.filter(([key]) => rungs.some((rung) => rung[key] > 0));
    const option = baseOption(colours, {
      toolbox: { show: false },
      legend: {
        top: 0,
        left: 0,
        textStyle: { color: colours.muted, fontSize: 11 },
        itemWidth: 10,
        itemHeight: 10,
      },
      xAxis: styledAxis(colours, { type: "value", scale: false, minInterval: 1 }),
      yAxis: styledAxis(colours, {
        type: "category",
        data: rungs.map((rung) => `${truncate(data.step, 12)} ${formatNumber(rung.step)}`),
        axisLabel: { formatter: (value) => value },
      }),
      series: present.map(([key, name, colour]) => ({
        type: "bar",
        stack: "rung",
        name,
        data: rungs.map((rung) => rung[key]),
        itemStyle: { color: colour },
        barMaxWidth: 20,
      })),
    });
    option.tooltip.formatter = (item) => {
      const rung = rungs[item.dataIndex];
      return tooltipNode(
        `${data.step} ${formatNumber(rung.step)}: ${rung.reached} trials`,
        present.map(([key, name]) => [name, rung[key]]),
      );
    };
    option.height = Math.max(160, rungs.length * 26 + 80);
    return option;
  },

  failures(study, colours) {
    const causes = study.data.failures.causes.slice().reverse();
    if (!causes.length) return null;
    const option = baseOption(colours, {
      toolbox: { show: false },
      xAxis: styledAxis(colours, { type: "value", scale: false, minInterval: 1 }),
      yAxis: styledAxis(colours, {
        type: "category",
        data: causes.map((cause) => truncate(cause.cause, 30)),
        axisLabel: { formatter: (value) => value },
      }),
      series: [
        {
          type: "bar",
          data: causes.map((cause) => cause.attempts),
          itemStyle: { color: colours.failed },
          barMaxWidth: 20,
          label: { show: true, position: "right", color: colours.text },
        },
      ],
    });
    option.tooltip.formatter = (item) =>
      tooltipNode(causes[item.dataIndex].cause, [
        ["attempts", causes[item.dataIndex].attempts],
        ["trials", causes[item.dataIndex].trials.slice(0, 20).join(", ")],
      ]);
    option.height = Math.max(120, causes.length * 28 + 60);
    return option;
  },

  timeline(study, colours) {
    const data = study.data.timeline;
    if (!data.bars.length) return null;
    const length = data.bars.reduce((latest, bar) => Math.max(latest, bar.to), 0);
    const [unit, unitName] =
      length < 180 ? [1, "seconds"] : length < 10800 ? [60, "minutes"] : [3600, "hours"];
    const states = ["complete", "running", "paused", "stopped", "failed", "lost", "prepared"];
    return baseOption(colours, {
      xAxis: stepAxis(colours, unitName + " since the first trial", {
        min: 0,
        max: length / unit || 1,
        scale: false,
      }),
      yAxis: styledAxis(colours, {
        type: "category",
        name: "slot",
        inverse: true,
        data: Array.from({ length: data.slots }, (_, slot) => String(slot)),
        nameLocation: "start",
        axisLabel: { formatter: (value) => value },
      }),
      dataZoom: [wheelZoom[0]],
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) => {
          const bar = data.bars[item.dataIndex];
          const what = bar.preparation ? `preparation ${bar.preparation}` : `trial ${bar.trial}`;
          return tooltipNode(`${what}: ${bar.state}`, [
            ["from", formatNumber(bar.from / unit, 4)],
            ["to", formatNumber(bar.to / unit, 4)],
            ["duration", formatNumber(bar.to - bar.from, 4) + " s"],
          ]);
        },
      },
      series: [
        {
          type: "custom",
          clip: true,
          encode: { x: [1, 2], y: 0 },
          progressive: 2000,
          data: data.bars.map((bar) => [
            bar.slot,
            bar.from / unit,
            bar.to / unit,
            states.indexOf(bar.state),
            bar.trial,
          ]),
          renderItem(params, api) {
            const [left, middle] = api.coord([api.value(1), api.value(0)]);
            const [right] = api.coord([api.value(2), api.value(0)]);
            const height = Math.max(2, api.size([0, 1])[1] * 0.8);
            const id = api.value(4);
            const colour = study.picked.has(id)
              ? colours.picked[study.picked.get(id)]
              : colours.state[states[api.value(3)]];
            return {
              type: "rect",
              shape: {
                x: left,
                y: middle - height / 2,
                width: Math.max(1, right - left - 0.5),
                height,
              },
              style: { fill: id === 0 || study.isVisible(id) ? colour : colours.faint },
            };
          },
        },
      ],
      height: Math.max(160, data.slots * 30 + 90),
    });
  },
};

/// Returns the chart of the best objective so far of several studies, `null` unless they share it.
function bestSoFarOption(studies, colours) {
  const metrics = new Set(studies.map((study) => study.data.history.metric));
  if (studies.length < 2 || metrics.size !== 1) return null;
  const series = studies.map((study, index) => {
    const { best, last } = study.data.history;
    const data = best.concat(best.length ? [[last, best[best.length - 1][1]]] : []);
    return {
      type: "line",
      step: "end",
      symbol: "none",
      name: truncate(study.data.name, 30),
      data,
      lineStyle: { width: 2, color: colours.picked[index % 8] },
      itemStyle: { color: colours.picked[index % 8] },
    };
  });
  return baseOption(colours, {
    legend: { top: 0, left: 0, right: 60, type: "scroll", textStyle: { color: colours.text } },
    xAxis: stepAxis(colours, "trial"),
    yAxis: styledAxis(colours, { type: "value", name: truncate([...metrics][0], 30) }),
    grid: { left: 8, right: 16, top: 50, bottom: 26, containLabel: true },
    dataZoom: wheelZoom,
    series,
  });
}

/// Returns the name of a pair of parameters.
function pairName(contour) {
  return contour.x.name + " × " + contour.y.name;
}
