// A tiny network that learns a uv map inside the page while its loss weights are turned: dilated 3 x 3 convolutions, their backward
// pass by hand, the four loss terms of losses.py and Adam. loss_mixer.py holds its twin in PyTorch, with which the tests compare it.
// An array of several channels is flat: channel after channel, each row by row.

import { Stage, button, choice, decode, frame, isolines, make, number, path, range, slider, uvColour, widget } from "./widget.js";

// ---- the network -------------------------------------------------------------------------------------------------------

// to(x, y) += factor * from(x + dx, y + dy) on one channel, where both lie in the image; t and f: where the channels begin.
function addShifted(to, t, from, f, factor, dx, dy, { width, height }) {
  for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
    const row = t + y * width, other = f + (y + dy) * width + dx;
    for (let x = Math.max(0, -dx); x < Math.min(width, width - dx); x++) to[row + x] += factor * from[other + x];
  }
}

// The sum of a(x, y) * b(x + dx, y + dy) over the same pixels.
function dotShifted(a, s, b, f, dx, dy, { width, height }) {
  let sum = 0;
  for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
    const row = s + y * width, other = f + (y + dy) * width + dx;
    for (let x = Math.max(0, -dx); x < Math.min(width, width - dx); x++) sum += a[row + x] * b[other + x];
  }
  return sum;
}

// layers: { from, to, side, dilation } each; weights: all in one array in PyTorch's order, [to][from][side][side] and then biases.
export class Network {
  constructor(layers, weights, size) {
    Object.assign(this, { weights: Float64Array.from(weights), size, area: size.width * size.height });
    this.gradient = new Float64Array(weights.length);
    let start = 0;
    this.layers = layers.map(({ from, to, side, dilation }) => {
      const reach = (side - 1) / 2, taps = range(side * side).map((k) => [k % side, Math.floor(k / side)].map((n) => (n - reach) * dilation));
      const layer = { from, to, taps, start, bias: start + from * to * taps.length };
      start = layer.bias + to;
      return layer;
    });
  }

  // Calls visit(o, i, weight index, dx, dy) for each weight of a layer.
  each({ from, to, taps, start }, visit) {
    let k = start;
    for (let o = 0; o < to; o++) for (let i = 0; i < from; i++) for (const [dx, dy] of taps) visit(o * this.area, i * this.area, k++, dx, dy);
  }

  forward(input) {
    this.values = [input];
    this.layers.forEach((layer, n) => {
      const from = this.values[n], to = new Float64Array(layer.to * this.area);
      for (let o = 0; o < layer.to; o++) to.fill(this.weights[layer.bias + o], o * this.area, (o + 1) * this.area);
      this.each(layer, (o, i, k, dx, dy) => addShifted(to, o, from, i, this.weights[k], dx, dy, this.size));
      if (n < this.layers.length - 1) for (let k = 0; k < to.length; k++) if (to[k] < 0) to[k] = 0; // ReLU
      this.values.push(to);
    });
    return this.values.at(-1);
  }

  // From d loss / d output of the last `forward`: adds d loss / d weight to `gradient`.
  backward(slope) {
    for (let n = this.layers.length - 1; n >= 0; n--) {
      const layer = this.layers[n], from = this.values[n], before = new Float64Array(from.length);
      for (let k = 0; k < slope.length; k++) this.gradient[layer.bias + Math.floor(k / this.area)] += slope[k];
      this.each(layer, (o, i, k, dx, dy) => {
        this.gradient[k] += dotShifted(slope, o, from, i, dx, dy, this.size);
        if (n) addShifted(before, i, slope, o, this.weights[k], -dx, -dy, this.size);
      });
      for (let k = 0; k < before.length; k++) if (from[k] <= 0) before[k] = 0; // ReLU's
      slope = before;
    }
  }
}

export class Adam {
  // As it was when it stopped, or anew.
  constructor(count, rate, { step = 0, mean = new Float64Array(count), square = new Float64Array(count) } = {}) {
    Object.assign(this, { rate, step, mean: Float64Array.from(mean), square: Float64Array.from(square) });
  }

