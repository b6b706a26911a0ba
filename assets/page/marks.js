"use strict";
// Marks of trials: points, lines and bars on a canvas below the axes of a chart. ECharts draws the
// axes. Marks are drawn in slices, so that 10,000 of them do not hold up a key or the mouse, and a
// change of the filter or of the picks draws nothing but the marks.

/// Distance in pixels at which the pointer is on a mark.
const REACH = 8;

/// Returns marks of a set. `points` is a flat list of coordinates; the coordinates of the item
/// `index` begin at `starts[index]`, or each item has one point.
function markSet(shape, ids, points, more) {
  const flat = points instanceof Float64Array ? points : Float64Array.from(points, nanOfNull);
  return { shape, ids, points: flat, starts: null, grid: 0, size: 6, alpha: 0.85, ...more };
}

function nanOfNull(value) {
  return value === null || value === undefined ? NaN : value;
}

/// Returns a set of points from `[x, y, id]`.
function pointSet(data, colour, more) {
  const points = new Float64Array(data.length * 2);
  data.forEach(([x, y], index) => {
    points[index * 2] = x;
    points[index * 2 + 1] = y;
  });
  return markSet(
    "dot",
    data.map(([, , id]) => id),
    points,
    { colour, ...more },
  );
}

/// Returns a set of lines from items `{ id, points: [x, y, …] }`.
function lineSet(items, more) {
  const starts = new Uint32Array(items.length + 1);
  items.forEach(({ points }, index) => (starts[index + 1] = starts[index] + points.length));
  const points = new Float64Array(starts[items.length]);
  items.forEach((item, index) => points.set(item.points, starts[index]));
  return markSet(
    "line",
    items.map(({ id }) => id),
    points,
    { starts, ...more },
  );
}

/// The marks of one chart.
class Layer {
  constructor(card) {
    this.card = card;
    this.sets = [];
    this.hit = null;
    [this.canvas, this.cover] = [0, 1].map(() => document.createElement("canvas"));
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.setAttribute("aria-live", "polite");
    this.tip.hidden = true;
    // Marks cover the grid lines, but not the labels of parallel axes.
    if (card.kind === "parallel") card.plot.prepend(this.canvas);
    else card.plot.append(this.canvas);
    card.plot.append(this.cover, this.tip);
  }

  /// Takes the marks of a chart whose axes have been drawn.
  setSets(sets) {
    this.sets = sets;
    for (const set of sets)
      set.rows = Int32Array.from(set.ids, (id) => this.card.study.rowOf.get(id) ?? -1);
  }

  /// Draws all marks, and shows them when the last one is drawn.
  *draw() {
    const { card } = this;
    const { chart, study } = card;
    const [width, height] = [chart.getWidth(), chart.getHeight()];
    const scale = isPrinting() ? 3 : window.devicePixelRatio || 1;
    const back = document.createElement("canvas");
    [back.width, back.height] = [width * scale, height * scale];
    const context = back.getContext("2d");
    context.scale(scale, scale);
    context.lineJoin = "round";
    for (const set of this.sets) {
      this.locate(set);
      yield;
    }
    const colours = palette();
    const best = study.data.best ? study.data.best.trial : null;
    let count = 0;
    const counts = { hidden: 0, shown: 0, best: 0, picked: 0 };
    for (const pass of Object.keys(counts)) {
      if (pass === "hidden" && !study.isFiltered) continue;
      for (const set of this.sets) {
        context.save();
        this.clip(context, set);
        for (let index = 0; index < set.ids.length; index++) {
          const [id, row] = [set.ids[index], set.rows[index]];
          const isShown = row < 0 || study.visible[row] === 1;
          const picked = study.picked.get(id);
          const own =
            picked !== undefined ? "picked" : !isShown ? "hidden" : id === best ? "best" : "shown";
          if (own !== pass) continue;
          counts[pass]++;
          this.paint(context, set, index, styleOf(pass, set, index, colours, picked));
          count += set.starts ? (set.starts[index + 1] - set.starts[index]) / 2 : 1;
          if (count >= SLICE_STEP) {
            yield count;
            count = 0;
          }
        }
        context.restore();
      }
    }
    const { cover } = this;
    if (cover.width !== back.width || cover.height !== back.height)
      [cover.width, cover.height] = [back.width, back.height];
    for (const canvas of [back, cover])
      [canvas.style.width, canvas.style.height] = [width + "px", height + "px"];
    this.canvas.replaceWith(back);
    this.canvas = back;
    // The number of items of each kind, for the tests.
    Object.assign(this, { scale, counts });
    if (card.pointer) this.hover(card.pointer);
  }

  clip(context, set) {
    const { clip } = set;
    if (!clip) return;
    const margin = set.shape === "line" ? 1 : set.isBottom ? 14 : 7;
    context.beginPath();
    context.rect(
      clip.x - margin,
      clip.y - margin,
      clip.width + 2 * margin,
      clip.height + 2 * margin,
    );
    context.clip();
  }

