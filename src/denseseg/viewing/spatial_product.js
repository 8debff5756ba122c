// Local appearance times spatial configuration (Payer et al. 2019, Eq. 4), with dots drawn by hand instead of a network's maps:
// sharp ones at every place that looks alike, one more that the reader drags, and a wide one where the landmark may be.

import { Stage, checkbox, choice, decode, frame, make, number, range, slider, widget } from "./widget.js";

// amplitude * exp(-d^2 / (2 sigma^2)) round each point, added up, row by row (heatmaps.gaussian_heatmaps).
function dots(points, sigma, { width, height }, amplitude = () => 1) {
  const sum = new Float64Array(width * height);
  points.forEach(([px, py], i) => {
    const profile = (n, at) => range(n).map((k) => Math.exp(-((k - at) ** 2) / (2 * sigma ** 2)));
    const across = profile(width, px), down = profile(height, py), top = amplitude(i);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) sum[y * width + x] += top * down[y] * across[x];
  });
  return sum;
}

function brightest(values, width) {
  const i = values.reduce((best, value, k) => (value > values[best] ? k : best), 0);
  return { place: [i % width, Math.floor(i / width)], peak: values[i] };
}

// The three maps and where each is brightest.
export function maps(data, { which, distractor, brightness, offset, appearance, configuration, added }) {
  const last = data.places.length, expected = data.places[which].map((k, d) => k + offset[d]);
  const sharp = dots([...data.places, distractor], appearance, data, (i) => (i === last ? brightness : 1));
  const wide = dots([expected], configuration, data);
  const together = sharp.map((value, i) => (added ? value + wide[i] : value * wide[i]));
  return [sharp, wide, together].map((values) => ({ values, ...brightest(values, data.width) }));
}

// The colour of a level in [0, 1], between the two nearest of some evenly spaced colours.
function colourOf(colours, level) {
  const at = level * (colours.length - 1), low = Math.min(Math.floor(at), colours.length - 2);
  return colours[low].map((k, c) => k + (at - low) * (colours[low + 1][c] - k));
}

const TITLES = ["local appearance", "spatial configuration", "heatmap"];

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "local appearance times spatial configuration");
  root.classList.add("spatial-product");
  choice(controls, state, "which", "landmark", data.names);
  slider(controls, state, "appearance", { label: "local width", min: 0.5, max: 6, step: 0.1, digits: 1, unit: "px" });
  slider(controls, state, "configuration", { label: "spatial width", min: 1, max: 40, step: 0.5, digits: 1, unit: "px" });
  slider(controls, state, "brightness", { label: "distractor", min: 0, max: 3, step: 0.1, digits: 1 });
  checkbox(controls, state, "added", "add, do not multiply");

  const grey = decode(data.image, Uint8Array);
  const stages = TITLES.map((title) => {
    const stage = new Stage(panels, { ...data, title });
    const pixels = stage.canvas(), marks = make(stage.svg, "g");
    const ring = make(stage.svg, "circle", { class: "truth", r: 0.035 * data.width });
    const peak = make(stage.svg, "path", { class: "peak" });
    return { stage, pixels, marks, ring, peak };
  });
  for (const [cx, cy] of data.places) make(stages[0].marks, "circle", { class: "alike", cx, cy, r: 0.035 * data.width });
  const truth = () => data.places[state.get("which")];
  const distractor = stages[0].stage.handle(stages[0].stage.svg, {
    label: "distractor, a place that looks alike", radius: 2.2, move: (place) => state.set("distractor", place),
  });
  const expected = stages[1].stage.handle(stages[1].stage.svg, {
    label: "where the landmark is expected", radius: 2.2, move: (place) => state.set("offset", place.map((k, d) => k - truth()[d])),
  });

  // The image below, brighter colours where the map is larger; 1 and more is the brightest.
  function paint({ stage, pixels }, values) {
    stage.paint(pixels, (rgba) => values.forEach((value, i) => {
      const level = Math.min(Math.max(value, 0), 1), colour = colourOf(data.colours, level);
      const share = Math.min(1, 2 * level); // of the map in the mixture
      rgba.set([...colour.map((k) => share * k + (1 - share) * 0.45 * grey[i]), 255], 4 * i);
    }));
  }

  function draw() {
    const names = ["which", "distractor", "brightness", "offset", "appearance", "configuration", "added"];
    const now = Object.fromEntries(names.map((name) => [name, state.get(name)])), found = maps(data, now), [x, y] = truth();
    stages[2].stage.heading.textContent = now.added ? "their sum" : "their product";
    stages.forEach((one, i) => {
      paint(one, found[i].values);
      const [px, py] = found[i].place, r = 0.03 * data.width;
      one.ring.setAttribute("cx", x);
      one.ring.setAttribute("cy", y);
      one.peak.setAttribute("d", `M${px - r},${py}H${px + r}M${px},${py - r}V${py + r}`);
    });
    distractor.place(now.distractor);
    expected.place([x + now.offset[0], y + now.offset[1]]);
    const off = ({ place }) => `${number(Math.hypot(place[0] - x, place[1] - y) * data.spacing)} ${data.unit}`;
    const combined = `${now.added ? "Sum" : "Product"}: brightest ${off(found[2])} from the true ${data.names[now.which]}`;
    caption.textContent = `${combined}, peak ${number(found[2].peak, 2)}.`;
    const alone = [0, 1].map((i) => `${TITLES[i]} alone ${off(found[i])}`).join(", ");
    make(caption, "small", {}, `${alone}. Ring: the true place; cross: where a map is brightest; blue: drag it.`);
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
