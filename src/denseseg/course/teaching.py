"""Worksheets and exam as pages to print, each twice: with blanks for students, with answers for the teacher.

    python -m denseseg.course.teaching

A file in teaching/ is markdown; what stands between [[ and ]] is an answer: a blank of its length on the students' page, and
ruled lines where it makes a whole paragraph.
"""

from __future__ import annotations

import argparse
import html
import re
import shutil
import sys
from pathlib import Path

from nbconvert.filters import markdown2html

from denseseg.course.folders import find_root
from denseseg.errors import DataError, exit_status

ANSWER = re.compile(r"\[\[(.+?)\]\]", re.DOTALL)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
@page {{ size: A4; margin: 14mm; }}
body {{ font: 10.5pt/1.42 sans-serif; max-width: 46rem; margin: 1rem auto; }}
h1 {{ font-size: 1.5em; margin: 0 0 0.4em; }} h2 {{ font-size: 1.1em; margin: 1em 0 0.3em; }}
p, ul, ol {{ margin: 0.35em 0; }} li {{ margin-bottom: 0.45em; }} a.anchor-link {{ display: none; }}
table {{ border-collapse: collapse; }} td, th {{ border: 1px solid #888; padding: 0.25em 0.6em; text-align: left; }}
.blank {{ display: inline-block; border-bottom: 1px solid #333; height: 1em; }}
.lines {{ display: block; border-bottom: 1px solid #999; height: 1.7em; }}
.answer {{ color: #7a1f00; font-weight: bold; }}
</style></head><body>
{body}
</body></html>
"""


def page(source: str, key: bool) -> str:
    """A sheet as HTML: with its answers where `key`, with blanks in their places otherwise. Raises DataError without any answer."""
    if not ANSWER.search(source):
        raise DataError("a sheet without any [[answer]] has nothing to fill in; mark its answers")
    title = source.split("\n", 1)[0].lstrip("# ")
    marked = ANSWER.sub(lambda found: answered(found) if key else blank(found), source)
    title += " (key)" if key else ""
    return PAGE.format(title=html.escape(title), body=markdown2html(marked))


def answered(found: re.Match[str]) -> str:
    return f'<span class="answer">{html.escape(" ".join(found.group(1).split()))}</span>'


def blank(found: re.Match[str]) -> str:
    """Lines to write on for an answer that is a paragraph, otherwise a gap; both longer than the printed answer, as hands need."""
    before, after = found.string[: found.start()], found.string[found.end() :]
    length = len(found.group(1))
    if re.search(r"(\n\s*|^)$", before) and re.match(r"\s*(\n|$)", after):
        return '<span class="lines"></span>' * max(2, round(length / 75))
    return f'<span class="blank" style="width: {max(5, 0.75 * length):.0f}em"></span>'


def write_sheets(root: Path) -> list[Path]:
    """Make build/teaching from teaching/: `NAME.html` and `NAME-key.html` of each worksheet and of the exam. Raises DataError."""
    folder = root / "build" / "teaching"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sheets = [*sorted((root / "teaching" / "worksheets").glob("*.md")), root / "teaching" / "exam.md"]
    written = []
    for sheet in sheets:
        source = sheet.read_text(encoding="utf-8")
        for key in (False, True):
            written.append(folder / f"{sheet.stem}{'-key' if key else ''}.html")
            written[-1].write_text(page(source, key), encoding="utf-8")
    return written


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    return exit_status(lambda: print(*write_sheets(find_root()), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