  /// Computes where the points of a set are, in pixels.
  locate(set) {
    const { chart } = this.card;
    const place = new Float32Array(set.points.length);
    if (set.isParallel) {
      const model = chart.getModel().getComponent("parallel").coordinateSystem;
      const dims = model.dimensions;
      const maps = dims.map((dim, index) =>
        linearMap((value) => model.dataToPoint(value, dim)[1], set.logs[index]),
      );
      const lefts = dims.map((dim) => model.dataToPoint(1, dim)[0]);
      for (let at = 0; at < place.length; at += 2) {
        const dim = (at / 2) % dims.length;
        place[at] = lefts[dim];
        place[at + 1] = maps[dim](set.points[at + 1]);
      }
    } else {
      const { gridIndex, isLog } = { gridIndex: set.grid, isLog: [] };
      const grid = chart.getModel().getComponent("grid", gridIndex);
      set.clip = grid.coordinateSystem.getRect();
      const axes = ["xAxis", "yAxis"].map((name) =>
        chart.getModel().getComponent(name, set.axis ?? gridIndex),
      );
      axes.forEach((axis, index) => (isLog[index] = axis.get("type") === "log"));
      const finder = { gridIndex };
      const pixel = (index) => (value) =>
        chart.convertToPixel(finder, index ? [1, value] : [value, 1])[index];
      const [x, y] = [0, 1].map((index) => linearMap(pixel(index), isLog[index]));
      for (let at = 0; at < place.length; at += 2) {
        place[at] = x(set.points[at]);
        place[at + 1] = set.isBottom ? set.clip.y + set.clip.height + 8 : y(set.points[at + 1]);
      }
      set.step = Math.abs(y(1) - y(0));
    }
    set.place = place;
  }

  paint(context, set, index, style) {
    const { place } = set;
    context.globalAlpha = style.alpha;
    if (set.shape === "line") {
      context.strokeStyle = style.colour;
      context.lineWidth = style.width;
      context.setLineDash(set.dashed && set.dashed[index] ? [4, 3] : []);
      context.beginPath();
      const [from, to] = [set.starts[index], set.starts[index + 1]];
      let isOpen = false;
      for (let at = from; at < to; at += 2) {
        if (Number.isNaN(place[at + 1])) {
          if (!set.isParallel) isOpen = false;
          continue;
        }
        if (isOpen) context.lineTo(place[at], place[at + 1]);
        else context.moveTo(place[at], place[at + 1]);
        isOpen = true;
      }
      context.stroke();
      return;
    }
    if (set.shape === "bar") {
      const [left, middle, right] = [place[index * 4], place[index * 4 + 1], place[index * 4 + 2]];
      const height = Math.max(2, set.step * 0.8);
      context.fillStyle = style.colour;
      context.fillRect(left, middle - height / 2, Math.max(1, right - left - 0.5), height);
      return;
    }
    const [x, y] = [place[index * 2], place[index * 2 + 1]];
    const radius = style.size / 2;
    context.fillStyle = context.strokeStyle = style.colour;
    context.lineWidth = style.width;
    if (set.shape === "cross") {
      context.beginPath();
      context.moveTo(x - radius, y - radius);
      context.lineTo(x + radius, y + radius);
      context.moveTo(x + radius, y - radius);
      context.lineTo(x - radius, y + radius);
      context.stroke();
    } else if (style.size <= 3 && set.shape === "dot") {
      context.fillRect(x - radius, y - radius, style.size, style.size);
    } else {
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      if (set.fill && !style.isFilled) {
        context.fillStyle = set.fill;
        context.fill();
      }
      if (set.shape === "ring" && !style.isFilled) context.stroke();
      else context.fill();
    }
    if (style.ring) {
      context.strokeStyle = style.ring;
      context.lineWidth = 3;
      context.beginPath();
      context.arc(x, y, 7, 0, 7);
      context.stroke();
    }
  }

  /// Returns the mark nearest to a place in pixels: its set and its index.
  find(x, y) {
    let [nearest, best] = [REACH, null];
    for (const set of this.sets) {
      if (!set.place) continue;
      for (let index = 0; index < set.ids.length; index++) {
        const row = set.rows[index];
        if (row >= 0 && this.card.study.visible[row] === 0) continue;
        const distance = distanceTo(set, index, x, y);
        if (distance <= nearest) [nearest, best] = [distance, { set, index, id: set.ids[index] }];
      }
    }
    return best;
  }

  /// Returns the mark of the next or the previous trial that the filter shows.
  neighbour(step) {
    const { study } = this.card;
    const isReachable = (set, index) =>
      set.rows[index] >= 0 && study.visible[set.rows[index]] === 1;
    const marks = this.sets
      .flatMap((set) => Array.from(set.ids, (id, index) => ({ set, index, id })))
      .filter(({ set, index }) => isReachable(set, index))
      .sort((a, b) => a.id - b.id);
    const own = this.hit;
    const at = marks.findIndex((mark) => own && mark.set === own.set && mark.index === own.index);
    if (at < 0) return marks[step > 0 ? 0 : marks.length - 1];
    return marks[(at + step + marks.length) % marks.length];
  }

