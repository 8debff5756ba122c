// Two panels joined by uv coordinates: a place in one is shown at the place with the same uv in the other.
// A panel is an image or a template; it has one chart (uv map) per structure. Nothing below asks which of the two it is.

import { Chart, unpacked } from "./chart.js";
import { Stage, arrow, decode, frame, holds, make, number, uvColour, widget } from "./widget.js";

const LEVELS = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1];

// ---- one panel ---------------------------------------------------------------------------------------------------------

class Panel extends Stage {
  constructor(parent, side, data) {
    super(parent, { ...side, label: `${side.title}. Arrow keys move the cursor, Enter places a landmark.` });
    Object.assign(this, { data, spacing: side.spacing });
    this.charts = side.charts.map((chart) => chart && new Chart(unpacked(chart)));
    this.known = new WeakMap(); // uv of a landmark -> its place here; a moved landmark has a new uv array
    for (const [name, value] of [["tabindex", 0], ["role", "application"]]) this.stage.setAttribute(name, value);
    this.stage.classList.add("uvx-stage");
    this.svg.setAttribute("aria-hidden", true);
    this.film = this.canvas({ class: "film" });
    this.overlay = this.canvas();
    for (const layer of ["lines", "marks", "pointer", "scale"]) this[layer] = make(this.svg, "g");
    if (side.image) this.develop(this.film, decode(side.image, Uint8Array));
    this.drawScale();
  }

  find(structure, uv) {
    if (!this.known.has(uv)) this.known.set(uv, this.charts[structure]?.find(...uv) ?? null);
    return this.known.get(uv);
  }

  drawScale() {
    const unit = this.spacing ? "mm" : "px", scale = this.spacing || 1, third = (this.width * scale) / 3;
    const power = 10 ** Math.floor(Math.log10(third)), length = power * [5, 2, 1].find((s) => s * power <= third);
    const x = 0.04 * this.width, y = 0.96 * this.height;
    make(this.scale, "path", { class: "bar", d: `M${x},${y}h${length / scale}` });
    const style = { x, y: y - 0.02 * this.height, "font-size": 0.04 * this.width, "stroke-width": 0.008 * this.width };
    make(this.scale, "text", style, `${length} ${unit}`);
  }

  // Colours and lines of the chosen structure; the outlines of all of them, through the landmarks.
  show(chosen, landmarks, isolines) {
    const chart = this.charts[chosen];
    this.paint(this.overlay, (rgba) => {
      chart?.valid.forEach((valid, i) => {
        const x = chart.x + (i % chart.width), y = chart.y + Math.floor(i / chart.width);
        if (valid) rgba.set([...uvColour(this.data.corners, chart.u[i], chart.v[i]), 255], 4 * (y * this.width + x));
      });
    });
    this.lines.replaceChildren();
    if (isolines && chart)
      for (const channel of ["u", "v"]) {
        make(this.lines, "path", { class: "iso", d: chart.isolines(channel, LEVELS) });
        make(this.lines, "path", { class: "iso zero", d: chart.isolines(channel, [0]) });
      }
    this.data.structures.forEach((structure, c) => {
      const points = landmarks.filter((mark) => mark.structure === c && !mark.isNew).map((mark) => this.find(c, mark.home));
      const d = structure.contour ? "M" + points.filter(Boolean).map((p) => p.map((k) => k.toFixed(2))).join("L") + "Z" : "";
      if (d.length > 2) make(this.lines, "path", { class: c === chosen ? "outline" : "faint", d });
    });
  }

  // The landmarks of the chosen structure; a moved one keeps a dashed line to where it was.
  mark(chosen, landmarks, held) {
    this.marks.replaceChildren();
    const size = this.width / 100;
    for (const landmark of landmarks.filter((mark) => mark.structure === chosen)) {
      const place = this.find(chosen, landmark.uv), home = this.find(chosen, landmark.home);
      if (!place) continue;
      const [cx, cy] = place;
      if (home && Math.hypot(home[0] - cx, home[1] - cy) > 0.5) make(this.marks, "path", { class: "ghost", d: `M${home}L${place}` });
      const kind = `landmark${landmark.isNew ? " new" : ""}${landmark === held ? " held" : ""}`;
      const shape = make(this.marks, "circle", { class: kind, cx, cy, r: (landmark.isNew ? 1.5 : 1) * size });
      shape.style.setProperty("--colour", this.data.structures[chosen].colour);
      const style = { x: cx + 2.2 * size, y: cy - 1.6 * size, "font-size": 4 * size, "stroke-width": 0.8 * size };
      if (landmark.isNew) make(this.marks, "text", style, landmark.name);
    }
  }

