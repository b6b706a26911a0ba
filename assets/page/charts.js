"use strict";
// One function a chart: from a study to an ECharts option. Texts of studies reach the page only as canvas text or `textContent`.

const CROSS = "path://M2,0L5,3L8,0L10,2L7,5L10,8L8,10L5,7L2,10L0,8L3,5L0,2Z";

/// The colours of the style sheet.
function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue("--" + name).trim();
  const names = [
    "card",
    "ink",
    "dim",
    "line",
    "grid",
    "usual",
    "best",
    "live",
    "bad",
    "stopped",
    "paused",
    "faint",
  ];
  const found = Object.fromEntries(names.map((name) => [name, read(name)]));
  found.heat = [read("heat0"), read("heat1"), read("heat2")];
  found.pick = [0, 1, 2, 3, 4, 5, 6, 7].map((at) => read("pick" + at));
  found.state = {
    complete: found.usual,
    running: found.live,
    paused: found.paused,
    waiting: found.paused,
    stopped: found.stopped,
    failed: found.bad,
    lost: found.faint,
  };
  return found;
}

/// A colour between those of the heat scale; 1 is better.
function heat(colours, place) {
  const at = Math.max(0, Math.min(1, Number.isFinite(place) ? place : 0.5)) * 2;
  const low = Math.min(1, Math.floor(at));
  const mix = (from, to) => Math.round(from + (to - from) * (at - low));
  const rgb = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  const [from, to] = [rgb(colours.heat[low]), rgb(colours.heat[low + 1])];
  return "rgb(" + [0, 1, 2].map((at) => mix(from[at], to[at])).join(",") + ")";
}

/// A tooltip made of nodes, never of HTML.
function tip(title, rows) {
  const box = document.createElement("div");
  box.className = "tip";
  const head = document.createElement("b");
  head.textContent = title;
  const table = document.createElement("table");
  for (const [name, value] of rows) {
    const line = table.insertRow();
    line.insertCell().textContent = name;
    line.insertCell().textContent = value;
  }
  box.append(head, table);
  return box;
}

/// The tooltip of a trial: its objectives and parameters.
function trialTip(study, id) {
  const row = study.row.get(id);
  if (row === undefined) return tip("trial " + id, []);
  const cells = study.columns.slice(1).map((column) => [column.name, column.text(row)]);
  return tip("trial " + id, cells.filter(([, text]) => text !== "").slice(0, 24));
}

function cut(text, most) {
  const chars = Array.from(String(text));
  return chars.length > most ? chars.slice(0, most - 1).join("") + "…" : String(text);
}

/// What all charts share.
function base(colours, more) {
  return {
    animation: false,
    textStyle: { color: colours.ink, fontFamily: "system-ui, sans-serif", fontSize: 12 },
    aria: { enabled: true },
    tooltip: {
      confine: true,
      backgroundColor: colours.card,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 12 },
    },
    grid: { left: 8, right: 16, top: 30, bottom: 26, containLabel: true },
    toolbox: {
      right: 0,
      top: -4,
      itemSize: 12,
      iconStyle: { borderColor: colours.dim },
      feature: {
        dataZoom: {
          title: { zoom: "zoom into a box", back: "zoom back" },
          brushStyle: { color: "rgba(120,140,160,.2)" },
        },
        restore: { title: "whole chart" },
        saveAsImage: { title: "save as picture", backgroundColor: colours.card },
      },
    },
    ...more,
  };
}

function axisOf(colours, more) {
  return {
    axisLine: { lineStyle: { color: colours.line } },
    axisLabel: {
      color: colours.dim,
      fontSize: 11,
      hideOverlap: true,
      formatter: (value) => short(value, 4),
      ...(more.axisLabel || {}),
    },
    splitLine: { lineStyle: { color: colours.grid } },
    nameTextStyle: { color: colours.dim, fontSize: 11 },
    scale: true,
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "axisLabel")),
  };
}

