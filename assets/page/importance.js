"use strict";
// The importance of parameters, for one objective or for several side by side.

/// Maximum number of parameters.
const MOST_BARS = 20;

Object.assign(charts, {
  importance(study, colours) {
    const all = study.data.objectives.map((_, index) => study.surface(index).importance);
    if (all.length > 1 && all.some((one) => one)) return importances(study, colours, all);
    const data = study.view().importance;
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
          axisLabel: { formatter: formatPercent },
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
    const shares = data.rows
      .slice(0, 5)
      .map(({ name, share }) => `${name} ${formatPercent(share)}`);
    option.summary = `shares of the variance: ${shares.join(", ")}`;
    option.height = Math.max(120, rows.length * 24 + 60);
    return option;
  },
});

/// Returns the importance of the parameters for several objectives, side by side.
function importances(study, colours, all) {
  const shareOf = all.map((one) => new Map(one ? one.rows.map((row) => [row.name, row]) : []));
  const total = (name) =>
    shareOf.reduce((sum, shares) => sum + (shares.has(name) ? shares.get(name).share : 0), 0);
  const names = [...new Set(shareOf.flatMap((shares) => [...shares.keys()]))]
    .sort((a, b) => total(b) - total(a))
    .slice(0, MOST_BARS)
    .reverse();
  const width = 76 / all.length;
  const option = baseOption(colours, {
    toolbox: { show: false },
    grid: all.map((_, index) => ({
      left: `${22 + index * width}%`,
      width: `${width - 4}%`,
      top: 24,
      bottom: 24,
    })),
    title: study.data.objectives.map(([metric], index) => ({
      text: truncate(metric, 24),
      left: `${22 + index * width}%`,
      top: 0,
      textStyle: { fontSize: 11, fontWeight: "normal", color: colours.muted },
    })),
    xAxis: all.map((_, gridIndex) =>
      styledAxis(colours, {
        type: "value",
        gridIndex,
        scale: false,
        max: 1,
        interval: 0.5,
        axisLabel: { formatter: formatPercent },
      }),
    ),
    yAxis: all.map((_, gridIndex) =>
      styledAxis(colours, {
        type: "category",
        gridIndex,
        data: names.map((name) => truncate(name, 16)),
        axisTick: { show: false },
        axisLabel: { show: gridIndex === 0, formatter: (value) => value },
      }),
    ),
    series: all.map((_, index) => ({
      type: "bar",
      xAxisIndex: index,
      yAxisIndex: index,
      data: names.map((name) => (shareOf[index].get(name) || { share: 0 }).share),
      itemStyle: { color: colours.picked[index % 8] },
      barMaxWidth: 18,
    })),
    legend: study.data.objectives.map(([metric], index) => [
      colours.picked[index % 8],
      `share of the variance of ${metric} (fANOVA)`,
    ]),
  });
  option.tooltip.formatter = ({ dataIndex, seriesIndex }) => {
    const row = shareOf[seriesIndex].get(names[dataIndex]);
    return tooltipNode(names[dataIndex], [
      ["share", ((row ? row.share : 0) * 100).toFixed(1) + " %"],
      ["rank correlation", row ? formatNumber(row.correlation, 3) : ""],
    ]);
  };
  option.height = Math.max(120, names.length * 24 + 60);
  return option;
}
