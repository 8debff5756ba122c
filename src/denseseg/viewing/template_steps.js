// A template step by step: shapes on one sheet, aligned or not, their mean, and the map that one of them then has to this mean.
// The alignment is that of geometry/similarity.py; the map is the exact spline of geometry/spline.py on the case's pixels.

import { Stage, button, choice, decode, frame, isolines, make, number, path, polygonMask, range, set, slider, widget } from "./widget.js";

const ROUNDS = 3; // as similarity.procrustes_mean
const SMOOTHING = 1e-6; // none to speak of: two landmarks may lie in one place
const MINE = 1; // the reader's case; the first one is the frame of aligned shapes
const LEVELS = [-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75];

// ---- the mean ----------------------------------------------------------------------------------------------------------

const sum = (values) => values.reduce((total, value) => total + value, 0);
const centre = (points) => [0, 1].map((d) => sum(points.map((point) => point[d])) / points.length);
const meanShape = (shapes) => shapes[0].map((_, i) => centre(shapes.map((shape) => shape[i])));
const gap = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const area = (shape) => Math.abs(sum(shape.map(([x, y], i) => {
  const [nextX, nextY] = shape[(i + 1) % shape.length];
  return (x * nextY - nextX * y) / 2;
})));

// Carried onto the target by least squares: from step 1 on moved, from 2 on turned, at 3 scaled (similarity.umeyama).
function aligned(shape, target, steps) {
  if (!steps) return shape;
  const from = centre(shape), to = centre(target);
  const mine = shape.map(([x, y]) => [x - from[0], y - from[1]]), theirs = target.map(([x, y]) => [x - to[0], y - to[1]]);
  const dot = sum(mine.map(([x, y], i) => x * theirs[i][0] + y * theirs[i][1]));
  const cross = sum(mine.map(([x, y], i) => x * theirs[i][1] - y * theirs[i][0]));
  const angle = steps > 1 ? Math.atan2(cross, dot) : 0;
  const scale = steps > 2 ? Math.hypot(dot, cross) / sum(mine.map(([x, y]) => x * x + y * y)) : 1;
  const [c, s] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  return mine.map(([x, y]) => [to[0] + c * x - s * y, to[1] + s * x + c * y]);
}

// Shapes aligned to their mean, and it, in the frame of the first shape (similarity.procrustes_mean); without steps as they are.
export function construct(shapes, steps) {
  let mean = steps ? shapes[0] : meanShape(shapes);
  for (let round = 0; steps && round < ROUNDS; round++)
    mean = aligned(meanShape(shapes.map((shape) => aligned(shape, mean, steps))), shapes[0], steps);
  const on = shapes.map((shape) => aligned(shape, mean, steps));
  const squares = on.flatMap((shape) => shape.map((point, i) => gap(point, mean[i]) ** 2));
  return { mean, shapes: on, spread: Math.sqrt(sum(squares) / squares.length), size: area(mean) / (sum(on.map(area)) / on.length) };
}

// ---- the map -----------------------------------------------------------------------------------------------------------

