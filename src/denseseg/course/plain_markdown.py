"""MyST, in which the book is written, as plain markdown that every notebook editor shows.

The other way, MyST's extension for JupyterLab, was tried: it shows citations by their keys and a notebook's title twice, resolves
no term and no chapter of another file, folds nothing. And it helps in no other editor.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from pybtex.database import Entry, parse_file

from denseseg.course.questions import all_questions, plain_question
from denseseg.errors import DataError

DIRECTIVE = re.compile(
    r"^(?P<fence>:{3,}|`{3,})[ ]*\{(?P<name>[\w:-]+)\}[ ]*(?P<title>.*)\n(?P<body>(?:.*\n)*?)(?P=fence)[ ]*$", re.MULTILINE
)
OPTION = re.compile(r"^:(\w+):[ ]*(.*)\n", re.MULTILINE)
ROLE = re.compile(r"(?<![`\w])\{([\w:-]+)\}`([^`]+)`")
TARGET = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)
PAGE_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\([^)\s:]+\.md(?:#[^)\s]*)?\)")  # a page of the book, which an edition does not hold
PICTURE = re.compile(r"(!\[[^\]]*\])\(([^)\s:]+)\)")
ADMONITIONS = {"admonition", "attention", "caution", "danger", "hint", "important", "note", "seealso", "tip", "warning"}


def plain_markdown(text: str, root: Path) -> str:
    """Exercises become headings, questions lists, admonitions quotes or folds, citations authors and years, terms their words.

    root: the repository, whose bibliography and titles are read. Raises DataError for a directive or role that is not known here.
    """
    text = TARGET.sub("", text)
    text = DIRECTIVE.sub(lambda match: directive(match["name"], match["title"], match["body"], root), text)
    text = ROLE.sub(lambda match: role(match[1], match[2], root), text)
    return PAGE_LINK.sub(r"*\1*", text)


def directive(name: str, title: str, body: str, root: Path) -> str:
    """A directive as markdown: its options are dropped but for what they say of title and folding."""
    options = dict(OPTION.findall(body))
    body = plain_markdown(OPTION.sub("", body), root).strip()
    if name == "exercise":
        return f"### Exercise: {title} `{options['label']}`\n\n{body}"
    if name == "quiz":
        question = all_questions(root / "book" / "questions").get(title.strip())
        if question is None:
            raise DataError(f"there is no question {title.strip()!r} in book/questions; correct the name")
        return plain_markdown(plain_question(question), root)
    if name in {"figure", "image"}:
        return f"![{options.get('alt', body or 'Figure')}]({title})" + (f"\n\n{body}" if body else "")
    if name == "dropdown" or (name in ADMONITIONS and "dropdown" in options.get("class", "")):
        return f"<details>\n<summary>{title or name.capitalize()}</summary>\n\n{body}\n\n</details>"
    if name in ADMONITIONS:
        return "\n".join(f"> {line}".rstrip() for line in [f"**{title or name.capitalize()}**", "", *body.splitlines()])
    raise DataError(f"the learner edition does not know the directive {{{name}}}; say in plain_markdown.py what becomes of it")


def role(name: str, content: str, root: Path) -> str:
    """A role as markdown. `content` may be "words <target>"."""
    words, _, target = content.removesuffix(">").rpartition("<")
    words = words.strip()
    if name == "term":
        return words or content
    if name == "doc":
        return document(target, words, root)
    if name in {"cite", "cite:p", "cite:t"}:
        works = [cited(key.strip(), name == "cite:t", root) for key in content.split(",")]
        return ", ".join(works) if name == "cite:t" else f"({'; '.join(works)})"
    raise DataError(f"the learner edition does not know the role {{{name}}}; say in plain_markdown.py what becomes of it")


def document(target: str, words: str, root: Path) -> str:
    """A link to another chapter, which lies beside this one, or the name of a page of the book."""
    name = Path(target).name
    if (root / "notebooks" / f"{name}.ipynb").is_file():
        first = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4).cells[0].source
    elif (root / "book" / f"{name}.md").is_file():
        first = (root / "book" / f"{name}.md").read_text(encoding="utf-8")
    else:
        raise DataError(f"{{doc}}`{target}` leads to no chapter and no page; correct the name")
    words = words or next(line for line in first.splitlines() if line.startswith("# ")).removeprefix("# ")
    return f"[{words}]({name}.ipynb)" if (root / "notebooks" / f"{name}.ipynb").is_file() else f"*{words}*"


def cited(key: str, in_text: bool, root: Path) -> str:
    """Authors and year of a work, linked to where it can be found if the bibliography says it."""
    entry = bibliography(root / "book" / "references.bib").get(key)
    if entry is None:
        raise DataError(f"{key} is not in book/references.bib; correct the key or add the work")
    persons = entry.persons["author"]
    names = [" ".join(str(name) for name in (*person.rich_prelast_names, *person.rich_last_names)) for person in persons]
    who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
    words = f"{who} ({entry.fields['year']})" if in_text else f"{who}, {entry.fields['year']}"
    arxiv = re.search(r"arXiv:(\d+\.\d+)", " ".join(entry.fields.values()))
    if "doi" in entry.fields:
        return f"[{words}](https://doi.org/{entry.fields['doi']})"
    return f"[{words}](https://arxiv.org/abs/{arxiv[1]})" if arxiv else words


@cache
def bibliography(path: Path) -> dict[str, Entry]:
    return dict(parse_file(path).entries)


def with_pictures(cell: NotebookNode, folder: Path) -> NotebookNode:
    """The markdown cell with the pictures that it shows from files in it, so that it can be read anywhere. Changed in place."""

    def attach(match: re.Match[str]) -> str:
        path = folder / match[2]
        kind = mimetypes.guess_type(path.name)[0] or "image/png"
        cell.setdefault("attachments", {})[path.name] = {kind: base64.b64encode(path.read_bytes()).decode()}
        return f"{match[1]}(attachment:{path.name})"

    cell.source = PICTURE.sub(attach, cell.source)
    return cell
