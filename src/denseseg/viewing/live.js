// A network that answers while its radiograph is turned, darkened, made noisy or covered. In a live notebook Python answers, in a
// built page ONNX Runtime Web, from script files in the folder `live` (course/live_scripts.py); what is drawn does not know which.

import { Chart, unpacked } from "./chart.js";
import { Stage, button, checkbox, choice, decode, ellipse, frame, isolines, make, normal, number, path, polygonMask, range, slider, widget } from "./widget.js";

const LEVELS = [-0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8];
const MOST = 40e6; // pixels of a file: more would take a phone's memory

// ---- the picture -------------------------------------------------------------------------------------------------------

// What a PNG or JPEG holds: { values, width, height }, grey in [0, 1], row by row. It stays in this page.
async function readPicture(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }), { width, height } = bitmap;
  if (width * height > MOST) throw new Error(`it has more than ${MOST / 1e6} million pixels`);
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data, values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = (0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2]) / 255;
  return { values, width, height };
}

// How it lies in a picture of width x height pixels: as large as fits, in the middle to a whole pixel (geometry.frame.Frame).
export function fit(whole, { width, height }) {
  const scale = Math.min(width / whole.width, height / whole.height);
  const even = (x) => Math.round(x) - (Math.round(x) - x === 0.5 && Math.round(x) % 2); // halves as Python rounds them
  return { scale, offset: [even((width - whole.width * scale) / 2), even((height - whole.height * scale) / 2)] };
}

// The picture in this frame (Frame.maps_to_fitted): smoothed where it shrinks, then linear between pixels; the padding is 0.
export function fitted(whole, { scale, offset }, { width, height }) {
  const high = downwards(whole.values, whole.width, taps(whole.height, height, scale, offset[1]));
  return downwards(high, height, taps(whole.width, width, scale, offset[0]));
}

// For each of `count` places the pixels, of `length` in a line, that it is made of, each with its weight.
function taps(length, count, scale, offset) {
  const sd = Math.max(0, (1 / scale - 1) / 2), reach = Math.floor(4 * sd + 0.5), period = 2 * (length - 1);
  const bell = range(2 * reach + 1).map((k) => (sd ? Math.exp(-(((k - reach) / sd) ** 2) / 2) : 1));
  const total = bell.reduce((sum, k) => sum + k), mirror = (i) => Math.min(Math.abs(i) % period, period - (Math.abs(i) % period));
  return range(count).map((k) => {
    const at = (k + 0.5 - offset) / scale - 0.5, inner = length - 1 - Math.abs(length - 1 - Math.abs(at));
    if (at < -0.5 || at > length - 0.5) return [];
    const low = Math.min(Math.floor(inner), length - 2), two = [[low, 1 - inner + low], [low + 1, inner - low]];
    return two.flatMap(([i, share]) => bell.map((weight, j) => [mirror(i + j - reach), (share * weight) / total]));
  });
}

// Values, `width` a row, made anew along each column; rows and columns then have changed places.
function downwards(values, width, taps) {
  const made = new Float32Array(width * taps.length);
  taps.forEach((pixels, k) => pixels.forEach(([row, weight]) => {
    for (let x = 0; x < width; x++) made[x * taps.length + k] += weight * values[row * width + x];
  }));
  return made;
}

// A point turned clockwise round the middle of the picture.
function turned([x, y], degrees, { width, height }) {
  const [c, s] = [Math.cos, Math.sin].map((f) => f((degrees * Math.PI) / 180)), [dx, dy] = [x - (width - 1) / 2, y - (height - 1) / 2];
  return [(width - 1) / 2 + c * dx - s * dy, (height - 1) / 2 + s * dx + c * dy];
}