  point(place) {
    this.pointer.replaceChildren();
    if (!place) return;
    const [x, y] = place, r = 0.022 * this.width, far = 2.2 * r;
    make(this.pointer, "circle", { class: "cursor", cx: x, cy: y, r });
    const d = `M${x - far},${y}H${x - r / 3}M${x + r / 3},${y}H${x + far}M${x},${y - far}V${y - r / 3}M${x},${y + r / 3}V${y + far}`;
    make(this.pointer, "path", { class: "cursor", d });
  }

  structureAt(place) {
    return this.charts.findIndex((chart) => chart?.at(...place));
  }

  say([x, y]) {
    const pixels = `(${number(x)}, ${number(y)}) px`;
    return this.spacing ? `${pixels} = (${number(x * this.spacing)}, ${number(y * this.spacing)}) mm` : pixels;
  }
}

// ---- the whole ---------------------------------------------------------------------------------------------------------

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "uv explorer");
  root.classList.add("uvx");
  const choices = make(root, "div", { class: "dsw-controls", role: "group", "aria-label": "structure" });
  controls.before(choices);
  const buttons = data.structures.map((structure, c) => {
    const button = make(choices, "button", { type: "button", style: `--colour: ${structure.colour}` });
    make(button, "i");
    button.append(structure.name);
    button.addEventListener("click", () => choose(c));
    return button;
  });
  const opacity = make(make(controls, "label", {}, "uv colours"), "input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.6 });
  const isolines = make(make(controls, "label", {}, "u, v lines"), "input", { type: "checkbox" });
  const reset = make(controls, "button", { type: "button" }, "reset landmarks");
  const [left, right] = data.sides.map((side) => new Panel(panels, side, data));

  let landmarks, chosen = 0, held = null, cursor = null, touched = false, told = null;
  const other = (panel) => (panel === left ? right : left);

  // The template's landmarks, and those of the state: moved by their name, or new.
  function begin() {
    landmarks = data.landmarks.map(([structure, ...uv], index) => ({ structure, uv, home: uv, name: `landmark ${index}` }));
    told = state.get("landmarks");
    for (const { name, structure, u, v } of told) {
      const known = landmarks.find((mark) => mark.name === name), uv = [u, v];
      const c = data.structures.findIndex((one) => one.name === structure);
      if (known) known.uv = uv;
      else if (c >= 0) landmarks.push({ structure: c, uv, home: uv, name, isNew: true });
    }
    reset.disabled = !told.length;
    choose(chosen);
  }

  function choose(c) {
    chosen = c;
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", k === c));
    for (const panel of [left, right]) {
      panel.show(c, landmarks, isolines.checked);
      panel.mark(c, landmarks);
      panel.point(null);
    }
    hint();
  }

  function hint() {
    const name = data.structures[chosen].name;
    caption.textContent = `Point at the ${name} in either panel to see the same place in the other. `;
    make(caption, "small", {}, "Drag a landmark, or click to place a new one: any place with a uv is a landmark, also one never trained.");
  }

  // Caption and cursors for the place (x, y) of a panel.
  function look(panel, place, mark) {
    cursor = { panel, place };
    const structure = data.structures[chosen].name, uv = panel.charts[chosen]?.at(...place);
    const twin = uv && other(panel).find(chosen, uv);
    panel.point(place);
    other(panel).point(twin);
    caption.textContent = "";
    const elsewhere = data.structures[panel.structureAt(place)]?.name;
    const advice = elsewhere ? `click to choose the ${elsewhere}` : "no uv here";
    const head = uv ? `${structure}: u = ${number(uv[0], 2)}, v = ${number(uv[1], 2)}` : `outside the ${structure}: ${advice}`;
    make(caption, "b", {}, mark && uv ? `${mark.name}, ${head}` : head);
    const there = twin ? `${other(panel).title}: ${other(panel).say(twin)}` : `${other(panel).title}: no such place`;
    make(caption, "small", {}, `${panel.title}: ${panel.say(place)}`);
    if (uv) make(caption, "small", {}, there);
    return uv;
  }

  function changed() {
    const moved = landmarks.filter((mark) => mark.isNew || mark.uv !== mark.home);
    reset.disabled = !moved.length;
    told = moved.map((mark) => ({ name: mark.name, structure: data.structures[mark.structure].name, u: mark.uv[0], v: mark.uv[1] }));
    state.set("landmarks", told);
  }

  function redraw() {
    for (const panel of [left, right]) panel.mark(chosen, landmarks, held);
  }

  function place(panel, at) {
    const uv = panel.charts[chosen]?.at(...at);
    if (!uv) return null;
    const name = `new ${landmarks.filter((mark) => mark.isNew).length + 1}`;
    const mark = { structure: chosen, uv, home: uv, name, isNew: true };
    landmarks.push(mark);
    return mark;
  }

  // The landmark under the pointer, with a wider reach for fingers.
  function grab(panel, at) {
    const reach = ((touched ? 14 : 9) / panel.stage.clientWidth) * panel.width;
    const near = landmarks
      .filter((mark) => mark.structure === chosen)
      .map((mark) => ({ mark, at: panel.find(chosen, mark.uv) }))
      .map((item) => ({ ...item, distance: item.at ? Math.hypot(item.at[0] - at[0], item.at[1] - at[1]) : Infinity }))
      .sort((a, b) => a.distance - b.distance)[0];
    return near?.distance <= reach ? near.mark : null;
  }

  for (const panel of [left, right]) {
    const stage = panel.stage;
    stage.addEventListener("pointermove", (event) => {
      const uv = look(panel, panel.locate(event), held);
      stage.style.cursor = held ? "grabbing" : grab(panel, panel.locate(event)) ? "grab" : "crosshair";
      if (held && uv) {
        held.uv = uv;
        redraw();
      }
    });
    stage.addEventListener("pointerdown", (event) => {
      const at = panel.locate(event);
      touched = event.pointerType === "touch"; // a finger that goes down may scroll the page: it places with its click
      held = grab(panel, at);
      if (!held && !panel.charts[chosen]?.at(...at) && panel.structureAt(at) >= 0) {
        choose(panel.structureAt(at));
        touched = false;
      } else held ??= touched ? null : place(panel, at);
      if (held) stage.setPointerCapture(event.pointerId);
      look(panel, at, held);
      redraw();
    });
    holds(stage, () => held);
    stage.addEventListener("click", (event) => {
      const at = panel.locate(event);
      if (touched && !grab(panel, at) && place(panel, at)) redraw(), changed();
    });
    for (const end of ["pointerup", "pointercancel"])
      stage.addEventListener(end, () => {
        if (held) changed();
        held = null;
        redraw();
      });
    stage.addEventListener("pointerleave", (event) => {
      if (held || event.pointerType === "touch") return;
      left.point(null);
      right.point(null);
    });
    stage.addEventListener("keydown", (event) => {
      const move = arrow(event);
      const at = cursor?.panel === panel ? cursor.place : panel.charts[chosen]?.find(0, 0) ?? [panel.width / 2, panel.height / 2];
      if (move) look(panel, at.map((k, d) => k + move[d]));
      else if (event.key === "Enter") look(panel, at, place(panel, at)), redraw(), changed();
      else return;
      event.preventDefault();
    });
  }

  const fade = () => [left, right].forEach((panel) => (panel.overlay.style.opacity = opacity.value));
  opacity.addEventListener("input", fade);
  isolines.addEventListener("change", () => choose(chosen));
  reset.addEventListener("click", () => state.set("landmarks", []));
  state.listen(() => state.get("landmarks") === told || begin()); // from Python, or reset
  fade();
  begin();
}

export default widget(mount);
