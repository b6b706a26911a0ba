"use strict";
// Charts over the parameters of a study.

/// Maximum number of parameters in the slice.
const MOST_PANELS = 24;

/// Maximum number of parameters in the parallel coordinates.
const MOST_AXES = 40;
/// Maximum number of parameters in the parallel coordinates on paper, which cannot be scrolled.
const MOST_PRINTED_AXES = 10;

Object.assign(charts, {
  parallel(study, colours) {
    const most = isPrinting() ? MOST_PRINTED_AXES : MOST_AXES;
    const axes = study.orderedAxes(most).slice(0, most);
    const { rows, values, open } = study.usableRows();
    if (!axes.length || !rows.length) return null;
    const { objectives } = study.data;
    const chosen = study.objectiveIndex();
    const minimise = objectives[chosen][1];
    const scores = scoresOf(rows, values, minimise);
    // The lines pass over the labels, so the labels have a border in the colour of the card.
    const halo = { textBorderColor: colours.card, textBorderWidth: 3 };
    const label = { color: colours.text, fontSize: 10, ...halo };
    const columns = axes.map((axis) => ({
      values: axis.values,
      isLog: axis.log && !axis.labels.length,
    }));
    const parallelAxis = axes.map((axis, dim) => ({
      dim,
      name: truncate(axis.name, 16),
      ...(axis.labels.length
        ? { type: "category", data: axis.labels.map((text) => truncate(text, 14)) }
        : { type: axis.log ? "log" : "value", scale: true, ...boundsOf(axis) }),
    }));
    objectives.forEach(([metric], index) => {
      const own = index === chosen ? values : study.data.trials.objectives[index];
      const [low, high] = extentOf(rows.map((row) => own[row] ?? null));
      const isLog = study.logScale && low > 0;
      columns.push({ values: own, isLog });
      parallelAxis.push({
        dim: parallelAxis.length,
        name: truncate(metric, 16),
        type: isLog ? "log" : "value",
        ...widened(low, high, isLog),
      });
    });
    // The best trials are drawn last, on top of the others.
    const sorted = rows
      .slice()
      .sort((a, b) => (minimise ? values[b] - values[a] : values[a] - values[b]));
    const ids = sorted.map((row) => study.data.trials.id[row]);
    study.parallelIds = ids;
    study.parallelValues = (index) => columns.map((column) => column.values[sorted[index]]);
    const size = columns.length * 2;
    const points = new Float64Array(sorted.length * size);
    sorted.forEach((row, index) =>
      columns.forEach((column, dim) => {
        points[index * size + dim * 2] = dim;
        points[index * size + dim * 2 + 1] = column.values[row] ?? NaN;
      }),
    );
    const many = rows.length > 1000;
    return baseOption(colours, {
      toolbox: { show: false },
      parallel: { left: 30, right: 60, top: 40, bottom: 20, axisExpandable: false },
      parallelAxis: parallelAxis.map((axis) => ({
        ...axis,
        nameTextStyle: { color: colours.text, fontSize: 11, ...halo },
        axisLine: { lineStyle: { color: colours.muted } },
        axisTick: { alignWithLabel: true, lineStyle: { color: colours.muted } },
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
      legend: [
        [colours.heat, `worst to best ${objectives[chosen][0]}, by rank`],
        [colours.best, "best"],
      ],
      marks: [
        markSet("line", ids, points, {
          starts: Uint32Array.from({ length: ids.length + 1 }, (_, index) => index * size),
          isParallel: true,
          logs: columns.map(({ isLog }) => isLog),
          colour: sorted.map((row) => heatColour(colours, scores.get(row))),
          dashed: open.size ? sorted.map((row) => open.has(row)) : null,
          alpha: many ? 0.25 : rows.length > 150 ? 0.45 : 0.7,
          width: rows.length > 150 ? 1 : 1.5,
        }),
      ],
      // The component needs a series; the lines themselves are marks.
      series: [{ type: "parallel", data: [], silent: true }],
    });
  },

  slice(study, colours, width) {
    const axes = study.orderedAxes(MOST_PANELS).slice(0, MOST_PANELS);
    const { rows, values, open } = study.usableRows();
    if (!axes.length || !rows.length) return null;
    const columnCount = Math.max(1, Math.min(axes.length, Math.floor(width / 165), 6));
    const rowCount = Math.ceil(axes.length / columnCount);
    const [panelWidth, panelHeight] = [width / columnCount, 210];
    const option = baseOption(colours, {
      toolbox: { show: false },
      grid: [],
      xAxis: [],
      yAxis: [],
      title: [],
      series: [],
      marks: [],
      legend: [
        [colours.normal, "trial"],
        [colours.best, "best"],
      ],
    });
    option.height = rowCount * panelHeight;
    const shownValues = rows.map((row) => values[row]);
    const metric = study.data.objectives[study.objectiveIndex()][0];
    const { id } = study.data.trials;
    const size = pointSize(study);
    axes.forEach((axis, index) => {
      const left = (index % columnCount) * panelWidth;
      const top = Math.floor(index / columnCount) * panelHeight;
      option.grid.push({
        left: left + 44,
        top: top + 18,
        width: panelWidth - 58,
        height: panelHeight - 64,
        containLabel: false,
      });
      if (left === 0) option.title.push(axisTitle(colours, metric, 8, top + 2));
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
        ...valueAxis(colours, study, shownValues),
        axisLine: { onZero: false, lineStyle: { color: colours.line } },
        gridIndex: index,
        splitNumber: 4,
      });
      const spread = axis.labels.length ? 0.5 : 0;
      const pointsOfRows = (chosen) =>
        chosen
          .filter((row) => axis.values[row] !== null)
          .map((row) => [
            axis.values[row] + (spread ? jitter(id[row], 0.618034) * spread : 0),
            values[row],
            id[row],
          ]);
      option.marks.push(
        pointSet(pointsOfRows(rows.filter((row) => !open.has(row))), colours.normal, {
          size,
          grid: index,
        }),
        pointSet(pointsOfRows(rows.filter((row) => open.has(row))), colours.normal, {
          shape: "ring",
          size,
          grid: index,
        }),
      );
      const known = axis.values.filter((value) => value !== null);
      option.series.push(cornerSeries(known, shownValues, index));
    });
    return option;
  },

  contour(study, colours) {
    const { contours, history } = study.view();
    if (!contours.length) return null;
    const selected = contours.find((contour) => pairName(contour) === study.choices.contour);
    const data = selected || contours[0];
    const values = data.cells.filter((value) => value !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const minimise = history.minimise;
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
      }),
      title: axisTitle(colours, data.y.name),
      dataZoom: wheelZoom,
      tooltip: {
        ...baseOption(colours).tooltip,
        formatter: (item) =>
          tooltipNode("predicted " + history.metric, [["", formatNumber(item.data[2])]]),
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
      ],
      marks: [
        pointSet(trials, colours.text, {
          shape: "ring",
          fill: colours.card,
          size: trials.length > 500 ? 4 : 6,
        }),
      ],
      legend: [
        [
          colours.heat,
          `predicted ${history.metric}: ${formatNumber(minimise ? high : low, 3)} (worst) to ` +
            `${formatNumber(minimise ? low : high, 3)} (best)`,
        ],
        [colours.text, "○ trial"],
      ],
    });
  },

  rank(study, colours) {
    const [x, y] = rankAxes(study);
    const { rows, values } = study.usableRows();
    if (!x || !y || rows.length < 2) return null;
    const [metric, minimise] = study.data.objectives[study.objectiveIndex()];
    const scores = scoresOf(rows, values, minimise);
    const { id } = study.data.trials;
    const spreadOf = (axis) => (axis.labels.length ? 0.6 : 0);
    const placed = rows
      .filter((row) => x.values[row] !== null && y.values[row] !== null)
      .sort((a, b) => scores.get(a) - scores.get(b));
    const data = placed.map((row) => [
      x.values[row] + (spreadOf(x) ? jitter(id[row], 0.618034) * spreadOf(x) : 0),
      y.values[row] + (spreadOf(y) ? jitter(id[row], 0.754878) * spreadOf(y) : 0),
      id[row],
    ]);
    const axisOf = (axis) =>
      axis.labels.length
        ? {
            type: "value",
            min: -0.5,
            max: axis.labels.length - 0.5,
            ...choiceTicks(axis.labels, 12),
          }
        : { type: axis.log ? "log" : "value", ...boundsOf(axis) };
    return baseOption(colours, {
      xAxis: stepAxis(colours, x.name, axisOf(x)),
      yAxis: styledAxis(colours, axisOf(y)),
      title: axisTitle(colours, y.name),
      dataZoom: wheelZoom,
      legend: [
        [colours.heat, `worst to best ${metric}, by rank`],
        [colours.best, "best"],
      ],
      marks: [
        pointSet(
          data,
          placed.map((row) => heatColour(colours, scores.get(row))),
          { size: pointSize(study) + 1, alpha: 0.9 },
        ),
      ],
      series: [
        cornerSeries(
          x.values.filter((value) => value !== null),
          y.values.filter((value) => value !== null),
        ),
      ],
    });
  },
});

/// Returns the two parameters of the rank plot: the chosen ones, or the most important.
function rankAxes(study) {
  const { axes } = study.data.trials;
  const ordered = study.orderedAxes(0);
  const chosen = [0, 1].map((index) =>
    axes.find(({ name }) => name === study.choices["rank" + index]),
  );
  const x = chosen[0] || ordered.find((axis) => axis !== chosen[1]);
  return [x, chosen[1] || ordered.find((axis) => axis !== x)].filter((axis) => axis);
}

/// Returns the name of a pair of parameters.
function pairName(contour) {
  return contour.x.name + " × " + contour.y.name;
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