// The picture as the reader changed it: what is shown, and what the network is given. field: normal numbers, one a pixel.
export function altered(values, size, { turn, contrast, brightness, noise, plate, plate_at }, field) {
  const at = (x, y) => (x >= 0 && y >= 0 && x < size.width && y < size.height ? values[y * size.width + x] : 0);
  const read = ([x, y]) => {
    const [left, top] = [Math.floor(x), Math.floor(y)], [p, q] = [x - left, y - top];
    return (1 - q) * ((1 - p) * at(left, top) + p * at(left + 1, top)) + q * ((1 - p) * at(left, top + 1) + p * at(left + 1, top + 1));
  };
  return Float32Array.from(values, (value, i) => {
    const place = [i % size.width, Math.floor(i / size.width)];
    if (Math.hypot(place[0] - plate_at[0], place[1] - plate_at[1]) < plate) return 0.5;
    const here = turn ? read(turned(place, -turn, size)) : value;
    return Math.min(Math.max((here - 0.5) * contrast + 0.5 + brightness + noise * field[i], 0), 1);
  });
}

// ---- who answers -------------------------------------------------------------------------------------------------------

// An answer: { charts, points, covariance, absent, seconds }, a chart or null for each structure, null for what was not found.
function fromPython(answer, extents) {
  return { ...answer, charts: answer.charts.map((chart, c) => chart && new Chart({ ...unpacked(chart), extent: extents[c] })) };
}

// The kernel: a question is a picture with a number, and the answer has the same number.
function pythonAnswers(state, { extent }) {
  let open = null;
  state.listen(() => {
    if (state.get("answer").number !== open?.number) return;
    open.resolve(fromPython(state.get("answer"), extent));
    open = null;
  });
  return (picture) => new Promise((resolve) => {
    open = { number: Math.random(), resolve };
    const bytes = Array.from(new Uint8Array(picture.buffer), (byte) => String.fromCharCode(byte));
    state.set("seen", { number: open.number, picture: btoa(bytes.join("")) });
  });
}

// What scripts have brought into this page, for all of its widgets. A script is run once; a page from a file cannot fetch.
const brought = () => (globalThis.denseseg ??= { scripts: {} });
export function bring(name) {
  const { content_root } = document.documentElement.dataset, root = content_root === undefined ? "" : `${content_root}_static/`;
  return (brought().scripts[name] ??= new Promise((resolve, reject) => {
    const script = make(document.head, "script", { src: `${root}live/${name}.js` });
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error(`${name}.js is not there`)));
  }));
}

async function unzipped(name) {
  const zipped = new Blob([decode(brought()[name], Uint8Array)]);
  return new Response(zipped.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

// A question to a worker (live_worker.js), and its answer.
function call(worker, question) {
  return new Promise((resolve, reject) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.answer));
    worker.postMessage(question, [port2]);
  });
}

const megabytes = (size) => `${number(size / 1e6)} MB`;

// A worker that has a network of this name; `say` is told what is being done.
export async function begin(name, say) {
  const files = [];
  for (const [what, script, parts] of [["ONNX Runtime Web", "runtime", ["worker", "loader", "wasm"]], ["the network", name, [name]]]) {
    await say(`Loading ${what} (${megabytes(brought().sizes[script])}) …`);
    await bring(script);
    for (const part of parts) files.push(await unzipped(part));
  }
  await say("Starting the network …");
  const [source, loader, wasm, network] = files, worker = new Worker(URL.createObjectURL(new Blob([source])));
  await call(worker, { loader, wasm, network });
  return worker;
}

// Arrays of a graph's outputs, as an answer.
export function pageAnswers(worker, { width, height, extent }) {
  const area = width * height;
  return async (picture) => {
    const { uv, masks, landmarks, covariance, presence, seconds } = await call(worker, { picture, width, height });
    const rows = (values, size, columns) => range(values.length / size).map((n) =>
      Number.isFinite(values[n * size]) ? columns.map((k) => values[n * size + k]) : null);
    const charts = extent.map((one, c) => {
      const [u, v] = [0, 1].map((d) => uv.subarray((2 * c + d) * area, (2 * c + d + 1) * area));
      const valid = masks.subarray(c * area, (c + 1) * area);
      return valid.some(Boolean) ? new Chart({ x: 0, y: 0, width, height, u, v, valid, extent: one }) : null;
    });
    const absent = [...presence].map((there) => there < 0.5);
    return { charts, points: rows(landmarks, 2, [0, 1]), covariance: rows(covariance, 4, [0, 1, 3]), absent, seconds };
  };
}

