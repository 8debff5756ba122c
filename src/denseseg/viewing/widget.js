// What all widgets share: making elements, reading arrays, panels with an image, points to drag, sliders, and the tie to Python.
// `widget.py` puts this file in front of a widget's own module; that module exports `mount(el, data, state)` and `widget(mount)`.

const SVG = "http://www.w3.org/2000/svg";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function make(parent, tag, attributes = {}, text = "") {
  const element = parent.namespaceURI === SVG || tag === "svg" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  set(element, attributes);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}

// An array that Python has packed (see `packed` in widget.py).
export function decode(base64, Type) {
  return new Type(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
}

export const number = (value, digits = 1) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "none");
export const path = (points, end = "") =>
  points.length ? "M" + points.map((p) => p.map((k) => k.toFixed(2))).join("L") + end : "";
export const range = (count) => Array.from({ length: count }, (_, index) => index);

// Normal numbers (Box and Muller) from a small generator of uniform ones (mulberry32): a page must not differ from a kernel.
export function normal(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

// How far an arrow key moves something, in steps; null for other keys.
export function arrow(event) {
  const move = ARROWS[event.key];
  return move ? move.map((k) => k * (event.shiftKey ? 5 : 1)) : null;
}

// While a finger holds something, its moves must not scroll the page. CSS's touch-action says so for boxes, not within an SVG.
export function holds(element, held) {
  element.addEventListener("touchstart", (event) => held() && event.preventDefault(), { passive: false });
}

// ---- the tie to Python -------------------------------------------------------------------------------------------------

// A widget keeps what the reader changes in a state: `get`, `set` (all listeners then hear of it), `listen`, and `kernel` if it's live.
// Live, it is the model's traits, which Python reads and writes; in a page without a kernel it is an object that remembers.

export function alone(values) {
  const kept = { ...values }, listeners = [];
  return {
    get: (name) => kept[name],
    set(name, value) {
      kept[name] = value;
      listeners.forEach((heard) => heard());
    },
    listen: (heard) => listeners.push(heard),
  };
}

function live(model) {
  const listeners = [];
  return {
    kernel: true,
    get: (name) => model.get(name),
    set(name, value) {
      model.set(name, value);
      model.save_changes();
    },
    listen(heard) {
      listeners.push(heard);
      model.on("change", heard);
    },
    close: () => listeners.forEach((heard) => model.off("change", heard)),
  };
}

// What a live notebook calls; it returns what is to be done when the output goes.
export function widget(mount) {
  return {
    render({ model, el }) {
      const state = live(model);
      mount(el, model.get("data"), state);
      return state.close;
    },
  };
}

// ---- uv maps -----------------------------------------------------------------------------------------------------------

// The colour of a uv: the corner colours, given in CIELAB, interpolated bilinearly (as plots.uv_colours).
export function uvColour(corners, u, v) {
  const s = Math.min(1, Math.max(0, (u + 1) / 2)), t = Math.min(1, Math.max(0, (v + 1) / 2));
  const mix = (k) =>
    (corners[0][0][k] * (1 - s) + corners[0][1][k] * s) * (1 - t) + (corners[1][0][k] * (1 - s) + corners[1][1][k] * s) * t;
  const fy = (mix(0) + 16) / 116;
  const [X, Y, Z] = [fy + mix(1) / 500, fy, fy - mix(2) / 200].map((f, k) =>
    [0.95047, 1, 1.08883][k] * (f > 6 / 29 ? f ** 3 : (f - 16 / 116) / 7.787));
  return [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]].map((m) => {
    const linear = m[0] * X + m[1] * Y + m[2] * Z;
    return 255 * (linear > 0.0031308 ? 1.055 * Math.max(linear, 0) ** (1 / 2.4) - 0.055 : 12.92 * linear);
  });
}

