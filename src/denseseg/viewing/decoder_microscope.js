// One landmark read from a uv map in two ways, under a microscope: Equation 3's nearest pixels against the local affine fit.
// Both are those of geometry/decode.py (`published_inversion`, with a temperature, and `affine_inversion`).

import { Stage, button, decode, frame, make, normal, number, path, slider, widget } from "./widget.js";

const REACH = 6; // pixels of the window on each side of the landmark
const RADIUS = 3, SIGMA = 1.5, STEPS = 3; // of the affine fit

// ---- the map -----------------------------------------------------------------------------------------------------------

// The pixels of the mask, row by row, each { x, y, u, v }; noise of `sd` pixels, the same for the same seed.
export function pixels({ x, y, width, height, uv, extent }, sd, seed) {
  const values = decode(uv, Float32Array), area = width * height, draw = normal(seed), found = [];
  for (let i = 0; i < area; i++) {
    if (Number.isNaN(values[i])) continue;
    const [u, v] = [0, 1].map((d) => values[i + d * area] + (sd * draw()) / extent[d]);
    found.push({ x: x + (i % width), y: y + Math.floor(i / width), u, v });
  }
  return found;
}

// The k pixels with the nearest uv, each with its distance; `scale` measures u and v.
function nearest(map, [u, v], k, scale = [1, 1]) {
  const far = map.map((p) => ({ ...p, distance: Math.hypot((p.u - u) * scale[0], (p.v - v) * scale[1]) }));
  return far.sort((a, b) => a.distance - b.distance).slice(0, k);
}

// ---- the two decoders --------------------------------------------------------------------------------------------------

// Equation 3: the mean of the k nearest pixels, weighted by a softmax of -distance / temperature; the paper's temperature is 1.
export function published(map, target, k, temperature) {
  const near = nearest(map, target, k);
  near.forEach((p) => (p.weight = Math.exp((near[0].distance - p.distance) / temperature)));
  const total = near.reduce((sum, p) => sum + p.weight, 0);
  near.forEach((p) => (p.weight /= total));
  return { near, point: ["x", "y"].map((d) => near.reduce((sum, p) => sum + p.weight * p[d], 0)) };
}

// Weighted least squares uv = b + A (x - centre) over the window round a pixel of the mask; weights fall off from `point`.
function fit(map, centre, point, sigma) {
  const rows = [];
  for (const p of map) {
    const dx = p.x - centre[0], dy = p.y - centre[1];
    if (Math.max(Math.abs(dx), Math.abs(dy)) > RADIUS) continue;
    const squared = (p.x - point[0]) ** 2 + (p.y - point[1]) ** 2;
    rows.push({ dx, dy, u: p.u, v: p.v, weight: Math.exp(-squared / (2 * sigma ** 2)) });
  }
  const total = rows.reduce((sum, r) => sum + r.weight, 0);
  const mean = (value) => rows.reduce((sum, r) => sum + r.weight * value(r), 0) / total;
  const [mx, my, mu, mv] = ["dx", "dy", "u", "v"].map((k) => mean((r) => r[k]));
  const xx = mean((r) => r.dx * r.dx) - mx * mx + 1e-7, yy = mean((r) => r.dy * r.dy) - my * my + 1e-7;
  const xy = mean((r) => r.dx * r.dy) - mx * my, det = xx * yy - xy * xy;
  const slope = (k, middle) => {
    const x = mean((r) => (r[k] - middle) * r.dx), y = mean((r) => (r[k] - middle) * r.dy);
    return [(x * yy - y * xy) / det, (y * xx - x * xy) / det];
  };
  const A = [slope("u", mu), slope("v", mv)];
  return { A, b: [mu - A[0][0] * mx - A[0][1] * my, mv - A[1][0] * mx - A[1][1] * my], count: rows.length };
}

// From the nearest pixel, three times: fit, solve for the landmark's uv, centre the window there if the mask goes on.
export function affine(map, target, extent) {
  const [start] = nearest(map, target, 1, extent), sigma = Math.min(Math.max(0.08 * Math.sqrt(map.length), 0.5), SIGMA);
  let centre = [start.x, start.y], point = centre, last = null;
  for (let round = 0; round < STEPS; round++) {
    const { A, b, count } = fit(map, centre, point, sigma), [[a, c], [d, e]] = A;
    const [du, dv] = [target[0] - b[0], target[1] - b[1]], det = a * e - c * d;
    const step = [(e * du - c * dv) / det, (a * dv - d * du) / det], size = Math.hypot(...step);
    if (count >= 6 && size <= 2 * RADIUS) {
      const share = Math.min(1, RADIUS / Math.max(size, 1e-12));
      point = centre.map((k, i) => k + step[i] * share);
      last = { A, b, centre };
    }
    const pixel = point.map(Math.round);
    if (map.some((p) => p.x === pixel[0] && p.y === pixel[1])) centre = pixel;
  }
  return { point, last };
}

// ---- the picture -------------------------------------------------------------------------------------------------------

// The line on which the fit takes one value of u (d = 0) or v (d = 1), long enough to leave the window.
function line({ A, b, centre }, target, d) {
  const [gx, gy] = A[d], norm = gx * gx + gy * gy, off = (target[d] - b[d]) / norm, far = 40 / Math.sqrt(norm);
  const foot = [centre[0] + gx * off, centre[1] + gy * off];
  return path([-1, 1].map((side) => [foot[0] - side * far * gy, foot[1] + side * far * gx]));
}