  update(weights, gradient) {
    this.step++;
    const [a, b] = [0.9, 0.999], first = 1 - a ** this.step, second = 1 - b ** this.step;
    for (let k = 0; k < weights.length; k++) {
      this.mean[k] += (1 - a) * (gradient[k] - this.mean[k]);
      this.square[k] += (1 - b) * (gradient[k] ** 2 - this.square[k]);
      weights[k] -= (this.rate * this.mean[k]) / first / (Math.sqrt(this.square[k] / second) + 1e-8);
    }
  }
}

// ---- the loss terms ----------------------------------------------------------------------------------------------------

// Each takes the network's output (logit, u, v), a case and its size, and returns its value; what it adds to `slope` is `weight`
// times its derivative by the output.

// losses.segmentation: cross entropy and soft Dice.
function segmentation(out, { mask }, { area }, weight, slope) {
  const chance = Float64Array.from(mask, (_, i) => 1 / (1 + Math.exp(-out[i])));
  let entropy = 0, both = 0, total = 0;
  for (let i = 0; i < area; i++) {
    entropy += Math.max(out[i], 0) - out[i] * mask[i] + Math.log1p(Math.exp(-Math.abs(out[i])));
    both += chance[i] * mask[i];
    total += chance[i] + mask[i];
  }
  const above = 2 * both + 1, below = total + 1;
  for (let i = 0; i < area; i++) {
    const dice = (above / below - 2 * mask[i]) / below;
    slope[i] += weight * ((chance[i] - mask[i]) / area + dice * chance[i] * (1 - chance[i]));
  }
  return entropy / area + 1 - above / below;
}

// losses.uv_l1
function dense(out, { uv, valid }, { area }, weight, slope) {
  const count = 2 * valid.reduce((sum, one) => sum + one, 0) + 1;
  let sum = 0;
  for (let k = 0; k < 2 * area; k++) {
    if (!valid[k % area]) continue;
    const off = out[area + k] - uv[k];
    sum += Math.abs(off);
    slope[area + k] += (weight * Math.sign(off)) / count;
  }
  return sum / count;
}

// losses.landmark_uv: bilinear readings at the landmarks that lie in the image.
function landmarks(out, { places }, { width, height, area, goal }, weight, slope) {
  const seen = range(places.length).filter((n) => places[n][0] >= 0 && places[n][1] >= 0 && places[n][0] <= width - 1 && places[n][1] <= height - 1);
  let sum = 0;
  for (const n of seen) {
    const [x, y] = places[n], left = Math.min(Math.floor(x), width - 2), top = Math.min(Math.floor(y), height - 2);
    const [p, q] = [x - left, y - top], corner = top * width + left;
    const four = [[0, (1 - p) * (1 - q)], [1, p * (1 - q)], [width, (1 - p) * q], [width + 1, p * q]];
    for (const d of [0, 1]) {
      const start = (d + 1) * area + corner, off = four.reduce((value, [k, share]) => value + share * out[start + k], 0) - goal[n][d];
      sum += Math.abs(off) / 2;
      for (const [k, share] of four) slope[start + k] += (weight * share * Math.sign(off)) / 2 / seen.length;
    }
  }
  return sum / Math.max(seen.length, 1);
}

// losses.total_variation: half the difference of the two neighbours, at the rim the difference to the one.
function variation(out, { mask }, { width, height, area }, weight, slope) {
  const count = mask.reduce((sum, one) => sum + (one > 0.5), 0) + 1;
  let sum = 0;
  for (let i = 0; i < area; i++) {
    if (mask[i] <= 0.5) continue;
    const x = i % width, y = Math.floor(i / width);
    const pairs = [[x, width, 1], [y, height, width]].map(([k, n, stride]) => {
      const [low, high] = [Math.max(k - 1, 0), Math.min(k + 1, n - 1)];
      return [i + (low - k) * stride, i + (high - k) * stride, 1 / (high - low)];
    });
    const steep = [1, 2].map((c) => pairs.map(([a, b, share]) => share * (out[c * area + b] - out[c * area + a])));
    const sizes = steep.map(([dx, dy]) => Math.sqrt(dx * dx + dy * dy + 1e-12)), mean = (sizes[0] + sizes[1]) / 2;
    sum += mean * mean;
    [1, 2].forEach((c) => pairs.forEach(([a, b, share], d) => {
      const pull = (weight * mean * steep[c - 1][d] * share) / sizes[c - 1] / count;
      slope[c * area + b] += pull;
      slope[c * area + a] -= pull;
    }));
  }
  return sum / count;
}