function valueAxis(colours, study, name, values, more = {}) {
  const log = study.log && values.every((value) => value > 0);
  return axisOf(colours, {
    type: log ? "log" : "value",
    name: cut(name, 36),
    nameLocation: "end",
    nameGap: 8,
    ...more,
    nameTextStyle: { color: colours.dim, fontSize: 11, align: "left", padding: [0, 0, 0, -30] },
  });
}

function stepAxis(colours, name, more = {}) {
  return axisOf(colours, {
    type: "value",
    name: cut(name, 36),
    nameLocation: "middle",
    nameGap: 24,
    ...more,
    splitLine: { show: false },
  });
}

const inside = [
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

/// Splits points [x, y, id] into those that are shown and those that are not, each a series.
function points(study, colours, data, colour, more = {}) {
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

/// The picked trials as rings over a scatter.
function rings(study, colours, data) {
  const place = new Map(data.map((point) => [point[2], point]));
  return [...study.picked]
    .filter(([id]) => place.has(id))
    .map(([id, colour]) => ({
      type: "scatter",
      data: [place.get(id)],
      symbolSize: 12,
      z: 5,
      itemStyle: { color: "transparent", borderColor: colours.pick[colour], borderWidth: 3 },
    }));
}

const charts = {
  history(study, colours) {
    const data = study.data.history;
    const better = data.minimise ? "less is better" : "more is better";
    const breaking = new Set(data.breaking);
    const complete = data.complete.map(([id, value]) => [id, value, id]);
    const [broken, kept] = [
      complete.filter(([id]) => breaking.has(id)),
      complete.filter(([id]) => !breaking.has(id)),
    ];
    const partial = data.partial.map(([id, value]) => [id, value, id]);
    const values = data.complete.concat(data.partial).map(([, value]) => value);
    if (!values.length) return null;
    const best = data.best.map(([id, value]) => [id, value]);
    if (best.length) best.push([data.last, best[best.length - 1][1]]);
    const low = values.reduce((low, value) => Math.min(low, value), Infinity);
    return base(colours, {
      xAxis: stepAxis(colours, "trial", { min: 1, max: Math.max(2, data.last), minInterval: 1 }),
      yAxis: valueAxis(colours, study, `${data.metric} (${better})`, values),
      dataZoom: inside,
      tooltip: {
        ...base(colours).tooltip,
        formatter: (item) => (item.data[2] ? trialTip(study, item.data[2]) : ""),
      },
      series: [
        ...points(study, colours, partial, colours.stopped),
        ...points(study, colours, broken, colours.bad),
        ...points(study, colours, kept, colours.usual),
        {
          type: "scatter",
          data: data.failed.map((id) => [id, low, id]),
          symbol: CROSS,
          symbolSize: 8,
          itemStyle: { color: colours.bad },
          z: 3,
        },
        {
          type: "line",
          step: "end",
          data: best,
          symbol: "none",
          silent: true,
          lineStyle: { color: colours.best, width: 2 },
          z: 4,
        },
        ...rings(study, colours, complete.concat(partial)),
      ],
    });
  },

  curves(study, colours) {
    const several = study.data.curves;
    if (!several.length) return null;
    const data = several.find((one) => one.metric === study.choices.curves) || several[0];
    const best = study.data.best ? study.data.best.trial : null;
    const lines = { hidden: [], shown: [], best: [], picked: [] };
    const ends = [];
    const all = [];
    let [first, last] = [Infinity, -Infinity];
    for (const line of data.lines) {
      const coords = line.points.filter(([, value]) => value !== null);
      for (const [step, value] of coords) {
        all.push(value);
        first = Math.min(first, step);
        last = Math.max(last, step);
      }
      if (!coords.length) continue;
      const colour = study.picked.get(line.trial);
      const drawn = coords.length > 1 ? coords : [coords[0], coords[0]];
      const item = {
        coords: drawn,
        id: line.trial,
        lineStyle: { color: colours.state[line.state] },
      };
      if (line.state === "stopped" || line.state === "failed")
        ends.push([...coords[coords.length - 1], line.trial, line.state]);
      if (colour !== undefined)
        lines.picked.push({ ...item, lineStyle: { color: colours.pick[colour], width: 3 } });
      else if (!study.isVisible(line.trial))
        lines.hidden.push({ ...item, lineStyle: { color: colours.faint } });
      else if (line.trial === best)
        lines.best.push({ ...item, lineStyle: { color: colours.best, width: 2.5 } });
      else lines.shown.push(item);
    }
    // Where every trial has reported once there is nothing to draw a line between.
    if (!data.lines.some((line) => line.points.length > 1)) return null;
    const many = data.lines.length > 60;
    const sorted = all.slice().sort((a, b) => a - b);
    const log = study.log && sorted[0] > 0;
    const room = (sorted[sorted.length - 1] - sorted[0]) * 0.04 || Math.abs(sorted[0]) * 0.1 || 1;
    const ends_y = log
      ? [sorted[0], sorted[sorted.length - 1]]
      : [sorted[0] - room, sorted[sorted.length - 1] + room];
    const set = (data, opacity, width, z, silent) => ({
      type: "lines",
      coordinateSystem: "cartesian2d",
      polyline: true,
      data,
      z,
      silent,
      lineStyle: { opacity, width },
      emphasis: { lineStyle: { opacity: 1, width: 3 } },
    });
    return base(colours, {
      xAxis: stepAxis(colours, data.step, {
        min: first === last ? first - 1 : first,
        max: first === last ? last + 1 : last,
      }),
      yAxis: valueAxis(colours, study, data.metric, all, {
        min: ends_y[0],
        max: ends_y[1],
        axisLabel: { showMinLabel: false, showMaxLabel: false },
      }),
      dataZoom: inside,
      tooltip: {
        ...base(colours).tooltip,
        formatter: (item) => trialTip(study, item.data.id || item.data[2]),
      },
      series: [
        set(lines.hidden, 0.25, 1, 1, true),
        set(lines.shown, many ? 0.45 : 0.8, many ? 1 : 1.5, 2, false),
        {
          type: "scatter",
          data: ends.filter((end) => study.isVisible(end[2])),
          symbol: CROSS,
          symbolSize: 7,
          z: 3,
          itemStyle: { color: (item) => colours.state[item.data[3]] },
        },
        set(lines.best, 1, 2.5, 4, false),
        set(lines.picked, 1, 3, 5, false),
      ],
    });
  },

  parallel(study, colours) {
    const axes = study.data.trials.axes;
    const rows = study.complete();
    if (!axes.length || !rows.length) return null;
    const values = study.data.trials.objectives[0];
    const minimise = study.data.objectives[0][1];
    const order = rows.map((row) => values[row]).sort((a, b) => a - b);
    const quantile = (part) => order[Math.round((order.length - 1) * part)];
    const range = minimise ? [quantile(0), quantile(0.9)] : [quantile(0.1), quantile(1)];
    const better = minimise ? colours.heat.slice().reverse() : colours.heat;
    const label = { color: colours.dim, fontSize: 10 };
    const parallelAxis = axes.map((axis, dim) => ({
      dim,
      name: cut(axis.name, 16),
      ...(axis.labels.length
        ? { type: "category", data: axis.labels.map((text) => cut(text, 14)) }
        : { type: axis.log ? "log" : "value", scale: true }),
    }));
    const log = study.log && order[0] > 0;
    parallelAxis.push({
      dim: axes.length,
      name: cut(study.data.objectives[0][0], 16),
      type: log ? "log" : "value",
      scale: true,
    });
    const item = (row) => ({
      value: [...axes.map((axis) => axis.values[row] ?? "-"), values[row]],
      id: study.data.trials.id[row],
    });
    const others = rows.filter((row) => !study.picked.has(study.data.trials.id[row]));
    const picked = rows.filter((row) => study.picked.has(study.data.trials.id[row]));
    // The best is drawn last, over the others.
    others.sort((a, b) => (minimise ? values[b] - values[a] : values[a] - values[b]));
    const shown = others.filter((row) => study.brush !== null || study.visible[row]);
    study.parallelIds = shown.map((row) => study.data.trials.id[row]);
    const many = others.length > 1000;
    return base(colours, {
      toolbox: { show: false },
      parallel: { left: 30, right: 60, top: 40, bottom: 20, axisExpandable: false },
      parallelAxis: parallelAxis.map((axis) => ({
        ...axis,
        nameTextStyle: { color: colours.ink, fontSize: 11 },
        axisLine: { lineStyle: { color: colours.dim } },
        axisTick: { lineStyle: { color: colours.dim } },
        axisLabel:
          axis.type === "category" ? label : { ...label, formatter: (value) => short(value, 3) },
        areaSelectStyle: {
          width: 16,
          borderColor: colours.usual,
          color: colours.usual,
          opacity: 0.25,
        },
      })),
      visualMap: {
        show: false,
        type: "continuous",
        seriesIndex: 0,
        dimension: axes.length,
        min: range[0],
        max: range[1] > range[0] ? range[1] : range[0] + 1,
        inRange: { color: better },
      },
      tooltip: { ...base(colours).tooltip, formatter: (hit) => trialTip(study, hit.data.id) },
      series: [
        {
          type: "parallel",
          data: shown.map(item),
          progressive: 500,
          inactiveOpacity: 0.03,
          activeOpacity: many ? 0.4 : 0.8,
          lineStyle: { width: many ? 1 : 1.5, opacity: many ? 0.25 : 0.7 },
          emphasis: { lineStyle: { width: 3, opacity: 1 } },
        },
        ...picked.map((row) => ({
          type: "parallel",
          data: [item(row)],
          z: 5,
          inactiveOpacity: 0.8,
          activeOpacity: 1,
          lineStyle: {
            width: 3,
            opacity: 1,
            color: colours.pick[study.picked.get(study.data.trials.id[row])],
          },
        })),
      ],
    });
  },

  slice(study, colours, width) {
    const axes = study.data.trials.axes.slice(0, 24);
    const rows = study.complete();
    if (!axes.length || !rows.length) return null;
    const values = study.data.trials.objectives[0];
    const across = Math.max(1, Math.min(axes.length, Math.floor(width / 165), 6));
    const lines = Math.ceil(axes.length / across);
    const [wide, high] = [width / across, 210];
    const option = base(colours, {
      toolbox: { show: false },
      grid: [],
      xAxis: [],
      yAxis: [],
      series: [],
    });
    option.height = lines * high;
    option.tooltip = { ...option.tooltip, formatter: (item) => trialTip(study, item.data[2]) };
    const shownValues = rows.map((row) => values[row]);
    axes.forEach((axis, at) => {
      const [left, top] = [(at % across) * wide, Math.floor(at / across) * high];
      option.grid.push({
        left: left + 44,
        top: top + 10,
        width: wide - 58,
        height: high - 56,
        containLabel: false,
      });
      const name = {
        gridIndex: at,
        name: cut(axis.name, 28),
        nameLocation: "middle",
        nameGap: 24,
        splitLine: { show: false },
        nameTextStyle: { color: colours.ink, fontSize: 11 },
      };
      option.xAxis.push(
        axisOf(
          colours,
          axis.labels.length
            ? {
                ...name,
                type: "value",
                scale: false,
                min: -0.5,
                max: axis.labels.length - 0.5,
                axisTick: { customValues: axis.labels.map((_, at) => at) },
                axisLabel: {
                  customValues: axis.labels.map((_, at) => at),
                  formatter: (value) => cut(axis.labels[value] ?? "", 10),
                },
              }
            : { ...name, type: axis.log ? "log" : "value", splitNumber: 4 },
        ),
      );
      option.yAxis.push({
        ...valueAxis(colours, study, "", shownValues),
        gridIndex: at,
        splitNumber: 4,
      });
      const spread = axis.labels.length
        ? (row) => (((study.data.trials.id[row] * 0.618034) % 1) - 0.5) * 0.5
        : () => 0;
      const data = rows
        .filter((row) => axis.values[row] !== null)
        .map((row) => [axis.values[row] + spread(row), values[row], study.data.trials.id[row]]);
      const best = study.data.best
        ? data.filter((point) => point[2] === study.data.best.trial)
        : [];
      const series = [
        ...points(study, colours, data, colours.usual),
        { type: "scatter", data: best, symbolSize: 9, itemStyle: { color: colours.best }, z: 4 },
        ...rings(study, colours, data),
      ];
      option.series.push(...series.map((one) => ({ ...one, xAxisIndex: at, yAxisIndex: at })));
    });
    return option;
  },

  importance(study, colours) {
    const data = study.data.importance;
    if (!data) return null;
    const rows = data.rows.slice(0, 20).reverse();
    const names = rows.map((row) => cut(row.name, 20));
    const bar = { type: "category", data: names, axisTick: { show: false } };
    const option = base(colours, {
      toolbox: { show: false },
      grid: [
        { left: 8, width: "52%", top: 24, bottom: 20, containLabel: true },
        { left: "66%", right: 16, top: 24, bottom: 20, containLabel: true },
      ],
      xAxis: [
        axisOf(colours, {
          type: "value",
          gridIndex: 0,
          scale: false,
          axisLabel: { formatter: (value) => Math.round(value * 100) + " %" },
        }),
        axisOf(colours, {
          type: "value",
          gridIndex: 1,
          min: -1,
          max: 1,
          scale: false,
          interval: 1,
        }),
      ],
      yAxis: [
        axisOf(colours, { ...bar, gridIndex: 0, axisLabel: { formatter: (value) => value } }),
        axisOf(colours, { ...bar, gridIndex: 1, axisLabel: { show: false } }),
      ],
      title: [
        {
          text: "share of the variance (fANOVA)",
          left: 0,
          top: 0,
          textStyle: { fontSize: 11, fontWeight: "normal", color: colours.dim },
        },
        {
          text: "rank correlation",
          left: "66%",
          top: 0,
          textStyle: { fontSize: 11, fontWeight: "normal", color: colours.dim },
        },
      ],
      series: [
        {
          type: "bar",
          data: rows.map((row) => row.share),
          itemStyle: { color: colours.usual },
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
      const kind = row.choice ? "correlation ratio of ranks" : "Spearman's correlation";
      return tip(row.name, [
        ["share", (row.share * 100).toFixed(1) + " %"],
        ["differs among trees by", (row.spread * 100).toFixed(1) + " %"],
        [kind, short(row.correlation, 3)],
        ["trials that have it", row.trials],
      ]);
    };
    option.height = Math.max(180, rows.length * 24 + 60);
    return option;
  },

  contour(study, colours) {
    const several = study.data.contours;
    if (!several.length) return null;
    const data = several.find((one) => pair(one) === study.choices.contour) || several[0];
    const values = data.cells.filter((value) => value !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const minimise = study.data.history.minimise;
    const place = (value) => {
      const at = high > low ? (value - low) / (high - low) : 0.5;
      return minimise ? 1 - at : at;
    };
    const width = data.x.edges.length - 1;
    const cells = data.cells
      .map((value, at) => [at % width, Math.floor(at / width), value])
      .filter(([, , value]) => value !== null);
    const edges = (side) =>
      side.labels.length ? side.edges.map((edge) => edge - 0.5) : side.edges;
    const [xs, ys] = [edges(data.x), edges(data.y)];
    const axis = (side, edges) => ({
      type: side.log ? "log" : "value",
      min: edges[0],
      max: edges[edges.length - 1],
      scale: !side.labels.length,
      ...(side.labels.length
        ? {
            axisTick: { customValues: side.labels.map((_, at) => at) },
            axisLabel: {
              customValues: side.labels.map((_, at) => at),
              formatter: (value) => cut(side.labels[value] ?? "", 12),
            },
          }
        : {}),
      splitLine: { show: false },
    });
    const spread = (side, id, by) => (side.labels.length ? (((id * by) % 1) - 0.5) * 0.6 : 0);
    const trials = data.points.map(([id, x, y]) => [
      x + spread(data.x, id, 0.618034),
      y + spread(data.y, id, 0.754878),
      id,
    ]);
    const row = (item) => ({
      type: "rect",
      shape: item,
      style: { fill: item.fill },
      silent: false,
    });
    return base(colours, {
      xAxis: axisOf(colours, {
        ...axis(data.x, xs),
        name: cut(data.x.name, 36),
        nameLocation: "middle",
        nameGap: 24,
      }),
      yAxis: axisOf(colours, {
        ...axis(data.y, ys),
        name: cut(data.y.name, 36),
        nameTextStyle: { color: colours.dim, align: "left", padding: [0, 0, 0, -30] },
      }),
      dataZoom: inside,
      tooltip: {
        ...base(colours).tooltip,
        formatter: (item) =>
          item.seriesType === "custom"
            ? tip("expected " + study.data.history.metric, [["", short(item.data[2])]])
            : trialTip(study, item.data[2]),
      },
      series: [
        {
          type: "custom",
          data: cells,
          clip: true,
          encode: { x: -1, y: -1 },
          renderItem(params, api) {
            const [x, y] = [api.value(0), api.value(1)];
            const [a, b] = [api.coord([xs[x], ys[y]]), api.coord([xs[x + 1], ys[y + 1]])];
            return row({
              x: a[0],
              y: b[1],
              width: b[0] - a[0] + 0.6,
              height: a[1] - b[1] + 0.6,
              fill: heat(colours, place(api.value(2))),
            });
          },
        },
        {
          type: "scatter",
          data: trials.filter((point) => study.isVisible(point[2])),
          symbolSize: trials.length > 500 ? 3 : 5,
          itemStyle: { color: colours.card, borderColor: colours.ink, borderWidth: 0.8 },
          z: 3,
        },
        ...rings(study, colours, trials),
      ],
    });
  },

  pareto(study, colours) {
    const data = study.data.pareto;
    if (!data || !data.trials.length) return null;
    const [a, b] = (study.choices.pareto || "0,1").split(",").map(Number);
    const front = new Set(data.front);
    const point = ([id, values]) => [values[a], values[b], id];
    const best = data.trials
      .filter(([id]) => front.has(id))
      .map(point)
      .sort((one, other) => one[0] - other[0]);
    const others = data.trials.filter(([id]) => !front.has(id)).map(point);
    const name = (at) =>
      `${data.objectives[at][0]} (${data.objectives[at][1] ? "less" : "more"} is better)`;
    return base(colours, {
      xAxis: stepAxis(colours, name(a)),
      yAxis: valueAxis(
        colours,
        study,
        name(b),
        data.trials.map(([, values]) => values[b]),
      ),
      dataZoom: inside,
      tooltip: { ...base(colours).tooltip, formatter: (item) => trialTip(study, item.data[2]) },
      series: [
        ...points(study, colours, others, colours.usual),
        ...points(study, colours, best, colours.best),
        ...rings(study, colours, others.concat(best)),
      ],
    });
  },

  rungs(study, colours) {
    const data = study.data.rungs;
    if (!data.rungs.length) return null;
    const parts = [
      ["went_on", "went on", colours.live],
      ["complete", "complete", colours.best],
      ["running", "running", colours.usual],
      ["paused", "paused", colours.paused],
      ["stopped", "stopped", colours.stopped],
      ["failed", "failed", colours.bad],
    ];
    const rungs = data.rungs.slice().reverse();
    const used = parts.filter(([key]) => rungs.some((rung) => rung[key] > 0));
    const option = base(colours, {
      toolbox: { show: false },
      legend: {
        top: 0,
        left: 0,
        textStyle: { color: colours.dim, fontSize: 11 },
        itemWidth: 10,
        itemHeight: 10,
      },
      xAxis: axisOf(colours, { type: "value", scale: false, minInterval: 1 }),
      yAxis: axisOf(colours, {
        type: "category",
        data: rungs.map((rung) => `${cut(data.step, 12)} ${short(rung.step)}`),
        axisLabel: { formatter: (value) => value },
      }),
      series: used.map(([key, name, colour]) => ({
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
      return tip(
        `${data.step} ${short(rung.step)}: ${rung.reached} trials`,
        used.map(([key, name]) => [name, rung[key]]),
      );
    };
    option.height = Math.max(160, rungs.length * 26 + 80);
    return option;
  },

  failures(study, colours) {
    const causes = study.data.failures.causes.slice().reverse();
    if (!causes.length) return null;
    const option = base(colours, {
      toolbox: { show: false },
      xAxis: axisOf(colours, { type: "value", scale: false, minInterval: 1 }),
      yAxis: axisOf(colours, {
        type: "category",
        data: causes.map((cause) => cut(cause.cause, 30)),
        axisLabel: { formatter: (value) => value },
      }),
      series: [
        {
          type: "bar",
          data: causes.map((cause) => cause.attempts),
          itemStyle: { color: colours.bad },
          barMaxWidth: 20,
          label: { show: true, position: "right", color: colours.ink },
        },
      ],
    });
    option.tooltip.formatter = (item) =>
      tip(causes[item.dataIndex].cause, [
        ["attempts", causes[item.dataIndex].attempts],
        ["trials", causes[item.dataIndex].trials.slice(0, 20).join(", ")],
      ]);
    option.height = Math.max(120, causes.length * 28 + 60);
    return option;
  },
  timeline(study, colours) {
    const data = study.data.timeline;
    if (!data.bars.length) return null;
    const length = data.bars.reduce((most, bar) => Math.max(most, bar.to), 0);
    const [unit, name] =
      length < 180 ? [1, "seconds"] : length < 10800 ? [60, "minutes"] : [3600, "hours"];
    const used = ["complete", "running", "paused", "stopped", "failed", "lost"];
    return base(colours, {
      xAxis: stepAxis(colours, name + " since the first trial", {
        min: 0,
        max: length / unit || 1,
        scale: false,
      }),
      yAxis: axisOf(colours, {
        type: "category",
        name: "slot",
        inverse: true,
        data: Array.from({ length: data.slots }, (_, at) => String(at)),
        nameLocation: "start",
        axisLabel: { formatter: (value) => value },
      }),
      dataZoom: [inside[0]],
      tooltip: {
        ...base(colours).tooltip,
        formatter: (item) => {
          const bar = data.bars[item.dataIndex];
          return tip(`trial ${bar.trial}: ${bar.state}`, [
            ["from", short(bar.from / unit, 4)],
            ["to", short(bar.to / unit, 4)],
            ["took", short(bar.to - bar.from, 4) + " s"],
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
            used.indexOf(bar.state),
            bar.trial,
          ]),
          renderItem(params, api) {
            const [a, b] = [
              api.coord([api.value(1), api.value(0)]),
              api.coord([api.value(2), api.value(0)]),
            ];
            const high = Math.max(2, api.size([0, 1])[1] * 0.8);
            const id = api.value(4);
            const colour = study.picked.has(id)
              ? colours.pick[study.picked.get(id)]
              : colours.state[used[api.value(3)]];
            return {
              type: "rect",
              shape: {
                x: a[0],
                y: a[1] - high / 2,
                width: Math.max(1, b[0] - a[0] - 0.5),
                height: high,
              },
              style: { fill: study.isVisible(id) ? colour : colours.faint },
            };
          },
        },
      ],
      height: Math.max(160, data.slots * 30 + 90),
    });
  },
};

/// The best so far of several studies in one chart.
function overlay(studies, colours) {
  const metrics = new Set(studies.map((study) => study.data.history.metric));
  if (studies.length < 2 || metrics.size !== 1) return null;
  const series = studies.map((study, at) => {
    const { best, last } = study.data.history;
    const data = best.concat(best.length ? [[last, best[best.length - 1][1]]] : []);
    return {
      type: "line",
      step: "end",
      symbol: "none",
      name: cut(study.data.name, 30),
      data,
      lineStyle: { width: 2, color: colours.pick[at % 8] },
      itemStyle: { color: colours.pick[at % 8] },
    };
  });
  return base(colours, {
    legend: { top: 0, left: 0, right: 60, type: "scroll", textStyle: { color: colours.ink } },
    xAxis: stepAxis(colours, "trial"),
    yAxis: axisOf(colours, { type: "value", name: cut([...metrics][0], 30) }),
    grid: { left: 8, right: 16, top: 50, bottom: 26, containLabel: true },
    dataZoom: inside,
    series,
  });
}

function pair(contour) {
  return contour.x.name + " × " + contour.y.name;
}
