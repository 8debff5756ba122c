// A predicted outline over a true one: drag its points and see what each metric says, and which part of the picture it sees.
// The numbers are those of evaluation/metrics.py, in pixels; `measure` also keeps what the picture needs to show them.

import { Stage, button, frame, make, number, path, polygonMask, range, slider, widget } from "./widget.js";

const STEP = 0.1; // pixels between samples of an outline, as metrics.surface_distances

const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];
const length = (a) => Math.hypot(a[0], a[1]);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// ---- the measures ------------------------------------------------------------------------------------------------------

// Points spread evenly along a closed curve, the first one on its first point (contour.sample_outline).
function sample(curve) {
  const edges = curve.map((point, i) => minus(curve[(i + 1) % curve.length], point)), sizes = edges.map(length);
  const total = sizes.reduce((sum, size) => sum + size, 0), count = Math.max(Math.ceil(total / STEP), 1);
  let edge = 0, before = 0;
  return range(count).map((index) => {
    const at = (index * total) / count;
    while (edge < edges.length - 1 && before + sizes[edge] <= at) before += sizes[edge++];
    const share = sizes[edge] ? (at - before) / sizes[edge] : 0;
    return curve[edge].map((k, d) => k + share * edges[edge][d]);
  });
}

// From every fifth sample of one outline to the nearest sample of the other: [from, to, distance].
function surface(from, to) {
  return from.filter((_, index) => index % 5 === 0).map((point) => {
    let best = null, least = Infinity;
    for (const other of to) {
      const squared = (other[0] - point[0]) ** 2 + (other[1] - point[1]) ** 2;
      if (squared < least) [best, least] = [other, squared];
    }
    return [point, best, Math.sqrt(least)];
  });
}

// The point of a closed curve that lies nearest: exact, on its edges.
function nearest(point, curve) {
  const feet = curve.map((start, i) => {
    const edge = minus(curve[(i + 1) % curve.length], start), to = minus(point, start);
    const share = (to[0] * edge[0] + to[1] * edge[1]) / Math.max(edge[0] ** 2 + edge[1] ** 2, 1e-12);
    return start.map((k, d) => k + Math.min(Math.max(share, 0), 1) * edge[d]);
  });
  return feet.reduce((best, foot) => (length(minus(foot, point)) < length(minus(best, point)) ? foot : best));
}

// Signed part of each error along the true outline, and where it leads to (metrics.slides).
function slide(points, truth) {
  return points.map((point, i) => {
    const n = truth.length, along = minus(truth[(i + 1) % n], truth[(i + n - 1) % n]);
    const direction = along.map((k) => k / Math.max(length(along), 1e-12)), error = minus(point, truth[i]);
    const part = error[0] * direction[0] + error[1] * direction[1];
    return { part, to: truth[i].map((k, d) => k + part * direction[d]) };
  });
}

