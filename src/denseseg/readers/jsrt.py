"""JSRT chest radiographs with their public landmark files -> a `CaseSet` of the chest anatomy.

Images, in one folder, in one of two forms:
    JPCLN001.IMG    the original: 2048 x 2048, big-endian unsigned 16 bit, of which 12 are used, bone dark, 0.175 mm per pixel
    JPCLN001.png    a converted copy of any square size, 8 or 16 bit, bone bright; the film's 358.4 mm give its spacing

Landmarks, published by Gaggion et al. with HybridGNet (Chest-xray-landmark-dataset), in the folders RL, LL, H, RCLA and LCLA:
    RL/JPCLN001.npy   (44, 2), (x, y) in a frame of 1024 x 1024 pixels

Masks, optional, as in the SCR database (van Ginneken et al. 2006):
    fold1/masks/right lung/JPCLN001.gif   1024 x 1024

JPCLN are the cases with a lung nodule, JPCNN those without. Converted copies differ in their grey-value window, so
train and predict on images of the same origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from skimage.io import imread
from skimage.transform import resize
from tqdm.auto import tqdm

from denseseg.anatomy import CHEST
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError, explained
from denseseg.files import read_bytes, require_file
from denseseg.geometry.frame import Size, scale_points
from denseseg.pictures import read_picture
from denseseg.readers.files import Report, cached_image, few, one_file_each, verify_checksums

IMG_SIZE: Size = (2048, 2048)
IMG_TOP = 4095  # 12 bit
FIELD_OF_VIEW = 358.4  # mm along each side: 2048 pixels of 0.175 mm
LANDMARK_FRAME: Size = (1024, 1024)
FOLDERS = dict(zip(CHEST.names, ("RL", "LL", "H", "RCLA", "LCLA"), strict=True))
CASE_NAME = re.compile(r"JPC[LN]N\d{3}")
NODULES, NORMALS = 154, 93  # JPCLN001 to JPCLN154 and JPCNN001 to JPCNN093, in the order of their file names
PAPER_TRAIN = 160  # of these 247
INFO = {
    "source": "JSRT (Japanese Society of Radiological Technology); landmarks: Gaggion et al., Chest-xray-landmark-dataset",
    "licence": "the terms of JSRT bind you and forbid passing the images on; see also the terms of the landmark files",
}


def read_jsrt(
    images: str | Path,
    landmarks: str | Path,
    masks: str | Path | None = None,
    size: int | None = None,
    *,
    checksums: str | Path | None = None,
    converted: str | Path | None = None,
    progress: bool = False,
) -> tuple[CaseSet, Report]:
    """Read the folders described at the top of this module.

    size: side in pixels to which images, landmarks and masks are resized; None keeps the files' own size
        (all originals at full size take 4 GB of memory).
    checksums: a file as sha256sum writes it, with names relative to `images`; verified before anything is read.
    converted: a folder that keeps the resized images as 16-bit PNG; those it already holds are not converted again.

    Metadata of a case: `split` (train or test, as in the paper: the first 160 of JSRT's 247 file names train, the last 87
    test, whichever of them are there) and `stratum` (nodule or normal). Raises DataError that names the file and how to fix it.
    """
    if size is not None and size < 8:
        raise DataError(f"size={size}: give at least 8 pixels a side")
    if masks is not None and not _mask_files(Path(masks)):
        raise DataError(f"{masks} holds no fold1/masks/STRUCTURE/NAME.gif; give the SCR folder, or leave out masks")
    paths, report = find_images(Path(images)), Report()
    annotated = find_landmarks(Path(landmarks))
    if checksums is not None:
        report.notes += verify_checksums(Path(images), Path(checksums), paths)
    report.left_out = {name: "no landmarks in any of the five folders" for name in paths if name not in annotated}
    cases = []
    for name in tqdm([name for name in paths if name in annotated], desc="JSRT", unit="image", disable=not progress):
        image = _image(paths[name], size, None if converted is None else Path(converted))
        side = len(image)
        points = scale_points(read_landmarks(Path(landmarks), name), LANDMARK_FRAME, (side, side))
        own = None if masks is None else read_masks(Path(masks), name, side)
        metadata = {"stratum": "nodule" if name.startswith("JPCLN") else "normal"}
        cases.append(Case(name, image, points, CHEST, own, FIELD_OF_VIEW / side, metadata))
    if not cases:
        raise DataError(f"none of the {len(annotated)} cases of {landmarks} is among the {len(paths)} images of {images}")
    report.kept = [case.id for case in cases]
    report.notes += _remarks(cases, annotated - set(paths), wants_masks=masks is not None)
    report.notes += _check_polarity(cases, Path(images))
    report.notes += _mark_split(cases)
    return CaseSet("JSRT", CHEST, cases, INFO), report


# ---- images -----------------------------------------------------------------------------------------------------


def find_images(folder: Path) -> dict[str, Path]:
    """Case id -> file, in file-name order. Raises DataError where there is none, or two for one case."""
    files = sorted((path.stem.upper(), path) for path in folder.glob("*") if path.suffix.lower() in (".img", ".png"))
    known = [(name, path) for name, path in files if CASE_NAME.fullmatch(name)]
    example = "JPCLN001.IMG or JPCLN001.png, ..."
    return one_file_each(folder, known, example, f"no JSRT image; expected names are {example}", keep="one of them")


def read_img_file(path: str | Path) -> np.ndarray:
    """An original .IMG file as (2048, 2048) float32 in [0, 1], bone bright.

    The file stores film density: dark film, such as the lungs, has large values. So grey = 1 - value / 4095.
    Raises DataError for a wrong number of bytes, or values beyond 12 bit.
    """
    require_file(Path(path))
    found, expected = Path(path).stat().st_size, 2 * IMG_SIZE[0] * IMG_SIZE[1]
    if found != expected:
        raise DataError(f"{path} has {found} bytes instead of {expected} (2048 x 2048 of 2 bytes); copy or unpack it again")
    with explained(f"{path} cannot be read", "check its disk", OSError):
        raw = np.fromfile(path, dtype=">u2")
    if raw.max() > IMG_TOP:
        swapped = raw.byteswap().max() <= IMG_TOP
        cause = "its bytes are in little-endian order; use the original file" if swapped else "it is not a JSRT original"
        raise DataError(f"{path} holds values up to {raw.max()}, a JSRT file at most {IMG_TOP}: {cause}")
    return 1 - raw.reshape(IMG_SIZE).astype(np.float32) / IMG_TOP


def _image(path: Path, size: int | None, converted: Path | None) -> np.ndarray:
    """The square image at the wanted size, from the folder of converted images where it is there already. Raises DataError."""

    def convert() -> np.ndarray:
        image = read_img_file(path) if path.suffix.lower() == ".img" else read_picture(path)
        height, width = image.shape
        if height != width:
            raise DataError(f"{path} has {width} x {height} pixels; JSRT is square: convert it again without cropping it")
        if size in (None, height):
            return image
        return np.clip(resize(image, (size, size), order=1, anti_aliasing=size < height), 0, 1)

    if size is None or converted is None:
        return convert()
    return cached_image(converted / f"{path.stem.upper()}.png", (size, size), convert)


# ---- landmarks --------------------------------------------------------------------------------------------------


def find_landmarks(folder: Path) -> set[str]:
    """Ids of the cases with a file in at least one of the five folders. Raises DataError where all folders are missing."""
    parts = [folder / part for part in FOLDERS.values()]
    if not any(part.is_dir() for part in parts):
        raise DataError(f"{folder} holds none of the folders {', '.join(FOLDERS.values())}; give the one that holds them")
    files = (path for part in parts for path in part.glob("*.npy"))
    return {path.stem for path in files if CASE_NAME.fullmatch(path.stem)}  # the public folders hold other data sets too


def read_landmarks(folder: Path, name: str) -> np.ndarray:
    """(166, 2) float64 landmarks of one case, (x, y) in the 1024-pixel frame; NaN for a structure without a file.

    Raises DataError for a damaged file, a wrong shape, a frame other than 1024 x 1024, and swapped axes.
    """
    points = np.full((CHEST.n_landmarks, 2), np.nan)
    for structure, where in CHEST.slices.items():
        path = folder / FOLDERS[structure] / f"{name}.npy"
        if path.exists():
            points[where] = _read_points(path, where.stop - where.start)
    _check_positions(points, f"{folder}: the landmarks of {name}")
    return points


def _read_points(path: Path, count: int) -> np.ndarray:
    with explained(f"{path} cannot be read", "copy it again from the public landmark files"):
        points = np.load(path, allow_pickle=False)
    if points.shape != (count, 2):
        raise DataError(f"{path} has shape {points.shape} instead of {(count, 2)}; check that it lies in the right folder")
    if not np.issubdtype(points.dtype, np.number) or not np.isfinite(points).all():
        raise DataError(f"{path} holds values that are not finite numbers; copy it again from the public landmark files")
    return points.astype(np.float64)


def _check_positions(points: np.ndarray, what: str) -> None:
    """Raise DataError where the frame or the axes of (166, 2) landmarks cannot be right."""
    side, low, high = LANDMARK_FRAME[0], np.nanmin(points), np.nanmax(points)
    if low < -1 or high > side + 1:
        raise DataError(f"{what} span {low:.0f}..{high:.0f}; they must be in the frame of {side} x {side} pixels")
    if _implausible(points):
        cause = "x and y are swapped" if not _implausible(points[:, ::-1]) else "check that the folders are not mixed up"
        raise DataError(f"{what} have the right side right of the left, or the heart above a clavicle; {cause}")


def _implausible(points: np.ndarray) -> bool:
    """True where a rule of anatomy fails for structures that are present; a missing one breaks no rule."""
    x, y = ({name: points[where, axis].mean() for name, where in CHEST.slices.items()} for axis in (0, 1))
    return bool(
        x["right lung"] > x["left lung"]
        or x["right clavicle"] > x["left clavicle"]
        or y["right clavicle"] > y["heart"]
        or y["left clavicle"] > y["heart"]
    )


# ---- masks ------------------------------------------------------------------------------------------------------


def read_masks(folder: Path, name: str, size: int) -> np.ndarray | None:
    """(5, size, size) bool from the SCR folder layout; None where a structure has no file in either fold."""
    found = [_mask_files(folder, structure, name) for structure in CHEST.names]
    return np.stack([_read_mask(files[0], size) for files in found]) if all(found) else None


def _mask_files(folder: Path, structure: str = "*", name: str = "*") -> list[Path]:
    return sorted(folder.glob(f"fold[12]/masks/{structure}/{name}.gif"))


def _read_mask(path: Path, size: int) -> np.ndarray:
    content = BytesIO(read_bytes(path))
    with explained(f"{path} cannot be read", "copy it again"):
        mask = np.squeeze(imread(content))
    if mask.ndim == 3:  # a GIF with a palette comes as colour
        mask = mask[..., :3].max(axis=2)
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        raise DataError(f"{path} has shape {mask.shape}; an SCR mask is one square image")
    return resize((mask > 0).astype(np.float32), (size, size), order=1, anti_aliasing=size < len(mask)) >= 0.5


# ---- checks of the whole set, the split -------------------------------------------------------------------------


def _remarks(cases: list[Case], without_image: set[str], wants_masks: bool) -> list[str]:
    notes = []
    for structure in CHEST.names:
        if missing := [case.id for case in cases if np.isnan(case.points(structure)).any()]:
            notes.append(f"no landmarks of the {structure}, which counts as missing, in {few(missing)}")
    if without_image:
        notes.append(f"landmarks without an image, not used: {few(sorted(without_image))}")
    if wants_masks and (unmasked := [case.id for case in cases if case.masks is None]):
        notes.append(f"not all SCR masks are there, so the landmarks' contours stand in for them: {few(unmasked)}")
    return notes


def _check_polarity(cases: list[Case], folder: Path) -> list[str]:
    """Air is dark where bone is bright: raise DataError where most lungs are brighter than the heart, note single ones."""
    lungs = ("right lung", "left lung")
    inverted = [case.id for case in cases if _mean_grey(case, lungs) > _mean_grey(case, ("heart",))]
    if len(inverted) > len(cases) / 2:
        raise DataError(f"{folder}: lungs are brighter than the heart in {len(inverted)} of {len(cases)} images; invert them")
    return [f"lungs brighter than the heart, please look at {few(inverted)}"] if inverted else []


def _mean_grey(case: Case, structures: Iterable[str]) -> float:
    """Mean grey value within the structures that are there; NaN where none is."""
    inside = true_masks(case)[[CHEST.index(name) for name in structures]].any(0)
    return float(case.image[inside].mean()) if inside.any() else np.nan


def _mark_split(cases: list[Case]) -> list[str]:
    """Set `split` as the paper does, by name, so that an image of its test part never trains; returns a note on what is missing."""
    for case in cases:
        before = 0 if case.id.startswith("JPCLN") else NODULES
        case.metadata["split"] = "train" if before + int(case.id[-3:]) <= PAPER_TRAIN else "test"
    n_train, total = sum(case.metadata["split"] == "train" for case in cases), NODULES + NORMALS
    note = f"{len(cases)} of {total} cases: of the paper's {PAPER_TRAIN} training images {n_train}, of its {total - PAPER_TRAIN}"
    return [f"{note} test images {len(cases) - n_train}"] if len(cases) < total else []
