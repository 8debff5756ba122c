"""The Sphinx directive `{quiz}`: a question of book/questions on the page, which answers without a server.

    :::{quiz} name-of-the-question
    :::

Sphinx renders questions and feedback like all other text. What would give the answer away (the feedback, and which one is right)
stands encoded in the page: enough against a glance at the source, not against an attacker. book/_static/quiz.js does the rest.
"""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from denseseg.course.questions import Answer, Question, all_questions
from denseseg.errors import DataError

TASKS = {"choice": "Choose one.", "number": "Type a number.", "order": "Put these steps in order."}


class Hidden(nodes.Element):
    """Feedback that is kept from the eye; `key` is what the script decides by."""


class Quiz(SphinxDirective):
    """A question, as a form."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir) / self.config.quiz_folder
        for path in folder.glob("*.yml"):
            self.env.note_dependency(str(path))
        try:
            questions = all_questions(folder)
        except DataError as error:
            raise self.error(str(error)) from None
        if (name := self.arguments[0]) not in questions:
            raise self.error(f"there is no question {name!r} in {folder}; write one, or correct the name")
        return self.form(questions[name])

    def form(self, question: Question) -> list[nodes.Node]:
        ident = f"quiz-{question.name}"
        start = f'<form class="quiz" id="{ident}" data-name="{question.name}" data-kind="{question.kind}" novalidate>'
        title = f'<p class="quiz-title">Question <span>{TASKS[question.kind]}</span></p><div id="{ident}-ask">'
        answers = question.answers()
        return [
            raw(start + title),
            *self.parsed(question.ask),
            raw("</div>"),
            *getattr(self, question.kind)(question, answers, ident),
            *(Hidden("", *self.parsed(answer.feedback), key=answer.key) for answer in answers),
            raw('<button type="submit" class="quiz-check">Check</button><div class="quiz-said" role="status"></div></form>'),
        ]

    def choice(self, question: Question, answers: list[Answer], ident: str) -> list[nodes.Node]:
        found = [raw(f'<div class="quiz-choices" role="radiogroup" aria-labelledby="{ident}-ask">')]
        for i, answer in enumerate(answers):
            found += [raw(f'<label><input type="radio" name="{ident}" value="{i}">'), self.words(answer), raw("</label>")]
        return [*found, raw("</div>")]

    def order(self, question: Question, answers: list[Answer], ident: str) -> list[nodes.Node]:
        found = [raw(f'<ol class="quiz-steps" aria-labelledby="{ident}-ask">')]
        for i, answer in enumerate(answers[:-1]):
            found += [raw(f'<li data-answer="{i}">'), self.words(answer, ids=[f"{ident}-{i}"])]
            found.append(raw('<span class="quiz-moves">'))
            for sign, label in (("↑", "Move up"), ("↓", "Move down")):
                found.append(raw(f'<button type="button" aria-label="{label}" aria-describedby="{ident}-{i}">{sign}</button>'))
            found.append(raw("</span></li>"))
        return [*found, raw("</ol>")]

    def number(self, question: Any, answers: list[Answer], ident: str) -> list[nodes.Node]:
        field = f'<input type="text" inputmode="decimal" autocomplete="off" size="10" aria-labelledby="{ident}-ask {ident}-unit">'
        return [raw(f'<p class="quiz-number">{field} <span id="{ident}-unit">{escape(question.unit)}</span></p>')]

    def parsed(self, text: str) -> list[nodes.Node]:
        """Markdown -> nodes, as in the notebook itself."""
        parent = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), self.get_source_info()[0]), 0, parent)
        return parent.children

    def words(self, answer: Answer, **attributes: Any) -> nodes.Node:
        """The text of an answer, without the paragraph around it: a label holds only words and formulas."""
        parsed = self.parsed(answer.text or "")
        if len(parsed) != 1 or not isinstance(parsed[0], nodes.paragraph):
            raise self.error(f"the answer {answer.text!r:.60} must be one paragraph")
        return nodes.inline("", "", *parsed[0].children, **attributes)


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def visit_hidden(writer: Any, node: Hidden) -> None:
    node["start"] = len(writer.body)


def depart_hidden(writer: Any, node: Hidden) -> None:
    """What was written since the visit is taken out of the page again, and put back encoded."""
    feedback = "".join(writer.body[node["start"] :])
    del writer.body[node["start"] :]
    # the key last: the same beginnings would show in the code which answer is unlike the others
    told = base64.b64encode(json.dumps({"feedback": feedback, **node["key"]}).encode()).decode()
    writer.body.append(f'<span hidden data-told="{told}"></span>')


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("quiz_folder", "book/questions", "env")
    app.add_node(Hidden, html=(visit_hidden, depart_hidden))
    app.add_directive("quiz", Quiz)
    app.add_js_file("quiz.js", loading_method="defer")
    app.add_css_file("quiz.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