// ---- the panels --------------------------------------------------------------------------------------------------------

class Film extends Stage {
  constructor(parent, data, move) {
    super(parent, { ...data, title: "radiograph" });
    this.data = data;
    [this.film, this.colours] = [this.canvas(), this.canvas()];
    for (const layer of ["lines", "spreads", "marks", "mine"]) this[layer] = make(this.svg, "g", { "aria-hidden": true });
    this.plate = this.handle(this.svg, { label: "grey plate", className: "plate", move });
  }

  // An answer: what of it is chosen by `shows`, a function of a layer's name.
  draw(found, shows) {
    const { structures } = this.data, charts = found?.charts ?? [];
    const everywhere = new Uint8Array(this.width * this.height).fill(1);
    const every = Math.ceil(this.data.template.length / 60); // more ellipses than that hide one another
    for (const layer of [this.lines, this.spreads, this.marks]) layer.replaceChildren();
    this.paint(this.colours, (rgba) => charts.forEach((chart, c) => {
      if (!chart || !shows("masks")) return;
      const colour = [1, 3, 5].map((k) => parseInt(structures[c].colour.slice(k, k + 2), 16));
      chart.valid.forEach((valid, i) => valid && rgba.set([...colour, 75], 4 * this.pixel(chart, i)));
    }));
    charts.forEach((chart, c) => {
      if (!chart) return;
      const style = `--colour: ${structures[c].colour}`, inside = new Uint8Array(everywhere.length);
      if (shows("masks")) {
        chart.valid.forEach((valid, i) => valid && (inside[this.pixel(chart, i)] = 1));
        make(this.lines, "path", { class: "edge", style, d: isolines(inside, everywhere, this.width, [0.5]) });
      }
      if (shows("lines")) for (const channel of ["u", "v"]) make(this.lines, "path", { class: "iso", d: chart.isolines(channel, LEVELS) });
    });
    structures.forEach(({ colour, first, end }) => range(end - first).forEach((k) => {
      const point = found?.points[first + k], covariance = found?.covariance[first + k], style = `--colour: ${colour}`;
      if (point && covariance && shows("ellipses") && (first + k) % every === 0) {
        const { rx, ry, turn } = ellipse(covariance);
        make(this.spreads, "ellipse", { class: "spread", rx, ry, transform: `translate(${point}) rotate(${turn.toFixed(1)})` });
      }
      if (point && shows("landmarks")) make(this.marks, "circle", { class: "landmark", style, cx: point[0], cy: point[1], r: 0.006 * this.width });
    }));
  }

  pixel(chart, i) {
    return (chart.y + Math.floor(i / chart.width)) * this.width + chart.x + (i % chart.width);
  }
}

// The template: outlines with their charts, and a point to be dragged.
class Sheet extends Stage {
  constructor(parent, data, move) {
    super(parent, { ...data, title: "template" });
    this.data = data;
    const drawing = make(this.svg, "g", { "aria-hidden": true });
    this.masks = data.structures.map(({ outlined, colour, first, end }, c) => {
      const points = data.template.slice(first, end), maps = [0, 1].map((d) => range(data.width * data.height).map((i) => this.uv(c, this.centre(i))[d]));
      const inside = outlined ? polygonMask(points, data.width, data.height) : maps[0].map((u, i) => Math.max(Math.abs(u), Math.abs(maps[1][i])) <= 1);
      for (const map of maps) make(drawing, "path", { class: "iso", d: isolines(map, inside, data.width, LEVELS) });
      make(drawing, "path", { class: "edge", style: `--colour: ${colour}`, d: path(points, outlined ? "Z" : "") });
      return inside;
    });
    this.point = this.handle(this.svg, { label: "your point in the template", radius: 2.5, className: "mine", move });
  }

  centre(i) {
    return [i % this.width, Math.floor(i / this.width)];
  }