const TERMS = { segmentation, uv: dense, landmarks, variation };
const NAMES = Object.keys(TERMS);

// The value of each term, and the derivative of their weighted sum by the output.
export function judge(out, one, data, weights) {
  const slope = new Float64Array(out.length);
  return { values: NAMES.map((name, k) => TERMS[name](out, one, data, weights[k], slope)), slope };
}

// ---- training ----------------------------------------------------------------------------------------------------------

// The arrays of all cases; the network is also told where a pixel lies: x and y from -1 to 1.
export function unpack(data) {
  const { width, height } = data, area = width * height, whole = { ...data, area };
  const across = (count, place) => Float64Array.from({ length: area }, (_, i) => (2 * place(i)) / (count - 1) - 1);
  const x = across(width, (i) => i % width), y = across(height, (i) => Math.floor(i / width));
  whole.cases = data.cases.map((one) => {
    const [image, mask, uv] = [one.image, one.mask, one.uv].map((packed) => decode(packed, Float32Array));
    return { input: Float64Array.from([...image, ...x, ...y]), mask, uv, valid: decode(one.valid, Uint8Array), places: one.places };
  });
  return whole;
}

// From untrained weights on, or on from where Python stopped.
export class Training {
  constructor(data, anew) {
    const { step } = data.adam, [mean, square] = ["mean", "square"].map((name) => decode(data.adam[name], Float32Array));
    const weights = decode(anew ? data.untrained : data.weights, Float32Array), history = anew ? [] : [...data.history];
    Object.assign(this, { data, history, epoch: history.length, next: 0, sums: [0, 0, 0, 0] });
    this.network = new Network(data.layers, weights, data);
    this.adam = new Adam(weights.length, data.rate, anew ? {} : { step, mean, square });
  }

  // One case forwards and backwards; after each batch a step of Adam; after all training cases a row of the history.
  advance(weights) {
    const { batch, trained, cases } = this.data, one = cases[this.next++];
    const { values, slope } = judge(this.network.forward(one.input), one, this.data, weights);
    values.forEach((value, k) => (this.sums[k] += value / trained));
    this.network.backward(slope.map((value) => value / batch));
    if (this.next % batch === 0) {
      this.adam.update(this.network.weights, this.network.gradient);
      this.network.gradient.fill(0);
    }
    if (this.next < trained) return;
    this.history.push(this.sums);
    Object.assign(this, { epoch: this.epoch + 1, next: 0, sums: [0, 0, 0, 0] });
  }
}

// ---- the picture -------------------------------------------------------------------------------------------------------

const LEVELS = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1];
const LABELS = ["segmentation", "dense uv", "landmarks", "total variation"];
const SLICE = 24, REDRAW = 200; // ms of training in each frame of the page, and between two pictures

class MapPanel extends Stage {
  constructor(parent, title, data) {
    super(parent, { title, width: data.width, height: data.height });
    this.data = data;
    this.film = this.canvas();
    this.colours = this.canvas();
    this.lines = make(this.svg, "g");
  }

  // u and v as colours, as dense as the mask is certain; isolines where the true map is valid; the outline of the mask.
  show(one, chance, u, v) {
    const { width, corners } = this.data, everywhere = chance.map(() => 1);
    const [low, high] = [0, 1].map((k) => (k ? Math.max : Math.min)(...one.input.subarray(0, chance.length)));
    this.develop(this.film, Array.from(chance, (_, i) => (200 * (one.input[i] - low)) / (high - low)));
    this.paint(this.colours, (rgba) => chance.forEach((p, i) => rgba.set([...uvColour(corners, u[i], v[i]), 50 + 170 * p], 4 * i)));
    this.lines.replaceChildren();
    for (const map of [u, v]) make(this.lines, "path", { class: "iso", d: isolines(map, one.valid, width, LEVELS) });
    make(this.lines, "path", { class: "edge", d: isolines(chance, everywhere, width, [0.5]) });
    for (const [cx, cy] of one.places) make(this.lines, "circle", { class: "mark", cx, cy, r: 0.01 * width });
  }
}

