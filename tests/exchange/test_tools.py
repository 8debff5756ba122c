"""Our files in the tools' own packages: pycocotools reads COCO, and ITK, by which 3D Slicer reads images, says where a pixel lies.

LabelMe needs Qt and CVAT a server: neither can be installed for a test, and their files are tested against what they publish, in
test_files.py. (LabelMe 6.3.1 read our files when this was written.)
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import SimpleITK as sitk
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from denseseg import chest_phantom
from denseseg.cases.masks import polygon_masks
from denseseg.errors import DataError
from denseseg.exchange import annotation_of, imported, read_annotations, write_annotations
from denseseg.exchange.slicer import write_image
from denseseg.readers.image import read_image

CASES = chest_phantom(3, (96, 96))
SENT = [annotation_of(f"{case.id}.png", case.size, case.landmarks, 0.5) for case in CASES]


def read_coco(tmp_path) -> COCO:
    path = write_annotations(tmp_path / "coco", SENT, CASES.anatomy, "coco") / "annotations.json"
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def test_pycocotools_finds_the_same_landmarks_and_masks(tmp_path):
    """The masks agree but for pixels that an outline halves: a shift by half a pixel would be seen."""
    coco = read_coco(tmp_path)
    for case in CASES:
        (number,) = [i for i, image in coco.imgs.items() if image["file_name"] == f"{case.id}.png"]
        ours = polygon_masks(case.landmarks, case)
        for name, mask in zip(case.anatomy.names, ours, strict=True):
            (found,) = coco.loadAnns(coco.getAnnIds(imgIds=number, catIds=coco.getCatIds(catNms=name)))
            keypoints = np.reshape(found["keypoints"], (-1, 3))
            np.testing.assert_allclose(keypoints[:, :2], case.points(name), atol=1e-4)
            theirs = coco.annToMask(found).astype(bool)
            shifted = {d: (np.roll(mask, d, (0, 1)) ^ theirs).sum() for d in (-1, 0, 1)}
            assert (mask ^ theirs).sum() <= 0.1 * mask.sum()
            assert abs(shifted[1] - shifted[-1]) < 0.3 * (shifted[1] + shifted[-1])  # theirs lies in the middle
            assert abs(found["area"] - mask.sum()) < 0.05 * mask.sum() + 3


def test_pycocotools_calls_an_answer_that_equals_the_truth_perfect(tmp_path):
    coco = read_coco(tmp_path)
    answers = [{"score": 1.0, **{key: a[key] for key in ("image_id", "category_id", "keypoints")}} for a in coco.anns.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        heart = coco.getCatIds(catNms="heart")
        judge = COCOeval(coco, coco.loadRes([a for a in answers if a["category_id"] in heart]), "keypoints")
        judge.params.catIds, judge.params.kpt_oks_sigmas = heart, np.full(26, 0.01)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert judge.stats[0] == 1.0


def test_itk_has_each_landmark_where_the_markup_says(tmp_path):
    """An MHA image with its spacing, as the command writes it beside the markups: index to physical point is the position."""
    case = CASES[0]
    write_image(tmp_path / "a.mha", case.image, 0.5)
    image = sitk.ReadImage(str(tmp_path / "a.mha"))
    folder = write_annotations(tmp_path / "slicer", SENT[:1], CASES.anatomy, "slicer")
    back = read_annotations(folder, CASES.anatomy, spacing=dict.fromkeys(CASES.ids, 0.5).get)
    np.testing.assert_allclose(back[case.id].landmarks, case.landmarks, atol=1e-5)
    in_millimetres = read_annotations(folder, CASES.anatomy)[case.id].landmarks
    for point, position in zip(case.landmarks[:20], in_millimetres[:20], strict=True):
        np.testing.assert_allclose(image.TransformContinuousIndexToPhysicalPoint(point.tolist()), position, atol=1e-5)
    read = read_image(tmp_path / "a.mha")
    write_image(tmp_path / "b.mha", case.image, None)
    assert read_image(tmp_path / "b.mha").spacing is None and sitk.ReadImage(str(tmp_path / "b.mha")).GetSpacing() == (1, 1)
    assert read.spacing == 0.5 and np.corrcoef(read.image.ravel(), case.image.ravel())[0, 1] > 0.999


def test_millimetres_of_an_image_with_a_place_of_its_own_are_refused(tmp_path):
    """Slicer counts them from the image's origin along its directions, so they are not its pixels times the spacing."""
    case, path = CASES[0], tmp_path / "images" / f"{CASES[0].id}.mha"
    path.parent.mkdir()
    write_image(path, case.image, 0.5)
    folder = write_annotations(tmp_path / "slicer", SENT[:1], CASES.anatomy, "slicer")
    np.testing.assert_allclose(imported(folder, path.parent, "chest")[0].landmarks, case.landmarks, atol=1e-5)
    image = sitk.ReadImage(str(path))
    image.SetOrigin((10, 0))
    sitk.WriteImage(image, str(path))
    with pytest.raises(DataError, match=r"mha has an origin or a direction of its own, .*; annotate an MHA without them"):
        imported(folder, path.parent, "chest")
