"""Ways through the book for a class, planned in minutes: book/routes.yml, with the reading times measured.

A route has sessions, a session has steps in class and at home. A step is one of three: reading (its minutes are measured), an
exercise or something to do (their minutes are planned). No session may take longer than it has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from denseseg.course.reading import minutes_by_section
from denseseg.errors import DataError, validated


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(_Plan):
    """One line of a plan: `read` a chapter (all of it, or some sections), do an `exercise` (by its label), or `do` what is said.

    minutes: planned; None for reading, which is measured.
    """

    read: str | None = None
    sections: tuple[str, ...] = ()
    exercise: str | None = None
    do: str | None = None
    minutes: int | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Step:
        if sum(value is not None for value in (self.read, self.exercise, self.do)) != 1:
            raise ValueError("a step has one of read, exercise and do")
        if (self.minutes is None) != (self.read is not None):
            raise ValueError("reading is measured, so it has no minutes; any other step has")
        return self


class Session(_Plan):
    """Steps in class, which fit into `minutes`, and at home before it, which fit into `home_minutes`."""

    title: str
    minutes: int
    steps: tuple[Step, ...]
    home_minutes: int = 0
    home: tuple[Step, ...] = ()


class Route(_Plan):
    """A whole way: its title, whom it is for, its sessions. `core` marks the one whose chapters the book's map marks."""

    title: str
    purpose: str
    sessions: tuple[Session, ...]
    core: bool = False

    @property
    def chapters(self) -> list[str]:
        """The chapters that are read, in order."""
        steps = [step for session in self.sessions for step in (*session.home, *session.steps)]
        return list(dict.fromkeys(step.read for step in steps if step.read))


class _Routes(_Plan):
    routes: tuple[Route, ...]


class Chapters:
    """What the plans lean on: minutes of each chapter's sections, and the chapter and title of each exercise."""

    def __init__(self, root: Path) -> None:
        self.minutes: dict[str, dict[str, float]] = {}
        self.exercises: dict[str, tuple[str, str]] = {}  # label -> chapter, title
        for path in sorted((root / "notebooks").glob("*.ipynb")):
            notebook = nbformat.read(path, as_version=4)
            self.minutes[path.stem] = minutes_by_section(notebook)
            for cell in notebook.cells:
                for title, label in re.findall(r"\{exercise\} *(.*)\n:label: *(\S+)", cell.source):
                    self.exercises[label] = path.stem, title

    def minutes_of(self, step: Step) -> int:
        """Whole minutes of a step, rounded up. Raises DataError for a chapter, section or exercise that does not exist."""
        if step.exercise and step.exercise not in self.exercises:
            raise DataError(f"routes.yml: there is no exercise {step.exercise!r}; correct the label")
        if step.read is None:
            return step.minutes or 0
        if step.read not in self.minutes:
            raise DataError(f"routes.yml: there is no chapter {step.read!r}; there are: {', '.join(self.minutes)}")
        sections = self.minutes[step.read]
        if unknown := [name for name in step.sections if name not in sections]:
            raise DataError(f"routes.yml: {step.read} has no section {unknown[0]!r}; it has: {', '.join(filter(None, sections))}")
        return math.ceil(sum(sections[name] for name in step.sections or sections))

    def words(self, step: Step) -> str:
        """A step as markdown for a page of the book."""
        if step.do:
            return step.do
        if step.exercise:
            chapter, title = self.exercises[step.exercise]
            return f"exercise *{title}* ({link(chapter, 'chapter ')})"
        assert step.read is not None
        return f"read {link(step.read, 'chapter ')}" + (f": {'; '.join(step.sections)}" if step.sections else "")


def link(chapter: str, before: str = "") -> str:
    return f"{{doc}}`{before}{int(chapter.split('_')[0])} </notebooks/{chapter}>`"


def read_routes(root: Path) -> tuple[list[Route], Chapters]:
    """The routes of book/routes.yml and what they lean on. Raises DataError for a plan that does not add up or leads nowhere."""
    path = root / "book" / "routes.yml"
    routes = list(validated(_Routes, yaml.safe_load(path.read_text(encoding="utf-8")), str(path)).routes)
    chapters = Chapters(root)
    for route in routes:
        for session in route.sessions:
            for steps, given in ((session.steps, session.minutes), (session.home, session.home_minutes)):
                if (taken := total(steps, chapters)) > given:
                    where = "in class" if steps is session.steps else "at home"
                    raise DataError(
                        f"{path}: {route.title}, {session.title}: {where} {taken} minutes are planned, and there are {given}; "
                        f"leave something out"
                    )
    return routes, chapters


def total(steps: Iterable[Step], chapters: Chapters) -> int:
    return sum(chapters.minutes_of(step) for step in steps)


def render_routes(routes: Iterable[Route], chapters: Chapters) -> str:
    """Every route as markdown: a heading, and a table of minutes for each session, or of weeks where there is work at home."""
    parts = []
    for route in routes:
        weekly = any(session.home for session in route.sessions)
        plan = weeks(route, chapters) if weekly else "\n\n".join(minute_plan(s, chapters) for s in route.sessions)
        parts.append(f"### {route.title}\n\n{route.purpose}\n\n{plan}")
    return "\n\n".join(parts)


def minute_plan(session: Session, chapters: Chapters) -> str:
    """A session as a table: when a step begins, how long it takes, what it is."""
    rows, now = [f"**{session.title}**", "", "| from | minutes | what |", "| ---: | ---: | --- |"], 0
    for step in session.steps:
        taken = chapters.minutes_of(step)
        rows.append(f"| {now // 60}:{now % 60:02d} | {taken} | {chapters.words(step)} |")
        now += taken
    rows.append(f"| {now // 60}:{now % 60:02d} | {session.minutes - now} | in reserve |")
    return "\n".join(rows)


def weeks(route: Route, chapters: Chapters) -> str:
    """A route with work at home as one table, a row for each session."""
    rows = ["| week | at home, before it | in class |", "| --- | --- | --- |"]
    for number, session in enumerate(route.sessions, 1):
        cells = [
            "; ".join(f"{chapters.words(step)}, {chapters.minutes_of(step)} min" for step in steps)
            + f" (**{total(steps, chapters)}** of {given})"
            for steps, given in ((session.home, session.home_minutes), (session.steps, session.minutes))
        ]
        rows.append(f"| {number}. {session.title} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def render_core(routes: Iterable[Route], chapters: Chapters) -> str:
    """What to read on the core path, for the reader alone: chapters, sections and their minutes."""
    (core,) = [route for route in routes if route.core]
    reading = [step for session in core.sessions for step in session.steps if step.read]
    rows = ["| chapter | sections | minutes |", "| --- | --- | ---: |"]
    for step in reading:
        assert step.read is not None
        rows.append(f"| {link(step.read)} | {'; '.join(step.sections) or 'all'} | {chapters.minutes_of(step)} |")
    rows.append(f"| | together | {total(reading, chapters)} |")
    return "\n".join(rows)