// The four terms over the epochs, each in a strip of its own: logarithmic, from its largest value down to a thirtieth of it.
function curves(stage, layer, history, weights) {
  layer.replaceChildren();
  const height = stage.height / NAMES.length, most = Math.max(history.length - 1, 1);
  LABELS.forEach((label, k) => {
    const floor = (k + 1) * height - 1.5, values = history.map((row) => row[k]), top = Math.max(...values);
    const rise = (value) => floor - (height - 9) * Math.max(1 + Math.log(value / top) / Math.log(30), 0);
    const strip = make(layer, "g", { class: weights[k] ? "" : "unheard" }), said = values.length ? number(values.at(-1), 4) : "";
    make(strip, "path", { class: "floor", d: `M0,${floor + 1}H${stage.width}` });
    make(strip, "path", { class: "curve", d: path(values.map((value, epoch) => [1 + (epoch / most) * (stage.width - 3), rise(value)])) });
    make(strip, "text", { x: 1, y: k * height + 5.5, "font-size": 5 }, `${label} ${said}${weights[k] ? "" : ", no weight"}`);
  });
}

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "loss mixer");
  root.classList.add("loss-mixer");
  const buttons = make(controls, "div", { class: "dsw-controls" });
  const train = button(buttons, "train", () => state.set("running", !state.get("running")));
  button(buttons, "start anew", () => begin(true));
  choice(controls, state, "case", "case", data.names);
  const bars = make(controls, "div", { class: "dsw-controls", role: "group", "aria-label": "weights of the loss terms" });
  const limits = { segmentation: [5, 0.1], uv: [5, 0.1], landmarks: [5, 0.1], variation: [200, 1] };
  NAMES.forEach((name, k) =>
    slider(bars, state, name, { label: LABELS[k], min: 0, max: limits[name][0], step: limits[name][1], digits: name === "variation" ? 0 : 1 }));

  const whole = unpack(data), weights = () => NAMES.map(state.get);
  const [mine, truth] = ["the network's map", "the true map"].map((title) => new MapPanel(panels, title, whole));
  const chart = new Stage(panels, { title: "loss terms, training cases (log scale)", width: 100, height: 100 });
  const strips = make(chart.svg, "g");
  let training, started = false, drawn = 0;

  function begin(anew) {
    training = new Training(whole, anew);
    if (anew) state.set("history", []);
  }

  function draw() {
    const one = whole.cases[state.get("case")], { area } = whole, out = training.network.forward(one.input);
    const [logit, u, v] = [0, 1, 2].map((k) => out.subarray(k * area, (k + 1) * area));
    mine.show(one, logit.map((z) => 1 / (1 + Math.exp(-z))), u, v);
    truth.show(one, Float64Array.from(one.mask), one.uv.subarray(0, area), one.uv.subarray(area));
    curves(chart, strips, training.history, weights());
    const values = judge(out, one, whole, [0, 0, 0, 0]).values;
    const hit = logit.reduce((sum, z, i) => sum + (z > 0 && one.mask[i] > 0.5), 0);
    const total = logit.reduce((sum, z, i) => sum + (z > 0) + (one.mask[i] > 0.5), 0);
    const name = data.names[state.get("case")];
    const error = `mean |uv error| ${number(values[1], 3)}, DSC ${number((200 * hit) / total, 0)} %`;
    caption.setAttribute("aria-live", state.get("running") ? "off" : "polite"); // nobody wants each epoch read out
    caption.textContent = `Epoch ${training.epoch}, ${name}: ${error}.`;
    const ramp = `total variation ${number(values[3], 4)}, of the true map ${number(judge([...one.mask, ...one.uv], one, whole, [0, 0, 0, 0]).values[3], 4)}`;
    make(caption, "small", {}, `${ramp}; a network of ${training.network.weights.length} weights, ${data.trained} training cases`);
    drawn = performance.now();
  }

  // A slice of training in each frame, as long as it runs and the page shows it.
  function work() {
    if (!state.get("running") || !root.isConnected) {
      started = false;
      state.set("history", training.history);
      return;
    }
    const until = performance.now() + SLICE;
    do training.advance(weights());
    while (performance.now() < until);
    if (performance.now() > drawn + REDRAW) draw();
    requestAnimationFrame(work);
  }

  function changed() {
    const running = state.get("running");
    train.textContent = running ? "pause" : "train";
    if (!running) draw();
    else if (!started) requestAnimationFrame(work), (started = true);
  }

  begin(false);
  state.listen(changed);
  changed();
}

export default widget(mount);