  /// Returns the last point of a mark in pixels.
  placeOf({ set, index }) {
    const length = set.shape === "bar" ? 4 : 2;
    const end = set.starts ? set.starts[index + 1] : (index + 1) * length;
    return { x: set.place[end - 2], y: set.place[end - 1] };
  }

  /// Emphasises the mark at a place and describes its trial.
  hover(pointer) {
    this.show(pointer && this.find(pointer.x, pointer.y), pointer);
  }

  show(hit, pointer) {
    const context = this.cover.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.cover.width, this.cover.height);
    this.hit = hit;
    this.tip.hidden = !hit;
    if (!hit) return;
    const { set, index, id } = hit;
    const colours = palette();
    const style = styleOf("shown", set, index, colours);
    context.scale(this.scale, this.scale);
    this.clip(context, set);
    this.paint(context, set, index, { ...style, alpha: 1, width: 3, size: style.size + 3 });
    const { study } = this.card;
    this.tip.replaceChildren(set.describe ? set.describe(index) : trialTooltip(study, id));
    const { scroll } = this.card;
    const right = scroll.scrollLeft + scroll.clientWidth - this.tip.offsetWidth - 4;
    const left = pointer.x + 14 > right ? pointer.x - this.tip.offsetWidth - 14 : pointer.x + 14;
    this.tip.style.left = Math.max(0, Math.min(left, right)) + "px";
    const bottom = this.canvas.clientHeight - this.tip.offsetHeight;
    this.tip.style.top = Math.max(0, Math.min(pointer.y + 10, bottom)) + "px";
  }

  dispose() {
    for (const node of [this.canvas, this.cover, this.tip]) node.remove();
  }
}

/// Returns how an item looks.
function styleOf(pass, set, index, colours, picked) {
  const own = typeof set.colour === "string" ? set.colour : set.colour[index];
  const isLine = set.shape === "line";
  const style = { colour: own, alpha: set.alpha, size: set.size, width: set.width || 1.5 };
  if (pass === "hidden") return { ...style, colour: colours.faint, alpha: isLine ? 0.2 : 0.4 };
  if (pass === "best" && !set.isPlain)
    return { ...style, colour: colours.best, alpha: 1, size: 9, width: 2.5, isFilled: true };
  if (pass !== "picked") return style;
  const colour = colours.picked[picked];
  if (isLine) return { ...style, colour, alpha: 1, width: 3 };
  return set.shape === "bar"
    ? { ...style, colour, alpha: 1 }
    : { ...style, alpha: 1, ring: colour };
}

/// Returns the map from values to pixels of an axis, which is linear in the value or its logarithm.
function linearMap(pixelOf, isLog) {
  const [one, other] = [pixelOf(1), pixelOf(isLog ? 10 : 0)];
  return isLog
    ? (value) => one + (other - one) * Math.log10(value)
    : (value) => other + (one - other) * value;
}

/// Returns the distance in pixels from an item of a set to a place.
function distanceTo(set, index, x, y) {
  const { place } = set;
  if (set.shape === "bar") {
    const [left, middle, right] = [place[index * 4], place[index * 4 + 1], place[index * 4 + 2]];
    const isInside = Math.abs(y - middle) <= set.step * 0.4 && x >= left - 2 && x <= right + 2;
    return isInside ? 0 : Infinity;
  }
  if (set.shape !== "line") return Math.hypot(place[index * 2] - x, place[index * 2 + 1] - y);
  // Both the steps of a curve and the axes of a line go from left to right.
  let [low, high] = [set.starts[index] / 2, set.starts[index + 1] / 2 - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (place[middle * 2] <= x) low = middle;
    else high = middle;
  }
  const [left, right] = [place[low * 2], place[high * 2]];
  if (x < left - REACH || x > right + REACH) return Infinity;
  const share = right > left ? Math.max(0, Math.min(1, (x - left) / (right - left))) : 0;
  const height = place[low * 2 + 1] + (place[high * 2 + 1] - place[low * 2 + 1]) * share;
  return Number.isNaN(height) ? Infinity : Math.abs(height - y);
}

/// Returns series that draw nothing but stretch the axes of a grid around the values.
function cornerSeries(xs, ys, grid = 0) {
  const [left, right] = extentOf(xs);
  const [low, high] = extentOf(ys);
  return {
    type: "scatter",
    data: [
      [left, low],
      [right, high],
    ],
    symbolSize: 0,
    silent: true,
    xAxisIndex: grid,
    yAxisIndex: grid,
  };
}

/// Returns the least and the greatest of the finite values; there may be too many for `Math.min`.
function extentOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low && value !== null) low = value;
    if (value > high && value !== null) high = value;
  }
  return [low, high];
}