function percentile(values, percent) {
  const sorted = [...values].sort((a, b) => a - b), place = ((sorted.length - 1) * percent) / 100, low = Math.floor(place);
  return sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

export function measure(points, truth, { width, height, radius, spacing }) {
  const errors = points.map((point, i) => length(minus(point, truth[i])));
  const slides = slide(points, truth), feet = points.map((point) => nearest(point, truth));
  const [a, b] = [sample(points), sample(truth)], ways = [surface(a, b), surface(b, a)];
  const far = ways.map((way) => percentile(way.map((pair) => pair[2]), 95));
  const masks = [polygonMask(points, width, height), polygonMask(truth, width, height)];
  const both = masks[0].filter((one, i) => one && masks[1][i]).length, total = masks.flatMap((one) => one.filter(Boolean).length);
  const values = {
    tre: mean(errors) * spacing,
    along: mean(slides.map(({ part }) => Math.abs(part))) * spacing,
    across: mean(errors.map((error, i) => Math.sqrt(Math.max(error ** 2 - slides[i].part ** 2, 0)))) * spacing,
    sdr: 100 * mean(errors.map((error) => (error * spacing <= radius ? 1 : 0))),
    asd_one_way: mean(points.map((point, i) => length(minus(point, feet[i])))) * spacing,
    assd: mean(ways.flat().map((pair) => pair[2])) * spacing,
    hd95: Math.max(...far) * spacing,
    dsc: (200 * both) / (total[0] + total[1]),
  };
  return { values, errors, slides, feet, ways, far, masks };
}

// ---- what each metric sees ---------------------------------------------------------------------------------------------

const lines = (pairs) => pairs.map(([from, to]) => path([from, to])).join("");

// For each metric: its name, what it sees in words, and the lines of the picture that show it.
const METRICS = {
  tre: ["TRE", "from each landmark to its own true place", (m, points, truth) => lines(points.map((p, i) => [p, truth[i]]))],
  along: ["error along", "the part of each landmark error along the true outline: sliding",
    (m, points, truth) => lines(truth.map((t, i) => [t, m.slides[i].to]))],
  across: ["error across", "the part of each landmark error across the true outline",
    (m, points) => lines(points.map((p, i) => [m.slides[i].to, p]))],
  sdr: ["SDR", "landmarks inside the circle of this radius round their true place; dashed circles missed theirs", () => ""],
  asd_one_way: ["ASD (one-way)", "from each landmark to the nearest point of the true outline, and nothing between landmarks",
    (m, points) => lines(points.map((p, i) => [p, m.feet[i]]))],
  assd: ["ASSD", "from all along each outline to the other one, in both directions",
    (m) => lines(m.ways.flatMap((way) => way.filter((_, i) => i % 3 === 0)))],
  hd95: ["HD95", "only the 5 % of either outline that lie farthest from the other one; the metric is where these begin",
    (m) => lines(m.ways.flatMap((way, k) => way.filter((pair) => pair[2] >= Math.max(m.far[k], 1e-9))))],
  dsc: ["DSC", "pixels inside both outlines (yellow) against those inside one only (red)", () => ""],
};
const UNITS = { sdr: "%", dsc: "%" };

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "metrics of an outline");
  root.classList.add("outline-metrics");
  const starts = make(controls, "div", { class: "dsw-controls", role: "group", "aria-label": "start from" });
  for (const { name, points } of data.predictions) button(starts, name, () => state.set("points", points));
  slider(controls, state, "radius", { label: "SDR radius", min: 1, max: 20, step: 0.5, digits: 1, unit: data.unit });

  const stage = new Stage(panels, { ...data, title: "true outline (white), predicted (blue, drag its points)" });
  const pixels = stage.canvas();
  const truth = make(stage.svg, "path", { class: "truth", d: path(data.truth, "Z") });
  for (const [cx, cy] of data.truth) make(stage.svg, "circle", { class: "true-landmark", cx, cy, r: 0.01 * data.width });
  const guess = make(stage.svg, "path", { class: "guess" });
  const circles = make(stage.svg, "g"), lit = make(stage.svg, "path", { class: "lit" });
  const rows = table(panels);
  const handles = data.truth.map((_, i) =>
    stage.handle(stage.svg, { label: `predicted landmark ${i}`, radius: 1.6, move: (place) => moved(i, place) }));

  function table(parent) {
    const list = make(parent, "div", { class: "dsw-controls dsw-list metrics", role: "group", "aria-label": "metrics" });
    return Object.entries(METRICS).map(([key, [name]]) => {
      const row = button(list, name, () => state.set("lit", key));
      for (const event of ["focus", "pointerenter"]) row.addEventListener(event, () => state.set("lit", key));
      return { key, row, value: make(row, "b") };
    });
  }

  function moved(index, place) {
    state.set("points", state.get("points").map((point, i) => (i === index ? place : point)));
  }

  function draw() {
    const points = state.get("points"), key = state.get("lit"), radius = state.get("radius");
    const found = measure(points, data.truth, { ...data, radius });
    const said = (k) => `${number(found.values[k], UNITS[k] ? 1 : 2)} ${UNITS[k] ?? data.unit}`;
    handles.forEach((handle, i) => handle.place(points[i]));
    guess.setAttribute("d", path(points, "Z"));
    for (const { key: k, row, value } of rows) {
      value.textContent = said(k);
      row.setAttribute("aria-pressed", k === key);
    }
    const [name, words, picture] = METRICS[key];
    lit.setAttribute("d", picture(found, points, data.truth));
    truth.classList.toggle("filled", key !== "dsc");
    overlap(key === "dsc" ? found.masks : null);
    hits(key === "sdr" ? found.errors : [], radius);
    caption.textContent = `${name} ${said(key)}: `;
    make(caption, "small", {}, words);
  }

  function overlap(masks) {
    stage.paint(pixels, (rgba) => {
      masks?.[0].forEach((a, i) => {
        const b = masks[1][i];
        if (a || b) rgba.set(a && b ? [255, 213, 74, 150] : [238, 102, 119, 200], 4 * i);
      });
    });
  }

  function hits(errors, radius) {
    circles.replaceChildren();
    errors.forEach((error, i) => {
      const [cx, cy] = data.truth[i], hit = error * data.spacing <= radius;
      make(circles, "circle", { class: hit ? "hit-circle" : "miss-circle", cx, cy, r: radius / data.spacing });
    });
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