// Which pixel centres lie inside a polygon, by the even-odd rule (contour.polygon_mask): each edge flips all pixels right of it.
export function polygonMask(curve, width, height) {
  const inside = new Uint8Array(width * height);
  curve.forEach(([ax, ay], i) => {
    const [bx, by] = curve[(i + 1) % curve.length];
    for (let y = 0; y < height; y++) {
      if (ay <= y === by <= y) continue;
      const crossing = ax + ((y - ay) / (by - ay)) * (bx - ax);
      for (let x = Math.max(Math.floor(crossing) + 1, 0); x < width; x++) inside[y * width + x] ^= 1;
    }
  });
  return inside;
}

// Lines of equal value of a map, as one SVG path: marching squares, straight within each cell of four valid pixels.
// value, valid: row by row, `width` a row; origin: where the first pixel lies.
export function isolines(value, valid, width, levels, origin = [0, 0]) {
  const parts = [];
  for (let i = 0; i + width < value.length; i++) {
    const column = i % width, row = Math.floor(i / width), at = [i, i + 1, i + 1 + width, i + width];
    if (column === width - 1 || !at.every((k) => valid[k])) continue;
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([x, y]) => [column + x + origin[0], row + y + origin[1]]);
    for (const level of levels) {
      const points = [];
      for (let k = 0; k < 4; k++) {
        const a = value[at[k]] - level, b = value[at[(k + 1) % 4]] - level;
        if (a < 0 === b < 0) continue;
        const [from, to] = [corners[k], corners[(k + 1) % 4]], share = a / (a - b);
        points.push([0, 1].map((d) => (from[d] + share * (to[d] - from[d])).toFixed(2)));
      }
      if (points.length === 2) parts.push(`M${points[0]}L${points[1]}`);
    }
  }
  return parts.join("");
}

// The ellipse of two standard deviations of a covariance [xx, xy, yy].
export function ellipse([xx, xy, yy]) {
  const middle = (xx + yy) / 2, off = Math.hypot((xx - yy) / 2, xy);
  const [rx, ry] = [middle + off, middle - off].map((variance) => 2 * Math.sqrt(Math.max(variance, 0)));
  return { rx, ry, turn: (90 / Math.PI) * Math.atan2(2 * xy, xx - yy) };
}

// ---- the parts of a widget ---------------------------------------------------------------------------------------------

// The widget's frame: a row of controls, a row of panels, and a caption that a screen reader reads out when it changes.
export function frame(el, label) {
  el.replaceChildren();
  const root = make(el, "div", { class: "dsw", role: "group", "aria-label": label });
  const controls = make(root, "div", { class: "dsw-controls" });
  const panels = make(root, "div", { class: "dsw-panels" });
  const caption = make(root, "div", { class: "dsw-caption", role: "status" });
  return { root, controls, panels, caption };
}

export function button(parent, text, press) {
  const element = make(parent, "button", { type: "button" }, text);
  element.addEventListener("click", press);
  return element;
}

// A row of buttons of which one is chosen; `state` keeps its value, by default its index, under `name`.
export function choice(parent, state, name, label, texts, values = range(texts.length)) {
  const group = make(parent, "div", { class: "dsw-controls", role: "group", "aria-label": label });
  const buttons = texts.map((text, index) => button(group, text, () => state.set(name, values[index])));
  const show = () => buttons.forEach((one, index) => one.setAttribute("aria-pressed", values[index] === state.get(name)));
  state.listen(show);
  show();
}

export function checkbox(parent, state, name, label) {
  const input = make(make(parent, "label", {}, label), "input", { type: "checkbox" });
  const show = () => (input.checked = state.get(name));
  input.addEventListener("change", () => state.set(name, input.checked));
  state.listen(show);
  show();
}

// A slider for the number that `state` keeps under `name`, with its value and unit beside it; `log` gives it a logarithmic scale.
export function slider(parent, state, name, { label, min, max, step, digits = 0, unit = "", log = false }) {
  const [place, value] = log ? [Math.log10, (x) => 10 ** x] : [Number, Number];
  const row = make(parent, "label", { class: "dsw-slider" });
  make(row, "span", {}, label);
  const input = make(row, "input", { type: "range", min: place(min), max: place(max), step: log ? 0.1 : step });
  const output = make(row, "output");
  const show = () => {
    input.value = place(state.get(name));
    output.textContent = `${number(state.get(name), digits)} ${unit}`.trim();
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => state.set(name, value(Number(input.value))));
  state.listen(show);
  show();
}

