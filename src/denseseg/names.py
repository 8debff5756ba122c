"""Names: what may be shown to people as one, and what may name a case, and so its files, on every disk."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

MISSING = ("", "na", "n/a", "nan", "<na>", "#n/a", "none", "null")  # how tables say that there is nothing, in small letters
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows these are no files
PLAIN = re.compile(r"[A-Za-z0-9+_]+(?:[ .-][A-Za-z0-9+_]+)*")  # words, with one blank, dot or hyphen in between
FORBIDDEN = '/\\:*?"<>|'  # what names of files cannot bear
LONGEST = 200  # bytes of a name; disks take 255, with the ending


def one_line(text: str) -> str:
    """The text, if it is one line of signs that any file can hold. Raises ValueError."""
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
        raise ValueError("holds a control character, such as the end of a line; remove it")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(one_line)]


def name_fault(name: object) -> str | None:
    """Why this cannot name a case, and so its files, on every disk and in every table; None where it can.

    Such a name is no path, and nothing that a disk, a table or a page reads as anything else.
    """
    if not isinstance(name, str):
        return "is no text"
    if name.lower() in MISSING:
        return "is how tables say that there is nothing"
    if not name.isprintable() or name != name.strip():
        return "holds a sign that cannot be seen, or a blank at an end"
    if found := set(name) & set(FORBIDDEN):
        return f"holds {min(found)}, which names of files cannot bear"
    if name[0] == "." or name[-1] == "." or DEVICES.fullmatch(name):
        return "means something else to a disk"
    return f"is longer than {LONGEST} bytes" if len(name.encode()) > LONGEST else None


def same_file(name: str) -> str:
    """A key that is equal for names which mean the same file on a disk that ignores case and how an accent is encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def file_name(text: str) -> str:
    """A file name for a text: the same for the same text, another for another.

    A few plain words stay as they are, with "-" for a space and "--" for a hyphen. Any other text loses the characters that file
    names should not have, and gets a digest of itself.
    """
    plain = text.replace("-", "--").replace(" ", "-")
    if PLAIN.fullmatch(text) and not name_fault(plain):
        return plain
    kept = re.sub(r"[^A-Za-z0-9.+_]+", "-", text).strip(".-_")[: LONGEST // 2]
    return "_".join(filter(None, [kept, hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]]))
