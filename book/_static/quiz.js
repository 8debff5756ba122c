// The questions of a page (course/quiz.py makes their forms): judge, say why, and remember what was answered.
document.addEventListener("DOMContentLoaded", () => {
  const forms = [...document.querySelectorAll("form.quiz")];
  if (!forms.length) return;
  const kept = memory();
  const progress = document.createElement("p");
  progress.className = "quiz-progress";
  document.querySelector("article h1").after(progress); // not the copy of the title that is only printed

  const count = () => {
    const n = forms.filter((form) => kept.has(form.dataset.name)).length;
    progress.textContent = `Questions on this page: ${n} of ${forms.length} answered. `;
    if (!n) return;
    const again = button("Forget my answers");
    again.onclick = () => {
      forms.forEach((form) => { kept.forget(form.dataset.name); form.reset(); say(form, ""); });
      count();
    };
    progress.append(again);
  };

  for (const form of forms) {
    const answers = [...form.querySelectorAll("[data-told]")].map(decoded);
    const kind = KINDS[form.dataset.kind];
    kind.prepare?.(form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = kind.given(form, answers);
      if (!answer) return say(form, `<p>${kind.missing}</p>`);
      say(form, answer.feedback, answer.right);
      if (answer.right) { kept.add(form.dataset.name); count(); }
    });
    if (kept.has(form.dataset.name)) {
      kind.solve(form, answers);
      say(form, answers.find((answer) => answer.right).feedback, true);
    }
  }
  count();
});

// for each kind: the answer that a reader has given, and how the right one is put back after a reload
const KINDS = {
  choice: {
    missing: "Choose one of the answers first.",
    given: (form, answers) => answers[form.querySelector(":checked")?.value],
    solve: (form, answers) => { form.querySelector(`[value="${answers.findIndex((a) => a.right)}"]`).checked = true; },
  },
  number: {
    missing: "Type a number first, such as 0.5 or -2.",
    given(form, answers) {
      const typed = form.querySelector("input").value.trim().replace(",", ".").replace("−", "-");
      const number = typed === "" ? NaN : Number(typed);
      if (!Number.isFinite(number)) return undefined;
      // a hair more than the tolerance: 0.3 is within 0.1 of 0.2, which sums of binary fractions miss
      return answers.find((a) => a.value === undefined || Math.abs(number - a.value) <= a.tolerance * (1 + 1e-9));
    },
    solve: (form, answers) => { form.querySelector("input").value = answers.find((a) => a.right).value; },
  },
  order: {
    prepare(form) {
      const list = form.querySelector("ol");
      const asked = [...list.children];
      form.addEventListener("reset", () => list.append(...asked));
      list.addEventListener("click", (event) => {
        const pressed = event.target.closest("button");
        const step = pressed?.closest("li");
        if (!step) return;
        const up = pressed === step.querySelector("button");
        const neighbour = up ? step.previousElementSibling : step.nextElementSibling;
        neighbour?.[up ? "before" : "after"](step);
        pressed.focus();
        say(form, `<p>Now step ${[...list.children].indexOf(step) + 1} of ${list.children.length}.</p>`);
      });
    },
    given(form, answers) {
      const steps = [...form.querySelectorAll("li")].map((li) => answers[li.dataset.answer]);
      return steps.find((step, i) => step.place !== i) ?? answers.at(-1);
    },
    solve(form, answers) {
      const steps = [...form.querySelectorAll("li")];
      form.querySelector("ol").append(...steps.sort((a, b) => answers[a.dataset.answer].place - answers[b.dataset.answer].place));
    },
  },
};

function decoded(hidden) {
  const bytes = Uint8Array.from(atob(hidden.dataset.told), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

// Show feedback; right is undefined where nothing is judged. A wrong answer leads back to the section's beginning.
function say(form, html, right) {
  const said = form.querySelector(".quiz-said");
  said.innerHTML = html;
  form.classList.toggle("quiz-right", right === true);
  form.classList.toggle("quiz-wrong", right === false);
  const section = form.closest("section");
  const heading = section?.querySelector("h1, h2, h3");
  if (right === false && heading) {
    const back = document.createElement("a");
    back.href = `#${section.id}`;
    back.textContent = `Read again: ${heading.firstChild.textContent}`;
    said.append(back);
  }
  if (right !== undefined) said.prepend(Object.assign(document.createElement("b"), { textContent: right ? "✓ Right." : "✗ Not yet." }));
  window.MathJax?.typesetPromise?.([said]);
}

function button(text) {
  return Object.assign(document.createElement("button"), { type: "button", textContent: text });
}

// Names of answered questions, kept in the browser; where it refuses (private windows, some settings) until the page is left.
function memory() {
  const here = new Set();
  const store = (work) => { try { return work(window.localStorage); } catch { return null; } };
  const key = (name) => `denseseg-quiz-${name}`;
  return {
    has: (name) => here.has(name) || store((s) => s.getItem(key(name))) !== null,
    add: (name) => { here.add(name); store((s) => s.setItem(key(name), "answered")); },
    forget: (name) => { here.delete(name); store((s) => s.removeItem(key(name))); },
  };
}