  uv(c, place) {
    return place.map((k, d) => (k - this.data.lower[c][d]) / this.data.extent[c][d] - 1);
  }

  // The structure in which a place lies: the last one that is drawn there, -1 outside of all.
  structure([x, y]) {
    return this.masks.findLastIndex((inside) => inside[Math.round(y) * this.width + Math.round(x)]);
  }
}

// ---- the whole ---------------------------------------------------------------------------------------------------------

const SLIDERS = [
  ["turn", { label: "turn", min: -60, max: 60, step: 1, unit: "°" }],
  ["contrast", { label: "contrast", min: 0.2, max: 3, step: 0.05, digits: 2 }],
  ["brightness", { label: "brightness", min: -0.5, max: 0.5, step: 0.02, digits: 2 }],
  ["noise", { label: "noise", min: 0, max: 0.4, step: 0.01, digits: 2 }],
  ["plate", { label: "plate", min: 0, max: 40, step: 1, unit: "px" }],
];
const LAYERS = { masks: "masks", lines: "u, v lines", landmarks: "landmarks", ellipses: "uncertainty (2 SD)" };

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "a network that answers");
  root.classList.add("live");
  const first = make(controls, "div", { class: "dsw-controls first" });
  choice(controls, state, "image", "radiograph", data.names);
  const chooser = make(root, "input", { type: "file", accept: "image/png,image/jpeg", hidden: "" });
  const own = button(controls, "your own …", () => (whole && state.get("image") >= 0 ? state.set("image", -1) : chooser.click()));
  const sliders = make(controls, "div", { class: "dsw-controls" }), before = Object.fromEntries(SLIDERS.map(([name]) => [name, state.get(name)]));
  for (const [name, look] of SLIDERS) slider(sliders, state, name, look);
  button(sliders, "as it was", () => Object.entries(before).forEach(([name, value]) => state.set(name, value)));
  for (const [name, label] of Object.entries(LAYERS)) checkbox(controls, state, name, label);
  const film = new Film(panels, data, (place) => state.set("plate_at", place));
  const sheet = new Sheet(panels, data, (place) => state.set("point", place));
  const status = make(caption, "p", { class: "status" }), told = make(caption, "p", { class: "point" });
  const details = make(root, "details"), numbers = (make(details, "summary", {}, "landmarks as numbers"), make(details, "pre"));

  const field = Float32Array.from({ length: data.width * data.height }, normal(1));
  let ask = state.kernel ? pythonAnswers(state, data) : null, found = fromPython(state.get("answer"), data.extent);
  let whole = null, ready = null, shown = null, picture = null, wanted = false, busy = false;

  // The picture that is changed: one of the data, or the reader's own in a frame of their size.
  function base() {
    if (state.get("image") < 0) return fitted(whole, fit(whole, data), data);
    return Float32Array.from(decode(data.images[state.get("image")], Uint8Array), (value) => value / 255);
  }

  function changed() {
    if (state.get("image") < 0 && !whole) return state.set("image", 0); // a file is not part of the state
    const names = ["image", "turn", "contrast", "brightness", "noise", "plate", "plate_at"], settings = Object.fromEntries(names.map((name) => [name, state.get(name)]));
    const key = JSON.stringify([settings, whole?.name]);
    if (key !== shown) {
      if (shown && !ask) found = null; // nobody answers yet
      shown = key;
      picture = altered(base(), data, settings, field);
      film.develop(film.film, picture.map((value) => 255 * value));
      own.setAttribute("aria-pressed", settings.image < 0);
      if (ready) follow();
    }
    ready ??= true;
    draw();
  }

  // Asks for the picture that is shown, again and again until it is the one that was asked for.
  async function follow() {
    wanted = true;
    while (ask && wanted && !busy) {
      [wanted, busy] = [false, true];
      await say("Reading the radiograph …");
      try {
        found = await ask(picture);
        draw();
        report();
      } catch (error) {
        say(`The network failed: ${error.message}`);
      }
      busy = false;
    }
  }

  // Text below the panels, and time for the page to show it: what follows may keep it busy.
  function say(text) {
    status.textContent = text;
    return new Promise((shown) => setTimeout(shown, 20));
  }

  function report() {
    const lost = data.structures.filter(({ first }) => !found.points[first]).map(({ name }) => name);
    const who = state.kernel ? "Python" : "this page";
    say(`Read by ${who} in ${number(found.seconds, 2)} s. ${lost.length ? `Not found: ${lost.join(", ")}.` : "All structures found."}`);
  }

  function draw() {
    film.draw(found, state.get);
    const plate = state.get("plate");
    film.plate.place(state.get("plate_at"));
    film.plate.group.style.display = plate ? "" : "none";
    film.plate.group.querySelector(".dot").setAttribute("r", plate);
    const place = state.get("point"), c = sheet.structure(place);
    sheet.point.place(place);
    film.mine.replaceChildren();
    if (c < 0) told.textContent = "Your point lies outside of every structure of the template; drag it into one.";
    else locate(c, sheet.uv(c, place));
    numbers.textContent = table();
  }

  // Where the reader's point is, read from the uv map: no landmark that anybody trained.
  function locate(c, uv) {
    const place = found?.charts[c]?.find(...uv, Infinity), [u, v] = uv.map((k) => number(k, 2));
    const where = place ? `(${place.map((k) => number(k)).join(", ")}) px of the radiograph` : "not in this radiograph";
    told.textContent = `Your point (drag it in the template), u = ${u}, v = ${v} of the ${data.structures[c].name}: ${where}.`;
    if (place) make(film.mine, "circle", { class: "new", cx: place[0], cy: place[1], r: 0.016 * data.width });
  }

  // The landmarks in pixels of the file that was opened, or of the phantom: not turned, not fitted.
  function table() {
    const { scale, offset } = state.get("image") < 0 ? fit(whole, data) : { scale: 1, offset: [0, 0] };
    const back = (point) => turned(point, -state.get("turn"), data).map((k, d) => (k + 0.5 - offset[d]) / scale - 0.5);
    const rows = data.structures.flatMap(({ name, first, end }) => range(end - first).map((k) => {
      const point = found?.points[first + k];
      return [name, k, ...(point ? back(point).map((x) => x.toFixed(2)) : ["", ""])].join(",");
    }));
    return ["structure,index,x,y", ...rows].join("\n");
  }

  async function open(file) {
    if (!file) return;
    await say(`Opening ${file.name}; it stays in this page …`);
    try {
      whole = { ...(await readPicture(file)), name: `${file.name} ${Date.now()}` };
    } catch (error) {
      return say(`${file.name} cannot be opened (${error.message}); export the radiograph as PNG or JPEG.`);
    }
    if (!ask) say(`${file.name} is open, and stays in this page.`);
    state.set("image", -1);
  }
  chooser.addEventListener("change", () => open(chooser.files[0]));
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => (event.preventDefault(), open(event.dataTransfer.files[0])));

  // In a page: what there is to load, and after a click it is loaded.
  function offer() {
    const workers = (brought().workers ??= {}); // the page's, for all of its widgets
    const size = megabytes(brought().sizes.runtime + (brought().sizes[data.network] ?? NaN));
    const start = button(first, `start the network (${size})`, async () => {
      start.disabled = true;
      try {
        ask = pageAnswers(await (workers[data.network] ??= begin(data.network, say)), data);
        start.remove();
        follow();
      } catch (error) {
        delete workers[data.network];
        start.disabled = false;
        say(`The network could not be started: ${error.message}.`);
      }
    });
    start.classList.add("start");
    const yours = "also a PNG or JPEG of your own that you drop here; it stays in this page";
    say(`Start the network (it loads ${size} once), and it reads whatever you show it, ${yours}. What is drawn now was read before.`);
  }

  state.listen(changed);
  changed();
  if (state.kernel) report();
  else bring("sizes").then(() => (data.network in brought().sizes ? offer() : Promise.reject()))
    .catch(() => say("The network is not beside this page, so only the first radiograph was read, when the page was made."));
}

export default widget(mount);