// A panel of width x height pixels, pixel centres at whole numbers: canvases below, an SVG in the same coordinates above.
export class Stage {
  constructor(parent, { title, width, height, label = title }) {
    Object.assign(this, { title, width, height });
    const panel = make(parent, "div", { class: "dsw-panel" }); // no figure: the book's theme has its own idea of these
    this.heading = make(panel, "div", { class: "dsw-title" }, title);
    this.stage = make(panel, "div", { class: "dsw-stage", role: "group", "aria-label": label });
    this.stage.dataset.lmSuppressShortcuts = true; // JupyterLab: these keys are ours
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.svg = make(this.stage, "svg", { viewBox: `-0.5 -0.5 ${width} ${height}` });
  }

  // A canvas of one pixel a pixel, below the SVG and above the canvases that stand already.
  canvas(attributes = {}) {
    const canvas = make(this.stage, "canvas", { width: this.width, height: this.height, ...attributes });
    this.svg.before(canvas);
    return canvas;
  }

  paint(canvas, colour) {
    const context = canvas.getContext("2d"), pixels = context.createImageData(this.width, this.height);
    colour(pixels.data);
    context.putImageData(pixels, 0, 0);
  }

  develop(canvas, grey) {
    this.paint(canvas, (rgba) => grey.forEach((value, i) => rgba.set([value, value, value, 255], 4 * i)));
  }

  // Where a pointer event is, in pixels of this panel.
  locate(event) {
    const box = this.stage.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.width - 0.5;
    return [x, ((event.clientY - box.top) / box.height) * this.height - 0.5];
  }

  inside([x, y]) {
    return [Math.min(Math.max(x, -0.5), this.width - 0.5), Math.min(Math.max(y, -0.5), this.height - 0.5)];
  }

  // A point to drag by mouse, finger or arrow keys (Shift: five steps). `move` is told the place that is asked for, within the
  // panel; whoever keeps the point then calls `place` on what this returns. A screen reader knows it as a slider of two values.
  handle(layer, { label, radius = 1, step = 1, className = "", move, look = () => {} }) {
    const size = this.width / 100;
    const role = { role: "slider", tabindex: 0, "aria-label": label, "aria-roledescription": "movable point" };
    const group = make(layer, "g", { class: `dsw-handle ${className}`, ...role });
    make(group, "circle", { class: "hit", r: 0.1 * size }); // its stroke is what a finger meets: as wide on every screen
    make(group, "circle", { class: "dot", r: radius * size });
    let at = [0, 0], offset = null;
    const go = (place) => move(this.inside(place));
    group.addEventListener("pointerdown", (event) => {
      const from = this.locate(event);
      offset = [at[0] - from[0], at[1] - from[1]]; // the point does not jump under a finger that meets its rim
      group.setPointerCapture(event.pointerId);
    });
    group.addEventListener("pointermove", (event) => offset && go(this.locate(event).map((k, d) => k + offset[d])));
    for (const end of ["pointerup", "pointercancel"]) group.addEventListener(end, () => (offset = null));
    holds(group, () => true);
    group.addEventListener("keydown", (event) => {
      const by = arrow(event);
      if (!by) return;
      go(at.map((k, d) => k + step * by[d]));
      event.preventDefault();
    });
    for (const event of ["focus", "pointerenter"]) group.addEventListener(event, look);
    const place = (point) => {
      at = point;
      const [x, y] = point.map((k) => number(k));
      set(group, { transform: `translate(${point})`, "aria-valuenow": point[0].toFixed(1), "aria-valuetext": `x ${x}, y ${y}` });
    };
    return { group, place };
  }
}
