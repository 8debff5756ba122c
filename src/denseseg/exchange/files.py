"""Annotations read from the files of any of the supported tools, and written to them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from xml.etree.ElementTree import ParseError, fromstring

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError, explained
from denseseg.exchange import coco, cvat, labelme, slicer
from denseseg.exchange.annotation import Annotation, Marked, image_id, landmarks_of, marks_of
from denseseg.files import atomic_folder, read_text

Tool = Literal["labelme", "coco", "cvat", "slicer"]
ENDINGS = (".json", ".xml")
Spacing = Callable[[str], float | None]
TOOLS: dict[str, ModuleType] = {"labelme": labelme, "coco": coco, "cvat": cvat, "slicer": slicer}


def read_annotations(
    path: str | Path, anatomy: Anatomy, *, spacing: Spacing = lambda name: None, origin: float | None = None
) -> dict[str, Annotation]:
    """Case id (the image's name without its ending) -> its landmarks, from a file, or from all files in a folder and below.

    Which tool wrote them is found from what they hold. Images without any landmark are there, too.
    spacing: from a case id to the image's millimetres per pixel, asked for where the tool says millimetres (3D Slicer); a pixel
    counts as a millimetre where it is unknown.
    origin: where the tool has the centre of the first pixel, 0 or 0.5, if it is not as the tool's own module here says.
    Raises DataError that names the file, what is wrong and how to fix it.
    """
    found: dict[str, list[tuple[Path, Marked]]] = defaultdict(list)
    for file in _files(Path(path)):
        tool, content = _recognised(file)
        for marked in tool.read(content, file, anatomy):
            name = image_id(marked.image)
            scale = spacing(name) or 1.0 if tool is slicer else 1.0
            shift = tool.ORIGIN if origin is None else origin
            marks = [replace(mark, points=mark.points / scale - shift) for mark in marked.marks]
            found[name].append((file, replace(marked, marks=marks)))
    return {name: _merged(parts, anatomy) for name, parts in found.items()}


def write_annotations(folder: str | Path, annotations: Iterable[Annotation], anatomy: Anatomy, tool: Tool) -> Path:
    """Write the files of a tool, and return the folder. Raises DataError where that holds annotations already."""
    folder = Path(folder)
    if folder.exists() and (old := next((p for p in folder.rglob("*") if p.suffix in ENDINGS), None)):
        raise DataError(f"{folder} holds annotations already ({old.name}); name another folder, so that nobody's work is lost")
    with atomic_folder(folder) as staging:
        TOOLS[tool].write(staging, (_marked(annotation, anatomy, TOOLS[tool]) for annotation in annotations))
    return folder


def new_folder(folder: str | Path) -> Path:
    """Make a folder and return it. Raises DataError where it holds anything."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} exists and is not empty; name a new folder, so that nothing in it is lost")
    with explained(f"{folder} cannot be made", "choose a folder in which you may write", OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise DataError(f"{path} is neither a file nor a folder; give the annotations of LabelMe, COCO, CVAT or 3D Slicer")
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if not files:
        raise DataError(f"{path} holds no .json or .xml file; give the annotations of LabelMe, COCO, CVAT or 3D Slicer")
    yield from files


def _recognised(path: Path) -> tuple[ModuleType, Any]:
    """The module of the tool that wrote this file, and the file's content."""
    with explained(f"{path} cannot be read", "export it again", (ValueError, RecursionError, ParseError)):
        text = read_text(path)
        if "<!DOCTYPE" in text:  # entities could blow up
            raise DataError(f"{path} has a document type, which no annotation tool writes; export it again")
        content = fromstring(text) if path.suffix.lower() == ".xml" else json.loads(text)
    for tool in TOOLS.values():
        if tool.matches(content):
            return tool, content
    raise DataError(f"{path} is no file of LabelMe, COCO, CVAT (for images) or 3D Slicer; remove it or convert it")


def _merged(parts: list[tuple[Path, Marked]], anatomy: Anatomy) -> Annotation:
    """All marks of one image, which may stand in several files. Raises DataError where they are of two images of one name."""
    path, first = parts[0]
    for other_path, other in parts[1:]:
        if (other.image, other.size) != (first.image, first.size):
            both = f"{path}: {first.image} and {other_path}: {other.image}"
            raise DataError(f"{both} would both be case {image_id(first.image)}; give the images names of their own")
    marks = [mark for _, marked in parts for mark in marked.marks]
    return Annotation(first.image, first.size, *landmarks_of(marks, anatomy, f"{path}: {first.image}"))


def _marked(annotation: Annotation, anatomy: Anatomy, tool: ModuleType) -> Marked:
    if image_id(annotation.image) in ("", ".", ".."):
        raise DataError(f"{annotation.image!r} is no name of an image; give it one")
    scale = annotation.spacing or 1.0 if tool is slicer else 1.0
    marks = [
        replace(m, points=(m.points + tool.ORIGIN) * scale) for m in marks_of(annotation.landmarks, annotation.hidden, anatomy)
    ]
    return Marked(annotation.image, annotation.size, marks)
