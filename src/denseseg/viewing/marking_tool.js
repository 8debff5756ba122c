// Readers mark the same points on the same image, each into a small file; the files of a class, loaded together, show its scatter.

import { Stage, button, checkbox, choice, decode, ellipse, frame, make, number, widget } from "./widget.js";

const KIND = "denseseg marks 1"; // what a file says of itself

// ---- files and numbers -------------------------------------------------------------------------------------------------

export function write({ image_name, names }, reader, marks) {
  const points = Object.fromEntries(names.map((name, k) => [name, marks[k]]));
  return JSON.stringify({ kind: KIND, image: image_name, reader, points }, null, 1);
}

// A file's { reader, marks }; throws an Error that says what is wrong with it.
export function read(text, { image_name, names }) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("no JSON; load a file that this tool has saved");
  }
  if (content?.kind !== KIND) throw new Error("no marks of this tool; load a file that it has saved");
  if (content.image !== image_name) throw new Error(`marks of the image ${content.image}, not of ${image_name}`);
  const marks = names.map((name) => content.points?.[name] ?? null);
  if (marks.some((mark) => mark && !(mark.length === 2 && mark.every(Number.isFinite)))) throw new Error("a point is not two numbers");
  return { reader: String(content.reader), marks };
}

// All readers, the later file of the same reader instead of the earlier one.
export function merge(known, added) {
  const readers = new Map([...known, ...added].map((one) => [one.reader, one]));
  return [...readers.values()];
}

// How points scatter: their mean, covariance [xx, xy, yy] (n - 1), and spread, the root mean squared distance from the mean, also
// by n - 1; one point has none.
export function scatter(points) {
  const n = points.length, mean = [0, 1].map((d) => points.reduce((sum, p) => sum + p[d], 0) / n);
  const moment = (a, b) => points.reduce((sum, p) => sum + (p[a] - mean[a]) * (p[b] - mean[b]), 0) / (n - 1);
  const covariance = [moment(0, 0), moment(0, 1), moment(1, 1)];
  return { n, mean, covariance, spread: Math.sqrt(covariance[0] + covariance[2]) };
}

// ---- the picture -------------------------------------------------------------------------------------------------------