const kernel = (a, b) => {
  const squared = Math.max((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2, 1e-20);
  return squared * Math.log(squared);
};

// The right-hand sides, behind the square matrix in the same rows, become the solution (Gauss and Jordan, with pivots).
function solve(rows) {
  const n = rows.length;
  for (let k = 0; k < n; k++) {
    const best = range(n).slice(k).reduce((a, b) => (Math.abs(rows[b][k]) > Math.abs(rows[a][k]) ? b : a));
    [rows[k], rows[best]] = [rows[best], rows[k]];
    rows.forEach((row, i) => {
      const share = i === k ? 0 : row[k] / rows[k][k];
      if (share) for (let j = k; j < row.length; j++) row[j] -= share * rows[k][j];
    });
  }
  return rows.map((row, k) => row.slice(n).map((value) => value / row[k]));
}

// The thin-plate spline from points to values (spline.fit_spline).
function spline(points, values) {
  const origin = centre(points), scale = Math.sqrt(sum(points.map((point) => gap(point, origin) ** 2)) / points.length);
  const normal = (point) => point.map((k, d) => (k - origin[d]) / scale);
  const x = points.map(normal), basis = (p) => [...x.map((q) => kernel(p, q)), 1, ...p];
  const rows = x.map((p, i) => [...basis(p), ...values[i]]), linear = x.map((p) => [1, ...p]);
  rows.forEach((row, i) => (row[i] += SMOOTHING));
  const weights = solve([...rows, ...range(3).map((k) => [...linear.map((row) => row[k]), 0, 0, 0, 0, 0])]);
  return (point) => {
    const terms = basis(normal(point));
    return [0, 1].map((d) => terms.reduce((total, term, i) => total + term * weights[i][d], 0));
  };
}

// A case's uv at each pixel within its outline, with the mean as template, and where it folds (uvmap.fold_over_share).
export function uvMap(points, mean, { x, y, width, height }) {
  const [low, high] = [Math.min, Math.max].map((most) => [0, 1].map((d) => most(...mean.map((point) => point[d]))));
  const half = [0, 1].map((d) => Math.max((high[d] - low[d]) / 2, 0.5));
  const at = spline(points, mean.map((point) => point.map((k, d) => (k - low[d]) / half[d] - 1)));
  const valid = polygonMask(points.map((point) => [point[0] - x, point[1] - y]), width, height);
  const [u, v] = [0, 1].map(() => new Float64Array(width * height));
  valid.forEach((inside, i) => inside && ([u[i], v[i]] = at([x + (i % width), y + Math.floor(i / width)])));
  const inner = [...valid.keys()].filter((i) => valid[i] && (i + 1) % width && valid[i + 1] && valid[i + width]);
  const turns = (i) => (u[i + 1] - u[i]) * (v[i + width] - v[i]) - (u[i + width] - u[i]) * (v[i + 1] - v[i]) <= 0;
  const folds = inner.filter(turns);
  return { u, v, valid, folds, share: folds.length / Math.max(inner.length, 1) };
}

// ---- the picture -------------------------------------------------------------------------------------------------------

const STEPS = { none: "not aligned", translation: "translation", rotation: "+ rotation", scale: "+ scale" };
const NUMBERINGS = { right: "right numbers", swapped: "two swapped", shifted: "shifted by one", reversed: "reversed" };

// Which landmark of n stands at each place of the list.
function order(numbering, n) {
  const [a, b] = [n >> 2, n >> 1], wrong = { swapped: { [a]: b, [b]: a } }[numbering] ?? {};
  const place = { shifted: (i) => (i + 1) % n, reversed: (i) => n - 1 - i }[numbering] ?? ((i) => wrong[i] ?? i);
  return range(n).map(place);
}

// The shapes as their films lie on a table, `askew` between 0 (as they were taken) and 1; the reader's case is one of them.
export function laid(data, mine, askew, count) {
  return range(count).map((k) => (k === MINE ? mine : data.shapes[k]).map(([x, y]) => {
    const [a, b, right, down] = data.poses[k];
    return [x + askew * (a * x - b * y + right - x), y + askew * (b * x + a * y + down - y)];
  }));
}

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "a template step by step");
  root.classList.add("template-steps");
  const names = Object.keys(STEPS), original = data.shapes[MINE], n = original.length;
  choice(controls, state, "alignment", "alignment", Object.values(STEPS), names);
  slider(controls, state, "askew", { label: "films askew", min: 0, max: 1, step: 0.1, digits: 1 });
  choice(controls, state, "numbering", "numbering of your case", Object.values(NUMBERINGS), Object.keys(NUMBERINGS));
  slider(controls, state, "count", { label: "shapes", min: 2, max: data.shapes.length, step: 1 });
  button(controls, "undo my drags", () => state.set("points", original));

  const film = new Stage(panels, { ...data, title: "your case (drag its points)" });
  film.develop(film.canvas(), decode(data.image, Uint8Array));
  const red = film.canvas(), from = ([x, y]) => ({ transform: `translate(${-x},${-y})` });
  const [lines, texts] = [0, 1].map(() => make(film.svg, "g", { ...from([data.x, data.y]), "aria-hidden": true }));
  const move = (i, place) => {
    const moved = [place[0] + data.x, place[1] + data.y];
    state.set("points", state.get("points").map((point, k) => (k === i ? moved : point)));
  };
  const handles = original.map((_, i) =>
    film.handle(film.svg, { label: `landmark ${i} of your case`, radius: 1.5, move: (place) => move(i, place) }));
  const sheet = make(new Stage(panels, { ...data, title: "all shapes, mean in yellow" }).svg, "g", from(data.sheet));

  function draw() {
    const [points, count, askew, numbering] = ["points", "count", "askew", "numbering"].map(state.get);
    const mine = order(numbering, n).map((i) => points[i]), steps = names.indexOf(state.get("alignment"));
    const built = construct(laid(data, mine, askew, count), steps);
    const before = construct(laid(data, original, askew, count), steps).mean, map = uvMap(mine, built.mean, data);
    const off = mine.map((point, i) => gap(point, original[i])), worst = off.indexOf(Math.max(...off));
    drawFilm(points, mine, map);
    drawSheet(built, before, off[worst] ? worst : null);
    tell(built, map, count, worst, off[worst], gap(built.mean[worst], before[worst]));
  }

  function drawFilm(points, mine, map) {
    film.paint(red, (rgba) => map.folds.forEach((i) => rgba.set([238, 102, 119, 235], 4 * i)));
    lines.replaceChildren();
    for (const name of ["u", "v"])
      make(lines, "path", { class: `iso ${name}`, d: isolines(map[name], map.valid, data.width, LEVELS, [data.x, data.y]) });
    make(lines, "path", { class: "mine", d: path(mine, "Z") });
    points.forEach((point, i) => handles[i].place([point[0] - data.x, point[1] - data.y]));
    texts.replaceChildren();
    const middle = centre(points), size = 0.045 * data.width, every = n >> 2;
    mine.forEach(([x, y], i) => {
      if (i % every || i + every > n) return; // the last one would stand too near to the first
      const away = gap([x, y], middle) || 1, [dx, dy] = [(x - middle[0]) / away, (y - middle[1]) / away];
      make(texts, "text", { x: x + 1.3 * size * dx, y: y + 1.3 * size * dy + 0.35 * size, "font-size": size, "stroke-width": 0.2 * size }, `${i}`);
    });
  }

  function drawSheet({ shapes, mean }, before, worst) {
    sheet.replaceChildren();
    shapes.forEach((shape, k) => make(sheet, "path", { class: k === MINE ? "shape mine" : "shape", d: path(shape, "Z") }));
    make(sheet, "path", { class: "before", d: path(before, "Z") });
    make(sheet, "path", { class: "mean", d: path(mean, "Z") });
    if (worst === null) return;
    for (const [name, [cx, cy]] of [["mine", shapes[MINE][worst]], ["mean", mean[worst]]])
      make(sheet, "circle", { class: `${name} dot`, cx, cy, r: 0.018 * data.width });
  }

  function tell({ spread, size }, { share }, count, worst, off, follows) {
    const said = (value) => `${number(value * data.spacing)} ${data.unit}`;
    caption.textContent = `Mean of ${count} shapes: spread ${said(spread)}, area ${number(100 * size, 0)} % of theirs.`;
    const moved = `Landmark ${worst} of your case is off by ${said(off)}, that of the mean by ${said(follows)}.`;
    make(caption, "p", { class: "moved" }, off ? moved : "Drag a point of your case, or spoil its numbers: dashed is the mean before.");
    make(caption, "p", { class: "folds" }, `Your case's map: ${number(100 * share)} % of it folds${share ? " (red)" : ""}.`);
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
