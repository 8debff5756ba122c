// Predicted landmarks to drag: what is put right stays, and the others follow as the shape model says (geometry/shape_model.py).

import { Stage, button, decode, frame, make, number, path, range, widget } from "./widget.js";

// ---- numbers -----------------------------------------------------------------------------------------------------------

// x of the symmetric positive definite system a x = b, by Cholesky's factors; `a` is overwritten.
export function solve(a, b) {
  const n = b.length, x = [...b];
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = a[i][j];
      for (let k = 0; k < j; k++) sum -= a[i][k] * a[j][k];
      a[i][j] = i === j ? Math.sqrt(sum) : sum / a[j][j];
    }
    for (let k = 0; k < j; k++) x[j] -= a[j][k] * x[k];
    x[j] /= a[j][j];
  }
  for (let j = n - 1; j >= 0; j--) {
    for (let i = j + 1; i < n; i++) x[j] -= a[i][j] * x[i];
    x[j] /= a[j][j];
  }
  return x;
}

// All points after some are `known` (null: not), as `Errors.corrected`; factors: (2N, k) row by row.
export function corrected(points, known, factors, rest, hand) {
  const columns = factors.length / (2 * points.length), row = (i) => factors.subarray(i * columns, (i + 1) * columns);
  const told = range(2 * points.length).filter((i) => known[i >> 1] && points[i >> 1]);
  const rows = told.map(row), apart = told.map((i) => known[i >> 1][i & 1] - points[i >> 1][i & 1]);
  const dot = (p, q) => p.reduce((sum, value, k) => sum + value * q[k], 0);
  const total = rows.map((p, i) => rows.map((q, j) => dot(p, q) + (i === j ? rest + hand * hand : 0)));
  const weights = solve(total, apart);
  const along = range(columns).map((k) => rows.reduce((sum, p, i) => sum + p[k] * weights[i], 0));
  return points.map((point, n) => known[n] ?? (point && point.map((value, d) => value + dot(row(2 * n + d), along))));
}

// The file of LabelMe, which counts from the corner of the first pixel.
export function labelme({ name, ids, width, height }, points) {
  const shapes = points.flatMap((point, n) => (point ? [{ label: ids[n], points: [point.map((k) => k + 0.5)], shape_type: "point", flags: {} }] : []));
  return JSON.stringify({ version: "6.3.1", flags: {}, shapes, imagePath: `${name}.png`, imageData: null, imageHeight: height, imageWidth: width });
}

// ---- the picture -------------------------------------------------------------------------------------------------------

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "correction tool");
  root.classList.add("correction-tool");
  const factors = decode(data.factors, Float32Array), none = data.points.map(() => null);
  button(controls, "undo all", () => state.set("known", none));
  button(controls, "save for LabelMe", download);
  const stage = new Stage(panels, { ...data, title: data.name });
  stage.develop(stage.canvas(), decode(data.image, Uint8Array));
  const layer = make(stage.svg, "g"), lines = data.structures.map(({ colour }) => make(layer, "path", { class: "line", stroke: colour }));
  const handles = data.points.map((point, n) => {
    if (!point) return null;
    const { colour } = data.structures.find(({ stop }) => n < stop);
    const handle = stage.handle(stage.svg, { label: data.ids[n], radius: 0.7, move: (at) => put(n, at) });
    handle.group.style.setProperty("--own", colour);
    return handle;
  });
  let now = data.points;

  function put(n, at) {
    state.set("known", state.get("known").map((old, i) => (i === n ? at.map((value) => Math.round(value * 100) / 100) : old)));
  }

  function download() {
    const url = URL.createObjectURL(new Blob([labelme(data, now)], { type: "application/json" }));
    const link = make(root, "a", { href: url, download: `${data.name}.json` });
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  function draw() {
    const known = state.get("known");
    now = corrected(data.points, known, factors, data.rest, data.hand);
    data.structures.forEach(({ start, stop, line, closed }, s) =>
      lines[s].setAttribute("d", line ? path(now.slice(start, stop).filter(Boolean), closed ? "Z" : "") : ""));
    handles.forEach((handle, n) => {
      handle?.place(now[n]);
      handle?.group.classList.toggle("known", Boolean(known[n]));
    });
    const moved = now.map((point, n) => (point && !known[n] ? Math.hypot(...point.map((k, d) => k - data.points[n][d])) : 0));
    caption.textContent = `${known.filter(Boolean).length} of ${known.length} landmarks put right; the others moved by up to ${number(Math.max(...moved) * data.spacing)} ${data.unit}.`;
    make(caption, "small", {}, "Drag, or Tab and arrow keys. Filled points are where you put them; the others follow as shapes of the training cases vary.");
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
