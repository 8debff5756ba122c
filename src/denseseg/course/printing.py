"""The built book as one PDF: a browser prints its pages, which are then joined, with a table of contents and working links.

    python -m denseseg.course.printing

It prints what lies in build/book, so the book must have been built. Solutions are not printed (book/_static/denseseg.css).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject

from denseseg.course.folders import find_root
from denseseg.course.staging import toc_files
from denseseg.errors import DataError, exit_status

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-pdf-header-footer")
WAIT = 60_000  # ms of the browser's own time for formulas to be set; it passes faster than the clock's


def find_browser() -> str:
    """The program that the variable CHROMIUM names, or else the first of BROWSERS that is installed. Raises DataError."""
    wish = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [wish] if wish else BROWSERS)), None)
    if found is None:
        raise DataError(
            f"no browser to print with (looked for {wish or ', '.join(BROWSERS)}): install Chromium or Chrome, or name yours: "
            f"make pdf CHROMIUM=/path/to/it"
        )
    return found


def print_page(page: Path, pdf: Path, browser: str) -> None:
    """Print an HTML file to `pdf`. Raises DataError where the browser doesn't."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [f"--user-data-dir={profile}", f"--virtual-time-budget={WAIT}", f"--print-to-pdf={pdf}"]
        ended = subprocess.run([browser, *FLAGS, *options, page.as_uri()], capture_output=True, text=True)
    if ended.returncode != 0 or not pdf.is_file():
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DataError(
            f"{browser} did not print {page.name} ({last}); name another Chromium or Chrome: make pdf CHROMIUM=/path/to/it"
        )


def joined(printed: dict[Path, Path]) -> PdfWriter:
    """One document of the PDFs of some pages, `page -> PDF`, in order: a bookmark for each, and links from one to another.

    A link to a file on this computer that is not among them is taken out: in somebody else's hands it leads nowhere.
    """
    book, first = PdfWriter(), dict[Path, int]()
    for page, pdf in printed.items():
        first[page.resolve()] = len(book.pages)
        reader = PdfReader(pdf)
        title = (reader.metadata.title if reader.metadata else None) or page.stem
        book.append(reader, outline_item=title.split(" — ")[0])
    for sheet in book.pages:
        kept = ArrayObject()
        for reference in sheet.get("/Annots", ()):
            link = reference.get_object()
            url = urlsplit(str(link.get("/A", {}).get("/URI", "")))
            target = first.get(Path(unquote(url.path)).resolve()) if url.scheme == "file" else None
            if target is not None:
                del link["/A"]
                link[NameObject("/Dest")] = ArrayObject([book.pages[target].indirect_reference, NameObject("/Fit")])
            if url.scheme != "file" or target is not None:
                kept.append(reference)
        if kept:
            sheet[NameObject("/Annots")] = kept
        elif "/Annots" in sheet:
            del sheet["/Annots"]
    return book


def write_pdf(root: Path) -> Path:
    """Print the book that lies in build/book to build/denseseg-book.pdf. Raises DataError without a browser or a built book."""
    browser, html, target = find_browser(), root / "build" / "book" / "_build" / "html", root / "build" / "denseseg-book.pdf"
    documents = toc_files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    pages = [page for page in (html / f"{document}.html" for document in documents) if page.is_file()]
    if not pages:
        raise DataError("the book has not been built; build it first: make book, or a part of it: make preview ONLY=03")
    with tempfile.TemporaryDirectory() as folder:
        printed = {page: Path(folder) / f"{number:02d}.pdf" for number, page in enumerate(pages)}
        for page, pdf in printed.items():
            print(f"  prints {page.relative_to(html)}", flush=True)
            print_page(page, pdf, browser)
        joined(printed).write(target)
    return target


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    return exit_status(lambda: print(f"\nThe book: {write_pdf(find_root())}"))


if __name__ == "__main__":
    sys.exit(main())
