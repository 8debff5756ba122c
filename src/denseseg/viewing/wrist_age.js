// One child's hand at many ages: bones appear one after another, growth plates close. Frames were drawn in Python.

import { Stage, button, decode, frame, make, number, path, range, set, slider, widget } from "./widget.js";

const PLATES = "growth plates"; // the last row of the list: what lies between shaft and epiphysis

// The outlines of a frame, one a bone, from 16 bit steps of 1/64 pixel.
function outlines(frame, counts) {
  const steps = decode(frame.outlines, Int16Array);
  let start = 0;
  return counts.map((count) => {
    const points = range(count).map((i) => [0, 1].map((d) => steps[2 * (start + i) + d] / 64));
    start += count;
    return points;
  });
}

export function mount(el, data, state) {
  const { root, controls, panels, caption } = frame(el, "a wrist and its age");
  root.classList.add("wrist-age");
  const ages = data.frames.map((one) => one.age), last = ages.length - 1;
  const scale = { min: ages[0], max: ages[last], step: ages[1] - ages[0], digits: 1, unit: "years" };
  slider(controls, state, "age", { label: "age", ...scale });

  const stage = new Stage(panels, { ...data, title: "radiograph of one phantom child" });
  const film = { x: -0.5, y: -0.5, width: data.width, height: data.height, role: "img" };
  const image = make(stage.svg, "image", film); // no <img>, which the book's theme gives a frame
  const bones = data.bones.map(({ name }, c) => {
    const shape = make(stage.svg, "path", { class: "bone", tabindex: 0, role: "img", "aria-label": name });
    for (const event of ["focus", "pointerenter", "pointerdown"]) shape.addEventListener(event, () => state.set("lit", name));
    return { name, shape, c };
  });
  const list = make(panels, "div", { class: "dsw-controls dsw-list", role: "group", "aria-label": "bones as they appear" });
  const late = data.bones.filter((bone) => bone.onset !== null).sort((a, b) => a.onset - b.onset);
  const rows = [...late, { name: PLATES, onset: null }].map(({ name, onset }) => {
    const row = button(list, name, () => state.set("lit", name));
    for (const event of ["focus", "pointerenter"]) row.addEventListener(event, () => state.set("lit", name));
    return { name, onset, row, value: make(row, "b") };
  });

  // The frame whose age is nearest.
  const off = (one) => Math.abs(one.age - state.get("age"));
  const now = () => data.frames.reduce((best, one) => (off(one) < off(best) ? one : best));
  const there = (name, one) => one.present[data.bones.findIndex((bone) => bone.name === name)];

  function draw() {
    const one = now(), lit = state.get("lit"), shapes = outlines(one, data.counts);
    const label = `radiograph of a hand at ${number(one.age)} years`;
    set(image, { href: `data:image/jpeg;base64,${one.image}`, "aria-label": label });
    const plates = lit === PLATES;
    for (const { name, shape, c } of bones) {
      const present = one.present[c], chosen = name === lit || (plates && data.bones[c].plate);
      set(shape, { d: path(shapes[c], "Z"), "aria-label": present ? name : `${name}, not ossified yet`, class: "bone" });
      shape.classList.toggle("absent", !present);
      shape.classList.toggle("lit", chosen);
    }
    for (const { name, onset, row, value } of rows) {
      const bone = there(name, one) ? "there" : `at ${number(onset - data.tempo)} y`;
      value.textContent = name === PLATES ? `${number(one.plate_gap)} mm` : bone;
      row.classList.toggle("absent", name !== PLATES && !there(name, one));
      row.setAttribute("aria-pressed", name === lit);
    }
    tell(one, lit);
  }

  function tell(one, lit) {
    const count = one.present.filter(Boolean).length;
    const ages = `${number(one.age)} years, bone age ${number(one.bone_age)}`;
    caption.textContent = `${ages}: ${count} of ${data.bones.length} structures are there.`;
    const bone = data.bones.find(({ name }) => name === lit);
    const gap = `The growth plates of radius and ulna are ${number(one.plate_gap, 2)} mm wide; they close at a bone age of 16.`;
    const when = () => `${there(bone.name, one) ? "appeared" : "appears"} at a bone age of ${number(bone.onset)}`;
    const told = () => (bone.onset === null ? "there from birth" : when());
    make(caption, "small", {}, bone ? `${bone.name} (${bone.group}): ${told()}.` : gap);
  }

  state.listen(draw);
  draw();
}

export default widget(mount);