const cross = ([x, y], r) => `M${x - r},${y - r}L${x + r},${y + r}M${x - r},${y + r}L${x + r},${y - r}`;
const plus = ([x, y], r) => `M${x - r},${y}H${x + r}M${x},${y - r}V${y + r}`;

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "decoder microscope");
  root.classList.add("microscope");
  slider(controls, state, "landmark", { label: "landmark", min: 0, max: data.targets.length - 1, step: 1 });
  slider(controls, state, "k", { label: "k, pixels", min: 1, max: 25, step: 1 });
  slider(controls, state, "temperature", { label: "temperature", min: 0.001, max: 10, digits: 3, log: true });
  slider(controls, state, "noise", { label: "noise", min: 0, max: 2, step: 0.05, digits: 2, unit: "px" });
  button(controls, "new noise", () => state.set("seed", state.get("seed") + 1));

  const side = 2 * REACH + 1, view = { width: side, height: side };
  const image = new Stage(panels, { ...view, title: "pixels round the landmark" });
  const plane = new Stage(panels, { ...view, title: "the same pixels in uv" });
  const window_ = make(image.svg, "g"), cloud = make(plane.svg, "g", { transform: `translate(${REACH},${REACH})` });

  function draw() {
    const [landmark, k, temperature] = ["landmark", "k", "temperature"].map(state.get);
    const map = pixels(data, state.get("noise"), state.get("seed")), target = data.targets[landmark], truth = data.truth[landmark];
    const three = published(map, target, k, temperature), two = affine(map, target, data.extent);
    drawWindow(map, target, truth, three, two);
    drawPlane(map, target, three);
    tell(map, landmark, k, temperature, three, two);
  }

  function drawWindow(map, target, truth, three, two) {
    const middle = truth.map(Math.round);
    window_.replaceChildren();
    window_.setAttribute("transform", `translate(${REACH - middle[0]},${REACH - middle[1]})`);
    for (const p of map) {
      if (Math.max(Math.abs(p.x - middle[0]), Math.abs(p.y - middle[1])) > REACH) continue;
      const far = Math.hypot((p.u - target[0]) * data.extent[0], (p.v - target[1]) * data.extent[1]); // in template pixels
      const light = Math.round(25 + 45 * Math.min(far / 8, 1));
      make(window_, "rect", { x: p.x - 0.5, y: p.y - 0.5, width: 1, height: 1, fill: `hsl(212 25% ${light}%)` });
    }
    for (const p of three.near) {
      make(window_, "path", { class: "pull", d: path([[p.x, p.y], three.point]) });
      const box = { x: p.x - 0.46, y: p.y - 0.46, width: 0.92, height: 0.92 };
      make(window_, "rect", { class: "near", ...box, "fill-opacity": p.weight });
    }
    if (two.last) [0, 1].forEach((d) => make(window_, "path", { class: `crossing ${"uv"[d]}`, d: line(two.last, target, d) }));
    make(window_, "circle", { class: "truth", cx: truth[0], cy: truth[1], r: 0.42 });
    make(window_, "path", { class: "published", d: cross(three.point, 0.32) });
    make(window_, "path", { class: "affine", d: plus(two.point, 0.42) });
  }

  // The landmark's own uv in the middle, pixels as dots, in template pixels: those of the window, and the nearest joined to it.
  function drawPlane(map, target, three) {
    const at = (p) => [(p.u - target[0]) * data.extent[0], (p.v - target[1]) * data.extent[1]];
    cloud.replaceChildren();
    for (const p of map) {
      const [cx, cy] = at(p);
      if (Math.max(Math.abs(cx), Math.abs(cy)) < REACH + 1) make(cloud, "circle", { class: "pixel", cx, cy, r: 0.16 });
    }
    for (const p of three.near) {
      make(cloud, "path", { class: "pull", d: path([at(p), [0, 0]]) });
      make(cloud, "circle", { class: "near", cx: at(p)[0], cy: at(p)[1], r: 0.28, "fill-opacity": 0.2 + 0.8 * p.weight });
    }
    make(cloud, "circle", { class: "truth", cx: 0, cy: 0, r: 0.42 });
  }

  function tell(map, landmark, k, temperature, three, two) {
    const off = (point, i) => Math.hypot(point[0] - data.truth[i][0], point[1] - data.truth[i][1]) * data.spacing;
    const sum = (decoder) => data.targets.reduce((total, target, i) => total + off(decoder(target), i), 0);
    const one = (point) => `${number(off(point, landmark), 2)} ${data.unit}`;
    const mean = (decoder) => `mean of all landmarks ${number(sum(decoder) / data.targets.length, 2)} ${data.unit}`;
    const weights = three.near.map((p) => number(100 * p.weight, 0)), few = weights.slice(0, 5).join(", ") + (k > 5 ? ", …" : "");
    const rows = [
      ["published", `Equation 3 (×) at (${number(three.point[0], 2)}, ${number(three.point[1], 2)}): off by ${one(three.point)}`,
        `weights ${few} %; ${mean((target) => published(map, target, k, temperature).point)}`],
      ["affine", `affine fit (+) at (${number(two.point[0], 2)}, ${number(two.point[1], 2)}): off by ${one(two.point)}`,
        mean((target) => affine(map, target, data.extent).point)],
    ];
    caption.replaceChildren();
    for (const [name, text, more] of rows) make(make(caption, "p", { class: name }, text), "small", {}, more);
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