const cross = ([x, y], r) => `M${x - r},${y}H${x + r}M${x},${y - r}V${y + r}`;

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "marking tool");
  root.classList.add("marking-tool");
  const count = data.names.length, size = data.width / 100;
  choice(controls, state, "which", "point to mark next", data.names.map((name, k) => `${k + 1} ${name}`));
  const own = make(controls, "div", { class: "dsw-controls" });
  own.dataset.lmSuppressShortcuts = true; // JupyterLab: what is typed here is a name
  const name = make(make(own, "label", {}, "your name"), "input", { type: "text", size: 10, maxlength: 40 });
  name.addEventListener("input", () => state.set("reader", name.value.trim()));
  const save = button(own, "save my file", download);
  button(own, "clear my marks", () => state.set("marks", data.names.map(() => null)));
  const others = make(controls, "div", { class: "dsw-controls" });
  const picker = make(make(others, "label", {}, "load files of the class"), "input", { type: "file", accept: ".json", multiple: "" });
  picker.addEventListener("change", load);
  const forget = button(others, "forget files", () => state.set("files", []));
  if (data.truth) checkbox(others, state, "true", "show the truth");

  const [mine, all] = ["your marks", "the class"].map((title) => {
    const stage = new Stage(panels, { ...data, title });
    stage.develop(stage.canvas(), decode(data.image, Uint8Array));
    return stage;
  });
  const crowd = make(all.svg, "g"), table = make(make(panels, "div", { class: "scatter" }), "table");
  const problems = make(root, "div", { class: "problems", role: "alert" });
  const handles = data.names.map((label, k) => {
    const handle = mine.handle(mine.svg, { label: `${k + 1} ${label}`, radius: 1.3, move: (at) => mark(k, at) });
    make(handle.group, "text", { x: 2 * size, y: -1.2 * size, "font-size": 5 * size, "stroke-width": size }, k + 1);
    return handle;
  });
  const waiting = (k) => [3 * size, (0.3 + 0.1 * k) * data.height]; // where a point waits that is not marked

  function mark(k, at) {
    state.set("marks", state.get("marks").map((old, i) => (i === k ? at.map((value) => Math.round(value * 100) / 100) : old)));
  }

  // A click places the chosen point, and the next one that is not marked is chosen.
  mine.stage.addEventListener("click", (event) => {
    if (event.target.closest(".dsw-handle")) return;
    mark(state.get("which"), mine.locate(event));
    const next = state.get("marks").findIndex((one) => !one);
    if (next >= 0) state.set("which", next);
  });

  function download() {
    const url = URL.createObjectURL(new Blob([write(data, state.get("reader"), state.get("marks"))], { type: "application/json" }));
    const slug = `${data.image_name} ${state.get("reader")}`.replace(/[^\p{L}\p{N}]+/gu, "_");
    const link = make(root, "a", { href: url, download: `marks_${slug}.json` });
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  async function load() {
    const found = [];
    problems.replaceChildren();
    for (const file of picker.files) {
      try {
        found.push(read(await file.text(), data));
      } catch (error) {
        make(problems, "p", {}, `${file.name}: ${error.message}`);
      }
    }
    picker.value = "";
    state.set("files", merge(state.get("files"), found));
  }

  // The readers: those of the files, and the one at this page.
  function readers() {
    const marks = state.get("marks");
    return marks.some(Boolean) ? merge(state.get("files"), [{ reader: state.get("reader") || "you", marks }]) : state.get("files");
  }

  function draw() {
    const marks = state.get("marks"), reader = state.get("reader"), files = state.get("files");
    if (name.value.trim() !== reader) name.value = reader;
    save.disabled = !reader || !marks.some(Boolean);
    forget.disabled = !files.length;
    handles.forEach((handle, k) => {
      handle.place(marks[k] ?? waiting(k));
      handle.group.classList.toggle("waiting", !marks[k]);
    });
    crowd.replaceChildren();
    table.replaceChildren();
    const head = make(table, "tr");
    const columns = ["", "point", "readers", `spread, ${data.unit}`, ...(state.get("true") ? [`mean off, ${data.unit}`] : [])];
    for (const text of columns) make(head, "th", { scope: "col" }, text);
    data.names.forEach((_, k) => show(k, readers().map((one) => one.marks[k]).filter(Boolean)));
    const done = marks.filter(Boolean).length, ready = done < count ? "" : reader ? " Save your file." : " Say your name, then save.";
    caption.textContent = `${done} of ${count} points marked, ${files.length} files loaded.${ready}`;
    make(caption, "small", {}, "Click, drag, or Tab and arrow keys. Spread: root mean squared distance from the readers' mean; ellipses: two standard deviations.");
  }

  // One point of the class, in the picture and in the table.
  function show(k, points) {
    const { n, mean, covariance, spread } = scatter(points), truth = state.get("true") && data.truth[k];
    for (const [cx, cy] of points) make(crowd, "circle", { class: "reader", cx, cy, r: 0.7 * size });
    if (n > 1) {
      const { rx, ry, turn } = ellipse(covariance);
      make(crowd, "ellipse", { class: "spread", rx, ry, transform: `translate(${mean}) rotate(${turn.toFixed(1)})` });
    }
    if (n) make(crowd, "path", { class: "mean", d: cross(mean, 2 * size) });
    if (truth) make(crowd, "circle", { class: "truth", cx: truth[0], cy: truth[1], r: 1.6 * size });
    const off = truth && n ? Math.hypot(mean[0] - truth[0], mean[1] - truth[1]) * data.spacing : NaN;
    const cells = [k + 1, data.names[k], n, n > 1 ? number(spread * data.spacing) : "–", ...(truth ? [n ? number(off) : "–"] : [])];
    const row = make(table, "tr");
    for (const text of cells) make(row, "td", {}, String(text));
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
