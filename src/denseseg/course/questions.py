"""The questions at the end of sections, as their authors write them: one readable file a chapter, book/questions/NN.yml.

A file is a list of questions. Each has a `name`, which the notebook's `{quiz}` directive gives, an `ask` in MyST markdown, and
one of three kinds:

    choice   right: {text, feedback}; wrong: a list of the same, each a misconception and why it is one
    number   value, tolerance, unit; right: feedback; wrong: a list of {value, feedback}, the mistakes that are known;
             otherwise: feedback for any other number
    order    steps in their right order, each but the first with a `feedback` for those who put it too early; right: feedback
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, PositiveFloat, StringConstraints, model_validator

from denseseg.errors import STRICT, DataError, validated

DIRECTIVE = re.compile(r"^:::\{quiz\} *(\S+)\n:::$", re.MULTILINE)
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Answer(BaseModel):
    """Something that a reader may answer, and what is said then.

    text: what is shown to be chosen or moved, None for what is typed or arranged. key: what the page's script decides by.
    """

    text: str | None
    key: dict[str, Any]
    feedback: str


class Written(BaseModel):
    """What authors write: nothing unknown, nothing of another type."""

    model_config = STRICT


class Option(Written):
    """A choice and what is said to those who take it."""

    text: Text
    feedback: Text


class Step(Written):
    """A step of a procedure; feedback: why it cannot come earlier."""

    text: Text
    feedback: Text | None = None


class Mistake(Written):
    """A wrong number that a known mistake leads to."""

    value: float
    feedback: Text


class Asked(Written):
    """What all kinds of question have. name: lower case with hyphens, unique in the book."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    ask: Text

    def answers(self) -> list[Answer]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _each_answer_is_its_own(self) -> Asked:
        answers = self.answers()
        for what, found in (("feedback", [a.feedback for a in answers]), ("text", [a.text for a in answers])):
            twice = [text for text, n in Counter(found).items() if text and n > 1]
            if twice:
                raise ValueError(f"has the same {what} twice, {twice[0]!r:.60}; give each answer its own")
        return self


class Choice(Asked):
    """One of several statements."""

    kind: Literal["choice"]
    right: Option
    wrong: Annotated[list[Option], Field(min_length=2, max_length=5)]

    def answers(self) -> list[Answer]:
        """In the order of the page: mixed, but the same in each build."""
        options = [Answer(text=o.text, key={"right": o is self.right}, feedback=o.feedback) for o in (self.right, *self.wrong)]
        random.Random(self.name).shuffle(options)
        return options


class Number(Asked):
    """A number to be typed; right within the tolerance, which also says how near a known mistake must be."""

    kind: Literal["number"]
    value: float
    tolerance: PositiveFloat
    unit: str = ""
    right: Text
    wrong: list[Mistake] = []
    otherwise: Text

    def answers(self) -> list[Answer]:
        """The first whose value is near enough is the answer to a number; the last, without a value, to all others."""
        known = [(self.value, self.right), *((mistake.value, mistake.feedback) for mistake in self.wrong)]
        keys = [{"right": i == 0, "value": value, "tolerance": self.tolerance} for i, (value, _) in enumerate(known)]
        answers = [Answer(text=None, key=key, feedback=said) for key, (_, said) in zip(keys, known, strict=True)]
        return [*answers, Answer(text=None, key={"right": False}, feedback=self.otherwise)]

    @model_validator(mode="after")
    def _mistakes_are_apart(self) -> Number:
        values = sorted([self.value, *(mistake.value for mistake in self.wrong)])
        if any(after - before <= 2 * self.tolerance for before, after in pairwise(values)):
            raise ValueError("has values nearer than two tolerances, so that a number would fit both; lower the tolerance")
        return self


class Order(Asked):
    """Steps to be put in order."""

    kind: Literal["order"]
    steps: Annotated[list[Step], Field(min_length=3, max_length=7)]
    right: Text

    def answers(self) -> list[Answer]:
        """The steps, mixed, each with its place; last what is said when all are in place."""
        steps = [Answer(text=s.text, key={"right": False, "place": i}, feedback=s.feedback or "") for i, s in enumerate(self.steps)]
        mixed, chance = steps.copy(), random.Random(self.name)
        while mixed == steps:
            chance.shuffle(mixed)
        return [*mixed, Answer(text=None, key={"right": True}, feedback=self.right)]

    @model_validator(mode="after")
    def _later_steps_say_why(self) -> Order:
        if self.steps[0].feedback or not all(step.feedback for step in self.steps[1:]):
            raise ValueError("needs a feedback for each step but the first: why it cannot come earlier")
        return self


Question = Annotated[Choice | Number | Order, Field(discriminator="kind")]


def read_questions(folder: Path) -> dict[str, dict[str, Question]]:
    """Chapter ("01") -> name -> question, of all files in the folder.

    Raises DataError (file, question, what is wrong) for what is no question and for a name that is used twice.
    """
    chapters = {path.stem: _read_file(path) for path in sorted(folder.glob("*.yml"))}
    _refuse_twins((f"{chapter}.yml", name) for chapter, questions in chapters.items() for name in questions)
    return chapters


@cache
def all_questions(folder: Path) -> dict[str, Question]:
    """Name -> question, of all chapters; read once in a build."""
    return {name: question for chapter in read_questions(folder).values() for name, question in chapter.items()}


def _read_file(path: Path) -> dict[str, Question]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(
            f"{path.name}: is no YAML: {' '.join(str(error).split())}; put text with ':' or '#' in a block ('|')"
        ) from None
    entries = validated(list[dict[str, Any]], content, f"{path.name}, a list of questions")
    names = [str(entry.get("name", f"number {place}")) for place, entry in enumerate(entries, 1)]
    _refuse_twins((path.name, name) for name in names)
    return {n: validated(Question, entry, f"{path.name}, question {n}") for n, entry in zip(names, entries, strict=True)}


def _refuse_twins(places: Iterable[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for file, name in places:
        if name in first:
            raise DataError(f"{file}, question {name}: this name is taken in {first[name]}; rename one")
        first[name] = file


def plain_question(question: Question) -> str:
    """The question as plain markdown without its answer, for readers of notebooks who see no page."""
    lines = ["**Question.** " + question.ask, ""]
    lines += [f"- {answer.text}" for answer in question.answers() if answer.text]
    if question.kind == "number":
        lines += [f"*(a number{f' in {question.unit}' if question.unit else ''}, within ± {question.tolerance:g})*"]
    elif question.kind == "order":
        lines[-1:] += ["", "*(put these steps in order)*"]
    return "\n".join(lines)
