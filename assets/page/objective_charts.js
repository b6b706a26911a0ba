"use strict";
// Charts over the objectives of a study.

Object.assign(charts, {
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
    // With a third objective the colour of a point on the front shows it.
    const third = data.objectives.findIndex((_, index) => index !== a && index !== b);
    const valuesOf = new Map(data.trials);
    const ids = nonDominated.map(([, , id]) => id);
    const scores =
      third < 0
        ? null
        : scoresOf(
            ids,
            Object.fromEntries(ids.map((id) => [id, valuesOf.get(id)[third]])),
            data.objectives[third][1],
          );
    const frontColours = scores
      ? ids.map((id) => heatColour(colours, scores.get(id)))
      : colours.best;
    return baseOption(colours, {
      xAxis: stepAxis(colours, objectiveName(data.objectives[a])),
      yAxis: valueAxis(
        colours,
        study,
        data.trials.map(([, values]) => values[b]),
      ),
      title: axisTitle(colours, objectiveName(data.objectives[b])),
      dataZoom: wheelZoom,
      legend: [
        scores
          ? [colours.heat, `Pareto front, worst to best ${data.objectives[third][0]}`]
          : [colours.best, "Pareto front"],
        [scores ? colours.faint : colours.normal, "dominated"],
      ],
      marks: [
        pointSet(dominated, scores ? colours.faint : colours.normal, {
          size: pointSize(study),
          isPlain: true,
        }),
        pointSet(nonDominated, frontColours, { size: pointSize(study) + 2, isPlain: true }),
      ],
      series: [
        cornerSeries(
          data.trials.map(([, values]) => values[a]),
          data.trials.map(([, values]) => values[b]),
        ),
      ],
    });
  },

  edf(study, colours) {
    const index = study.objectiveIndex();
    if (!study.data.objectives.length) return null;
    const [metric, minimise] = study.data.objectives[index];
    const all = study.completeRows();
    if (all.length < 2) return null;
    const own = study.data.trials.objectives[index];
    const series = (rows, colour, width) => {
      const sorted = rows.map((row) => own[row]).sort((a, b) => (minimise ? a - b : b - a));
      return {
        type: "line",
        step: "end",
        symbol: "none",
        sampling: "minmax",
        data: sorted.map((value, rank) => [value, (rank + 1) / rows.length]),
        lineStyle: { color: colour, width },
      };
    };
    const shown = all.filter((row) => study.visible[row]);
    const option = baseOption(colours, {
      xAxis: stepAxis(colours, objectiveName([metric, minimise]), {
        type: study.logScale && all.every((row) => own[row] > 0) ? "log" : "value",
        inverse: !minimise,
      }),
      title: axisTitle(colours, "share of trials"),
      yAxis: valueAxis(colours, { logScale: false }, [0], {
        min: 0,
        max: 1,
        axisLabel: { formatter: formatPercent },
      }),
      dataZoom: [wheelZoom[0]],
      legend: [
        [colours.normal, `all ${all.length} complete trials`],
        ...(study.isFiltered
          ? [[colours.running, `the ${shown.length} that the filter shows`]]
          : []),
      ],
      series: [
        series(all, colours.normal, 2),
        ...(study.isFiltered && shown.length ? [series(shown, colours.running, 2)] : []),
      ],
    });
    option.tooltip = {
      ...option.tooltip,
      trigger: "axis",
      formatter: ([item]) =>
        tooltipNode(`${Math.round(item.data[1] * 100)} % of the trials`, [
          [minimise ? "at most" : "at least", formatNumber(item.data[0])],
        ]),
    };
    return option;
  },
});
