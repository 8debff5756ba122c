"""Small synthetic files in the published layout of GRAZPEDWRI-DX and its annotations: ellipses for bones."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from PIL import Image

from denseseg.anatomy import WRIST

FRAME = (384, 224)
CENTRES = np.array([(30 + 55 * (i % 4), 35 + 75 * (i // 4)) for i in range(17)], dtype=float)  # (x, y) in the frame
RADII = (14.0, 20.0)
NAMES = (
    "0001_a_01_WRI-L1_M014",
    "0002_a_01_WRI-R1_F009",
    "0002_b_02_WRI-L1_F010",
    "0003_a_01_WRI-R1_M003",
    "0004_a_01_WRI-L1_F016",
)
ABSENT = WRIST.index("pisiform")


def contours(number: int = 0) -> np.ndarray:
    """(710, 2) landmarks, (x, y) in the frame, of the left hand; a little different in each case."""
    bones = []
    for count, centre in zip(WRIST.counts, CENTRES + 0.25 * number, strict=True):
        angle = 2 * np.pi * np.arange(count) / count
        bones.append(centre + np.column_stack([np.cos(angle), np.sin(angle)]) * RADII)
    return np.concatenate(bones)


def bone_masks(number: int = 0, size: tuple[int, int] = FRAME) -> np.ndarray:
    """(17, H, W) bool."""
    return _bone_masks(number, size).copy()


@lru_cache
def _bone_masks(number: int, size: tuple[int, int]) -> np.ndarray:
    scale = np.array([size[1] / FRAME[1], size[0] / FRAME[0]])
    y, x = np.mgrid[: size[0], : size[1]]
    at = (np.stack([x, y], axis=-1) + 0.5) / scale - 0.5
    return np.stack([(((at - centre) / RADII) ** 2).sum(axis=-1) <= 1 for centre in CENTRES + 0.25 * number])


def radiograph(number: int = 0, size: tuple[int, int] = (240, 150)) -> np.ndarray:
    """(H, W) uint16 of a left hand: dark air, grey film noise, bright bones, far from using all 16 bits."""
    noise = np.random.default_rng(number).integers(0, 200, size)
    return (3000 + noise + 9000 * bone_masks(number, size).any(axis=0)).astype(np.uint16)


@dataclass
class GrazFiles:
    """Files of five annotated frontal images of four patients, which tests may change before they `write` them."""

    folder: Path
    table: pd.DataFrame = field(default_factory=lambda: whole_table())
    masks: dict[str, np.ndarray] = field(default_factory=lambda: {n: bone_masks(i) for i, n in enumerate(NAMES)})
    points: dict[str, np.ndarray] = field(default_factory=lambda: {n: contours(i) for i, n in enumerate(NAMES)})
    images: dict[str, np.ndarray] = field(
        default_factory=lambda: {n: radiograph(i, (240 + 20 * i, 150 + 10 * i)) for i, n in enumerate(NAMES)}
    )

    def write(self) -> dict[str, Path]:
        """Write everything; returns the arguments of `read_graz`."""
        paths = {
            "images": self.folder / "images",
            "segmentations": self.folder / "raw_segmentations_no_cast.h5",
            "landmarks": self.folder / "lms_dsc_900.pth",
            "table": self.folder / "dataset_with_cv_split.csv",
        }
        self.write_images(paths["images"])
        self.table.to_csv(paths["table"], index=False)
        with h5py.File(paths["segmentations"], "w") as file:
            group = file.create_group("segmentation_mask")
            for name, masks in self.masks.items():
                group.create_dataset(name, data=masks.astype(np.uint8), compression=1)
        save_landmarks(paths["landmarks"], self.points)
        return paths

    def write_images(self, folder: Path) -> None:
        """Right hands as they are: mirrored left ones. In two folders, as the archives unpack."""
        sides = dict(zip(self.table["filestem"], self.table.get("laterality", []), strict=False))
        for i, (name, image) in enumerate(self.images.items()):
            part = folder / f"images_part{1 + i % 2}"
            part.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[:, ::-1] if sides.get(name) == "R" else image).save(part / f"{name}.png", compress_level=1)


def save_landmarks(path: Path, points: dict[str, np.ndarray]) -> None:
    """As published: float32 tensors per bone, (y, x), in a frame padded by 32 pixels."""
    padded = [torch.from_numpy(p[:, ::-1] + 32).float() for p in points.values()]
    torch.save({"keys": list(points), "lms": [list(p.split(WRIST.counts)) for p in padded]}, path)


def whole_table() -> pd.DataFrame:
    """Its columns as published, with one lateral image more; patient 2 is in both parts."""
    rows = [
        (NAMES[0], "1", 11, "M", 14.2, "L", 1, 1, "23r-M/2.1", None, None, None, 1, None, 0.144, "Siemens", 0),
        (NAMES[1], "2", 12, "F", 9.0, "R", 1, 1, None, None, None, 1, None, 1, 0.144, "Siemens", 2),
        (NAMES[2], "2", 13, "F", 10.5, "L", 1, 0, None, 1, None, None, None, None, 0.15, "Agfa", -1),
        (NAMES[3], "3", 14, "M", 3.9, "R", 1, 1, None, None, None, None, None, None, 0.144, "Agfa", 1),
        (NAMES[4], "4", 15, "F", 16.0, "L", 1, 1, None, None, 1, None, None, None, 0.144, "Agfa", 0),
        ("0001_a_01_WRI-L2_M014", "1", 11, "M", 14.2, "L", 2, 1, None, None, None, None, 1, None, 0.144, "Siemens", None),
    ]
    columns = (
        "filestem patient_id timehash gender age laterality projection initial_exam ao_classification cast diagnosis_uncertain "
        "osteopenia fracture_visible metal pixel_spacing device_manufacturer cv_test_idx"
    )
    return pd.DataFrame(rows, columns=columns.split())
