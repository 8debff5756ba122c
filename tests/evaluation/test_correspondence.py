"""Dense correspondence error: zero for the truth, the known distance for a known fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denseseg.anatomy import CHEST
from denseseg.evaluation.correspondence import consistent_places, dense_correspondence_error
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.geometry.uvmap_alternatives import polar_to_template
from denseseg.phantom import ChestPhantom

SIZE = (96, 96)


@pytest.fixture(scope="module")
def phantom() -> ChestPhantom:
    return ChestPhantom(seed=3, index=1, size=SIZE)


@pytest.fixture(scope="module")
def template(phantom) -> Template:
    return Template(CHEST, phantom.canonical, SIZE)


@pytest.fixture(scope="module")
def masks(phantom) -> np.ndarray:
    return contour_masks(torch.tensor(phantom.landmarks[None]), CHEST, SIZE)[0].bool().numpy()


def true_uv(phantom, template) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([columns, rows], -1).reshape(-1, 2).astype(float)
    maps = [template.to_uv(c, phantom.material(c, pixels)).T.reshape(2, *SIZE) for c in range(len(CHEST))]
    return np.stack(maps)


def test_the_truth_has_no_error(phantom, template, masks):
    table = dense_correspondence_error(phantom, template, true_uv(phantom, template), masks)
    assert table["structure"].tolist() == CHEST.names
    assert (table["pixels"] == masks.sum((1, 2))).all()
    assert (table["worst"] < 1e-6).all()


def test_a_shifted_chart_errs_by_the_shift_in_template_pixels(phantom, template, masks):
    shift = np.array([0.3, 0.4])
    uv = true_uv(phantom, template) + shift[None, :, None, None]
    table = dense_correspondence_error(phantom, template, uv, masks)
    expected = np.linalg.norm(shift * template.half_extent, axis=1)
    np.testing.assert_allclose(table["mean"], expected)
    np.testing.assert_allclose(table["p95"], expected)


def test_mean_p95_and_worst_are_over_the_pixels_of_the_mask(phantom, template, masks):
    """Errors that differ from pixel to pixel, and are wild outside the mask."""
    size = np.random.default_rng(0).gamma(1.0, 0.1, masks.shape)
    wild = np.where(masks, size, 1e3)
    direction = np.array([0.6, 0.8])
    uv = true_uv(phantom, template) + direction[:, None, None] * wild[:, None]
    table = dense_correspondence_error(phantom, template, uv, masks)
    for c, row in table.iterrows():
        errors = size[c][masks[c]] * np.linalg.norm(direction * template.half_extent[c])
        np.testing.assert_allclose(row[["mean", "p95", "worst"]].tolist(), [errors.mean(), np.quantile(errors, 0.95), errors.max()])


def test_an_empty_mask_is_counted_not_averaged(phantom, template, masks):
    masks = masks.copy()
    masks[2] = False
    table = dense_correspondence_error(phantom, template, true_uv(phantom, template), masks)
    assert table["pixels"][2] == 0 and np.isnan(table["mean"][2])
    assert np.isfinite(table["mean"].drop(2)).all()


def test_spline_maps_are_nearer_the_truth_than_the_published_ones(phantom, template):
    landmarks = torch.tensor(phantom.landmarks[None], dtype=torch.float32)
    mean = {}
    for method in ("tps", "linear", "published_fixed", "published"):
        maps = uv_maps(landmarks, template, generator=method)
        mean[method] = dense_correspondence_error(phantom, template, maps.uv[0], maps.valid[0])["mean"].mean()
    assert mean["tps"] < mean["published_fixed"] < mean["published"]
    assert mean["linear"] < mean["published_fixed"]


def test_a_polar_map_is_compared_through_its_own_chart(phantom, template):
    maps = uv_maps(torch.tensor(phantom.landmarks[None], dtype=torch.float32), template, generator="polar")
    structures = list(CHEST.slices.values())

    def back(c: int, uv: np.ndarray) -> np.ndarray:
        return polar_to_template(uv, template.points[structures[c]])

    heart = dense_correspondence_error(phantom, template, maps.uv[0], maps.valid[0], back).loc[CHEST.index("heart")]
    wrong = dense_correspondence_error(phantom, template, maps.uv[0], maps.valid[0]).loc[CHEST.index("heart")]
    assert heart["mean"] < 1 < wrong["mean"]


# ---- landmarks from case to case ------------------------------------------------------------------------------------


def test_true_landmarks_are_where_consistent_ones_would_be():
    phantoms = [ChestPhantom(3, i, SIZE) for i in range(3)]
    landmarks = np.stack([one.landmarks for one in phantoms])
    landmarks[1, CHEST.slices["heart"]] = np.nan
    np.testing.assert_allclose(consistent_places(phantoms, landmarks, CHEST), landmarks, atol=1e-6)


def test_one_case_out_of_step_is_off_by_its_part_of_the_step():
    phantoms = [ChestPhantom(3, 1, SIZE)] * 4  # the same chest four times, so that the step is the same in all
    landmarks = np.stack([phantoms[0].landmarks] * 4)
    lung = CHEST.slices["left lung"]
    landmarks[3, lung] = np.roll(landmarks[3, lung], 1, axis=0)
    step = phantoms[0].canonical[lung] - np.roll(phantoms[0].canonical[lung], 1, axis=0)
    error = np.stack([p.material(1, points) for p, points in zip(phantoms, landmarks[:, lung], strict=True)])
    error -= np.stack(
        [p.material(1, points) for p, points in zip(phantoms, consistent_places(phantoms, landmarks, CHEST)[:, lung], strict=True)]
    )
    np.testing.assert_allclose(error, np.multiply.outer([0.25, 0.25, 0.25, -0.75], step), atol=1e-6)
