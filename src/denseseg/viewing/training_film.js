// What a network predicted of some cases at several stages of its training: its uv maps, the true ones, and the error as colour.

import { Stage, button, checkbox, choice, decode, ellipse, frame, isolines, make, number, path, range, uvColour, widget } from "./widget.js";

const LEVELS = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1];
const BRIGHTEST = 0.15; // of the image's width: errors from there on are the brightest
const PAUSE = 700; // ms of each stage while the film runs

// ---- maps and numbers --------------------------------------------------------------------------------------------------

// For each structure { valid, u, v }, row by row; see `_maps` in training_film.py.
export function unpack({ mask, uv }, { structures, width, height, limit }) {
  const bits = decode(mask, Uint8Array), values = decode(uv, Int8Array), area = width * height;
  let next = 0;
  return range(structures).map((c) => {
    const valid = new Uint8Array(area), u = new Float32Array(area), v = new Float32Array(area);
    for (let i = 0; i < area; i++) {
      const bit = c * area + i;
      valid[i] = (bits[bit >> 3] >> (7 - (bit & 7))) & 1;
      if (valid[i]) [u[i], v[i]] = [values[next++], values[next++]].map((step) => (step * limit) / 127);
    }
    return { valid, u, v };
  });
}

// How far each pixel's uv is from the true one, in pixels of the template; NaN where one of the two masks is empty.
export function mapError(mine, truth, [across, down]) {
  return Float64Array.from(mine.valid, (valid, i) =>
    valid && truth.valid[i] ? Math.hypot((mine.u[i] - truth.u[i]) * across, (mine.v[i] - truth.v[i]) * down) : NaN);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The colour of a level in [0, 1], between the two nearest of some evenly spaced colours.
function shade(colours, level) {
  const at = level * (colours.length - 1), low = Math.min(Math.floor(at), colours.length - 2);
  return colours[low].map((k, c) => k + (at - low) * (colours[low + 1][c] - k));
}

// ---- the picture -------------------------------------------------------------------------------------------------------

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "training film");
  root.classList.add("training-film");
  const play = button(controls, "play", () => (timer ? stop() : start()));
  const row = make(controls, "label", { class: "dsw-slider" });
  make(row, "span", {}, "stage");
  const slide = make(row, "input", { type: "range", min: 0, max: data.names.length - 1, step: 1 });
  const said = make(row, "output");
  slide.addEventListener("input", () => state.set("stage", Number(slide.value)));
  checkbox(controls, state, "landmarks", "landmarks");
  choice(controls, state, "case", "case", data.cases.map(({ name }) => name));

  const stages = ["the network's map", "the true map", "error"].map((title) => {
    const stage = new Stage(panels, { ...data, title });
    return { stage, film: stage.canvas(), colours: stage.canvas(), lines: make(stage.svg, "g"), marks: make(stage.svg, "g") };
  });
  let timer = null;

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "play";
  }

  function start() {
    const last = data.names.length - 1;
    if (state.get("stage") === last) state.set("stage", 0);
    play.textContent = "pause";
    timer = setInterval(() => {
      if (state.get("stage") < last && root.isConnected) state.set("stage", state.get("stage") + 1);
      else stop();
    }, PAUSE);
  }

  // Each structure over the ones before it: a colour for each pixel of `valid`, and lines.
  function paint({ stage, film, colours, lines }, image, maps, colour, draw) {
    stage.develop(film, image.map((k) => 0.75 * k));
    stage.paint(colours, (rgba) => maps.forEach((map, c) => map.valid.forEach((valid, i) => valid && rgba.set([...colour(map, i, c), 215], 4 * i))));
    lines.replaceChildren();
    maps.forEach((map) => draw(lines, map));
  }

  const everywhere = new Uint8Array(data.width * data.height).fill(1);
  function net(lines, { valid, u, v }) {
    for (const map of [u, v]) make(lines, "path", { class: "iso", d: isolines(map, valid, data.width, LEVELS) });
  }
  function edge(lines, { valid }) {
    make(lines, "path", { class: "edge", d: isolines(valid, everywhere, data.width, [0.5]) });
  }

  function mark({ marks }, points, truth, covariance) {
    const every = Math.ceil(truth.length / 60); // more ellipses than that hide one another
    marks.replaceChildren();
    points?.forEach((point, n) => {
      if (!point || !truth[n]) return;
      make(marks, "path", { class: "error", d: path([point, truth[n]]) });
      if (covariance?.[n] && n % every === 0) {
        const { rx, ry, turn } = ellipse(covariance[n]);
        make(marks, "ellipse", { class: "spread", rx, ry, transform: `translate(${point}) rotate(${turn.toFixed(1)})` });
      }
      make(marks, "circle", { class: "point", cx: point[0], cy: point[1], r: 0.006 * data.width });
    });
  }

  function draw() {
    const index = state.get("stage"), one = data.cases[state.get("case")], now = one.stages[index];
    const mine = unpack(now, data), truth = unpack(one.truth, data), image = decode(one.image, Uint8Array);
    const errors = mine.map((map, c) => mapError(map, truth[c], data.extent[c])), most = BRIGHTEST * data.width;
    slide.value = index;
    said.textContent = data.names[index];
    slide.setAttribute("aria-valuetext", data.names[index]);
    const colour = ({ u, v }, i) => uvColour(data.corners, u[i], v[i]);
    paint(stages[0], image, mine, colour, net);
    paint(stages[1], image, truth, colour, net);
    const met = errors.map((values) => ({ values, valid: Uint8Array.from(values, (value) => !Number.isNaN(value)) }));
    paint(stages[2], image, met, ({ values }, i) => shade(data.colours, Math.min(values[i] / most, 1)), () => {});
    truth.forEach((map) => edge(stages[2].lines, map));
    stages[2].stage.heading.textContent = `error: black 0, yellow ${number(most * one.spacing, 0)} ${one.unit} and more`;
    mark(stages[0], state.get("landmarks") ? now.points : null, one.truth.points, now.covariance);
    tell(index, one, now, errors.flatMap((values) => [...values].filter((value) => !Number.isNaN(value))));
  }

  function tell(index, one, now, errors) {
    const both = (now.points ?? []).flatMap((point, n) => (point && one.truth.points[n] ? [[point, one.truth.points[n]]] : []));
    const tre = mean(both.map(([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]))) * one.spacing;
    const lost = one.truth.points.filter(Boolean).length - both.length, of = `${number(tre, 1)} ${one.unit}`;
    caption.textContent = `${data.names[index]}, ${one.name}: map off by ${number(mean(errors) * one.spacing, 1)} ${one.unit} on average.`;
    const more = lost ? `, and ${lost} landmarks not found` : "";
    make(caption, "small", {}, `Landmarks off by ${of} on average${more}. Outlines in the error panel: the true masks.`);
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
