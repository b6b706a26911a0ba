"use strict";
// Charts over the trials of a study, over their steps and over time.

Object.assign(charts, {
  history(study, colours) {
    const data = study.view().history;
    const breaking = new Set(data.breaking);
    const complete = data.complete.map(([id, value]) => [id, value, id]);
    const infeasible = complete.filter(([id]) => breaking.has(id));
    const feasible = complete.filter(([id]) => !breaking.has(id));
    const partial = data.partial.map(([id, value]) => [id, value, id]);
    const values = data.complete.concat(data.partial).map(([, value]) => value);
    if (!values.length) return null;
    const size = pointSize(study);
    const bottom = values.reduce((least, value) => Math.min(least, value), Infinity);
    const top = values.reduce((most, value) => Math.max(most, value), -Infinity);
    const legend = [
      [colours.normal, "complete", feasible],
      [colours.stopped, "stopped, paused or running", partial],
      [colours.failed, "violates an outcome constraint", infeasible],
      [colours.failed, "× failed", data.failed],
      [colours.faint, "| the search restarted", data.restarts],
    ];
    return baseOption(colours, {
      xAxis: stepAxis(colours, "trial", {
        min: 1,
        max: Math.max(2, data.last),
        minInterval: 1,
        ...(data.failed.length ? { offset: 12, nameGap: 34 } : {}),
      }),
      yAxis: valueAxis(colours, study, values),
      title: axisTitle(colours, objectiveName([data.metric, data.minimise])),
      grid: { ...baseOption(colours).grid, bottom: data.failed.length ? 44 : 26 },
      dataZoom: wheelZoom,
      legend: [...legend.filter(([, , items]) => items.length), [colours.best, "best so far"]],
      marks: [
        pointSet(partial, colours.stopped, { size }),
        pointSet(infeasible, colours.failed, { size }),
        pointSet(feasible, colours.normal, { size }),
        lineSet(
          data.restarts.map((id) => ({ id, points: [id, bottom, id, top] })),
          {
            colour: colours.faint,
            alpha: 1,
            width: 1,
            describe: (index) =>
              tooltipNode(`the search restarted before trial ${data.restarts[index]}`, []),
          },
        ),
        // Failed trials have no value. They lie below the axis.
        pointSet(
          data.failed.map((id) => [id, bottom, id]),
          colours.failed,
          { shape: "cross", isBottom: true },
        ),
        lineSet([{ id: 0, points: steppedLine(data) }], {
          colour: colours.best,
          alpha: 1,
          width: 2,
          describe: () => tooltipNode("best so far", data.best.slice(-8)),
        }),
      ],
      series: [cornerSeries([1, data.last], values)],
    });
  },

  curves(study, colours) {
    const data = study.curves();
    // If every trial has reported only once, there are no lines to draw.
    if (!data || !data.lines.some((line) => line.values.length > 1)) return null;
    const lines = data.lines.map((line) => ({ id: line.trial, points: pointsOf(data, line) }));
    const states = lines.map(({ id }) => study.stateOf(id));
    const many = lines.length > 60;
    let [first, last, lowest, highest] = [Infinity, -Infinity, Infinity, -Infinity];
    let isWhole = true;
    const ends = [];
    lines.forEach(({ id, points }, index) => {
      let end = null;
      for (let at = 0; at < points.length; at += 2) {
        const [step, value] = [points[at], points[at + 1]];
        if (Number.isNaN(value)) continue;
        first = Math.min(first, step);
        last = Math.max(last, step);
        lowest = Math.min(lowest, value);
        highest = Math.max(highest, value);
        isWhole &&= Number.isInteger(step);
        end = at;
      }
      if (end !== null && ["stopped", "failed", "invalid"].includes(states[index]))
        ends.push([points[end], points[end + 1], id, states[index]]);
    });
    if (first > last) return null;
    const log = study.logScale && lowest > 0;
    const margin = log ? 0 : (highest - lowest) * 0.04 || Math.abs(lowest) * 0.1 || 1;
    const present = new Set(states);
    return baseOption(colours, {
      xAxis: stepAxis(colours, data.step, {
        min: first === last ? first - 1 : first,
        max: first === last ? last + 1 : last,
        ...(isWhole ? { minInterval: 1 } : {}),
      }),
      title: axisTitle(colours, data.metric),
      yAxis: valueAxis(colours, study, [lowest], {
        min: lowest - margin,
        max: highest + margin,
        axisLabel: { showMinLabel: false, showMaxLabel: false },
      }),
      dataZoom: wheelZoom,
      legend: stateLegend(colours, present).concat([[colours.best, "best"]]),
      marks: [
        lineSet(lines, {
          colour: states.map((state) => colours.state[state]),
          alpha: lines.length > 1000 ? 0.2 : many ? 0.45 : 0.8,
          width: many ? 1 : 1.5,
        }),
        pointSet(
          ends,
          ends.map(([, , , state]) => colours.state[state]),
          { shape: "cross", size: many ? 4 : 7 },
        ),
      ],
      series: [cornerSeries([first, last], [lowest, highest])],
    });
  },

  rungs(study, colours) {
    const levels = study.data.levels[study.objectiveIndex()] || [];
    // Without a scheduler that stops trials there is nothing to promote.
    if (levels.length < 2) return null;
    const { step } = study.data.rungs;
    const objective = study.data.objectives[study.objectiveIndex()];
    const paths = new Map();
    const counts = levels.map(({ trials, values }, index) => {
      trials.forEach((id, at) => {
        if (!paths.has(id)) paths.set(id, []);
        paths.get(id).push(index, values[at]);
      });
      return trials.length;
    });
    const items = [...paths].map(([id, points]) => ({ id, points }));
    const states = items.map(({ id }) => study.stateOf(id));
    const colour = states.map((state) => colours.state[state]);
    const values = levels.flatMap((level) => level.values);
    return baseOption(colours, {
      xAxis: styledAxis(colours, {
        type: "value",
        min: -0.3,
        max: levels.length - 0.7,
        ...choiceTicks(
          levels.map((level, index) => `${step} ${formatNumber(level.step)}: ${counts[index]}`),
          18,
        ),
        splitLine: { show: true, lineStyle: { color: colours.grid } },
      }),
      yAxis: valueAxis(colours, study, values),
      title: axisTitle(colours, objectiveName(objective)),
      dataZoom: [wheelZoom[1]],
      legend: stateLegend(colours, new Set(states)).concat([[colours.best, "best"]]),
      marks: [
        lineSet(items, { colour, alpha: items.length > 300 ? 0.3 : 0.6, width: 1 }),
        // A point where each trial is now, or where it ended.
        pointSet(
          items.map(({ id, points }) => [...points.slice(-2), id]),
          colour,
          { size: pointSize(study) },
        ),
      ],
      series: [cornerSeries([0, levels.length - 1], values)],
    });
  },

  timeline(study, colours) {
    const data = study.data.timeline;
    if (!data.bars.length) return null;
    const length = data.bars.reduce((latest, bar) => Math.max(latest, bar.to), 0);
    const [unit, unitName] =
      length < 180 ? [1, "seconds"] : length < 10800 ? [60, "minutes"] : [3600, "hours"];
    return baseOption(colours, {
      xAxis: stepAxis(colours, unitName + " since the first trial", {
        min: 0,
        max: roundedUp(length / unit || 1),
        scale: false,
      }),
      yAxis: styledAxis(colours, {
        type: "value",
        inverse: true,
        min: -0.5,
        max: data.slots - 0.5,
        ...choiceTicks(
          Array.from({ length: data.slots }, (_, slot) => String(slot)),
          6,
        ),
        splitLine: { show: false },
      }),
      title: axisTitle(colours, "slot"),
      dataZoom: [wheelZoom[0]],
      legend: stateLegend(colours, new Set(data.bars.map(({ state }) => state))),
      marks: [
        markSet(
          "bar",
          data.bars.map(({ trial }) => trial),
          data.bars.flatMap(({ from, to, slot }) => [from / unit, slot, to / unit, slot]),
          {
            colour: data.bars.map(({ state }) => colours.state[state]),
            alpha: 1,
            isPlain: true,
            describe: (index) => {
              const bar = data.bars[index];
              const name = bar.preparation
                ? `preparation ${bar.preparation}`
                : `trial ${bar.trial}`;
              return tooltipNode(`${name}: ${bar.state}`, [
                ["from", formatNumber(bar.from / unit, 4)],
                ["to", formatNumber(bar.to / unit, 4)],
                ["duration", formatNumber(bar.to - bar.from, 4) + " s"],
              ]);
            },
          },
        ),
      ],
      series: [cornerSeries([0, length / unit], [0, data.slots - 1])],
      height: Math.max(160, data.slots * 30 + 90),
    });
  },

  failures(study, colours, width) {
    const causes = study.data.failures.causes.slice().reverse();
    if (!causes.length) return null;
    const option = baseOption(colours, {
      toolbox: { show: false },
      grid: { left: 0, right: 8, top: 22, bottom: 4 },
      xAxis: { type: "value", min: 0, show: false },
      yAxis: { type: "category", data: causes.map(({ cause }) => cause), show: false },
      series: [
        {
          type: "bar",
          data: causes.map((cause) => cause.attempts),
          itemStyle: { color: colours.failed },
          barWidth: 10,
          // The cause stands above its bar, where it has the whole width.
          label: {
            show: true,
            position: [0, -16],
            color: colours.text,
            formatter: ({ dataIndex }) =>
              `${causes[dataIndex].attempts} × ${causes[dataIndex].cause}`,
            width: width - 16,
            overflow: "truncate",
          },
        },
      ],
      summary: causes.map(({ attempts, cause }) => `${attempts} × ${cause}`).join("; "),
    });
    option.tooltip.formatter = (item) =>
      tooltipNode(causes[item.dataIndex].cause, [
        ["attempts", causes[item.dataIndex].attempts],
        ["trials", causes[item.dataIndex].trials.slice(0, 20).join(", ")],
      ]);
    option.height = causes.length * 38 + 26;
    return option;
  },
});

/// Returns the points of the line of the best values so far, which falls at each new one.
function steppedLine({ best, last }) {
  const ends = [...best.slice(1).map(([id]) => id), last];
  return best.flatMap(([id, value], index) => [id, value, ends[index], value]);
}

/// Returns the end of an axis that begins at 0: the next value with two digits.
function roundedUp(value) {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / unit) * unit).toPrecision(2));
}

/// Returns the chart of the best objective so far of several studies, `null` unless they share it.
function bestSoFarOption(studies, colours) {
  const metrics = new Set(studies.map((study) => study.view().history.metric));
  if (studies.length < 2 || metrics.size !== 1) return null;
  const series = studies.map((study, index) => {
    const { best, last } = study.view().history;
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
    xAxis: stepAxis(colours, "trial", { minInterval: 1, min: 1 }),
    yAxis: styledAxis(colours, { type: "value" }),
    title: axisTitle(
      colours,
      objectiveName([[...metrics][0], studies[0].view().history.minimise]),
      0,
      30,
    ),
    grid: { left: 8, right: 16, top: 50, bottom: 26, containLabel: true },
    dataZoom: wheelZoom,
    series,
  });
}
