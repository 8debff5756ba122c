"""What is told to people when something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic._internal._model_construction import ModelMetaclass  # type(BaseModel), which type checkers do not take
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)  # of every model: an unknown field is an error, and so is NaN

JSON = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))  # NaN stays NaN, to be refused as what it is
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # pydantic's words for a field that a model or dataclass lacks


class DataError(ValueError):
    """Bad input. The message names the file or case, what is wrong, and how to fix it."""


class OddDataWarning(UserWarning):
    """A data set can be read, but holds what is hardly right."""


def validated(kind: Any, content: Any, source: str) -> Any:
    """`content` from outside, in plain values, as an instance of `kind` (a model, a dataclass or any type that pydantic knows).

    Nothing is converted silently: the text "3" is no number. Raises DataError with one line: source, field, what was expected.
    """
    try:
        return TypeAdapter(kind).validate_json(JSON.dump_json(content), strict=True)
    except ValidationError as error:
        raise DataError(f"{source}: {told(error)}") from None


T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def checked(cls: type[T]) -> type[T]:
    """A frozen dataclass whose fields pydantic checks; a wrong one is a DataError in one line: class, field, what was expected."""
    made: Any = dataclass(frozen=True, config=STRICT)(cls)
    plain = made.__init__

    @wraps(plain)
    def init(self: Any, *args: Any, **named: Any) -> None:
        names = [field.name for field in fields(made)][: len(args)]
        try:
            plain(self, *args[len(names) :], **dict(zip(names, args, strict=False)), **named)
        except ValidationError as error:
            raise DataError(f"{cls.__name__}: {told(error)}") from None

    made.__init__ = init
    return made


class _Refusing(ModelMetaclass):
    """Lets the wrong fields of a model that is made by its name be a DataError, as those of one that is read from a file."""

    def __call__(cls, *args: Any, **named: Any) -> Any:
        try:
            return super().__call__(*args, **named)
        except ValidationError as error:
            raise DataError(f"{cls.__name__}: {told(error)}") from None


class Checked(BaseModel, metaclass=_Refusing):
    """A model for people to make; a wrong field is a DataError in one line: class, field, what was expected."""


def told(error: ValidationError) -> str:
    """The first of pydantic's complaints in one line: field, what was expected, what was found."""
    first = error.errors()[0]
    field, kind = ".".join(str(part) for part in first["loc"]), first["type"]
    if kind in UNKNOWN:
        expected, found = "is unknown; correct the name or remove it", ""
    elif kind == "missing":
        expected, found = "is missing; add it", ""
    else:
        expected = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        found = "" if kind == "value_error" else f", got {first['input']!r:.80}"
    more = len(error.errors()) - 1
    return f"{field} {expected}{found}".strip() + (f" (and {more} more)" if more else "")


@contextmanager
def explained(problem: str, fix: str, kinds: type[Exception] | tuple[type[Exception], ...] = Exception) -> Iterator[None]:
    """Errors of these kinds in the block become a DataError: the problem, the error's first line, how to fix it.

    Image and file libraries raise many kinds for damaged files. A DataError passes as it is.
    """
    try:
        yield
    except DataError:
        raise
    except kinds as error:
        first = next(iter(str(error).splitlines()), "")[:200]
        raise DataError(f"{problem} ({type(error).__name__}: {first}); {fix}") from None


def exit_status(prepare: Callable[[], object]) -> int:
    """Run a script's work: 0, or 1 after an error told in one line, or 130 where the user stopped it.

    What a KeyboardInterrupt says, is told; without words, that the same command goes on.
    """
    try:
        prepare()
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        print(f"stopped; {str(stopped) or 'the same command goes on from here'}", file=sys.stderr)
        return 130
    return 0
