"""The questions' files: what they may hold, and that each chapter of the book has its own."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT
from pydantic import ValidationError

from denseseg.course.questions import DIRECTIVE, Choice, Number, Order, plain_question, read_questions
from denseseg.errors import DataError

CHAPTERS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
QUESTIONS = read_questions(ROOT / "book" / "questions")
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)

CHOICE = {
    "name": "a-choice",
    "kind": "choice",
    "ask": "What is $1 + 1$?",
    "right": {"text": "two", "feedback": "As you count."},
    "wrong": [{"text": "one", "feedback": "That is the product."}, {"text": "eleven", "feedback": "That is how it is written."}],
}
NUMBER = {
    "name": "a-number",
    "kind": "number",
    "ask": "Half of one?",
    "value": 0.5,
    "tolerance": 0.01,
    "unit": "px",
    "right": "Half.",
    "wrong": [{"value": 2, "feedback": "That is twice."}],
    "otherwise": "Divide by two.",
}
ORDER = {
    "name": "an-order",
    "kind": "order",
    "ask": "How?",
    "steps": [{"text": "first"}, {"text": "then", "feedback": "First comes first."}, {"text": "last", "feedback": "Last is last."}],
    "right": "So it goes.",
}


def written(folder: Path, *questions: dict, file: str = "01.yml") -> Path:
    (folder / file).write_text(yaml.safe_dump(list(questions)), encoding="utf-8")
    return folder


def test_a_file_is_read_into_questions_of_three_kinds(tmp_path: Path) -> None:
    found = read_questions(written(tmp_path, CHOICE, NUMBER, ORDER))["01"]
    assert [type(question) for question in found.values()] == [Choice, Number, Order]
    assert list(found) == ["a-choice", "a-number", "an-order"]


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ({**CHOICE, "wrong": CHOICE["wrong"][:1]}, "at least 2"),
        ({**CHOICE, "wrong": [*CHOICE["wrong"], {"text": "three", "feedback": "As you count."}]}, "the same feedback twice"),
        ({**CHOICE, "wrong": [*CHOICE["wrong"], {"text": "two", "feedback": "Another."}]}, "the same text twice"),
        ({**CHOICE, "right": {"text": "two", "feedback": "  "}}, "right.feedback"),
        ({**CHOICE, "answer": "two"}, "answer is unknown"),
        ({**CHOICE, "kind": "essay"}, "essay"),
        ({**CHOICE, "name": "A Choice"}, "name"),
        ({**NUMBER, "tolerance": 0}, "tolerance"),
        ({**NUMBER, "value": "0.5"}, "value"),
        ({**NUMBER, "wrong": [{"value": 0.515, "feedback": "Near."}]}, "nearer than two tolerances"),
        ({**ORDER, "steps": [*ORDER["steps"], {"text": "never"}]}, "a feedback for each step but the first"),
    ],
)
def test_a_bad_question_is_refused_with_its_file_name_and_reason(tmp_path: Path, question: dict, complaint: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"01.yml, question {question['name']}")) as refusal:
        read_questions(written(tmp_path, question))
    assert complaint in str(refusal.value)


def test_a_name_is_used_once_in_the_book(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"02\.yml, question a-choice: this name is taken in 01\.yml"):
        read_questions(written(written(tmp_path, CHOICE), CHOICE, file="02.yml"))
    with pytest.raises(DataError, match=r"01\.yml, question a-choice: this name is taken in 01\.yml"):
        read_questions(written(tmp_path, CHOICE, CHOICE))


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "01.yml").write_text("- ask: one: two", encoding="utf-8")
    with pytest.raises(DataError, match=r"01\.yml: is no YAML"):
        read_questions(tmp_path)


def test_steps_are_never_shown_in_their_order() -> None:
    for name in map(str, range(50)):
        answers = Order.model_validate({**ORDER, "name": name}).answers()
        assert [answer.key["place"] for answer in answers[:-1]] != [0, 1, 2]


def test_the_right_choice_has_no_place_of_its_own() -> None:
    places = [
        [answer.key["right"] for answer in question.answers()].index(True)
        for chapter in QUESTIONS.values()
        for question in chapter.values()
        if question.kind == "choice"
    ]
    assert all(places.count(place) > len(places) / 8 for place in range(3))


@pytest.mark.parametrize("content", [CHOICE, NUMBER, ORDER])
def test_plain_markdown_asks_and_does_not_answer(tmp_path: Path, content: dict) -> None:
    (question,) = read_questions(written(tmp_path, content))["01"].values()
    text = plain_question(question)
    assert question.ask in text
    assert all(answer.text in text for answer in question.answers() if answer.text)
    assert not any(answer.feedback in text for answer in question.answers() if answer.feedback)
    assert str(content.get("value", "no number")) not in text


# ---- the book's own -------------------------------------------------------------------------------------------------


@every_chapter
def test_a_chapter_asks_each_of_its_questions_once(chapter: str) -> None:
    cells = nbformat.read(CHAPTERS[chapter], as_version=4).cells
    asked = [name for cell in cells if cell.cell_type == "markdown" for name in DIRECTIVE.findall(cell.source)]
    assert asked == list(QUESTIONS[chapter]), "the notebook and its file name other questions, or in another order"
    assert len(asked) >= 4


@every_chapter
def test_a_question_has_a_cell_of_its_own(chapter: str) -> None:
    for cell in nbformat.read(CHAPTERS[chapter], as_version=4).cells:
        assert "{quiz}" not in cell.source or (cell.cell_type == "markdown" and DIRECTIVE.fullmatch(cell.source))


def test_there_are_no_questions_without_a_chapter() -> None:
    assert set(QUESTIONS) <= set(CHAPTERS)


def test_no_two_feedbacks_of_the_book_are_alike() -> None:
    said = [a.feedback for chapter in QUESTIONS.values() for question in chapter.values() for a in question.answers() if a.feedback]
    assert [text for text, n in Counter(" ".join(text.lower().split()) for text in said).items() if n > 1] == []


def test_a_feedback_says_more_than_that_it_is_wrong() -> None:
    short = [
        (question.name, answer.feedback)
        for chapter in QUESTIONS.values()
        for question in chapter.values()
        for answer in question.answers()
        if answer.feedback and len(answer.feedback.split()) < 6
    ]
    assert short == []


def test_the_model_refuses_what_the_reader_would(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Number.model_validate({**NUMBER, "value": float("nan")})
