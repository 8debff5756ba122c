"""uv maps: where they are valid, what they undo, and what happens where they fold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from blob import ONE, SIZE, blob
from bones import as_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from denseseg.anatomy import CHEST
from denseseg.geometry.contour import pixel_grid, polygon_mask
from denseseg.geometry.spline import fit_spline
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import fold_over_share, uv_maps
from denseseg.phantom.chest.phantom import ChestPhantom, chest_phantom

seeds = st.integers(0, 10_000)


@settings(deadline=None, max_examples=20)
@given(st.floats(-0.6, 0.6), st.floats(0.7, 1.4), seeds)
def test_spline_maps_undo_a_similarity_of_the_template(angle, scale, seed):
    template = Template(ONE, blob(seed), SIZE)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = template.points.mean(0)
    moved = scale * (template.points - centre) @ rotation.T + centre
    maps = uv_maps(as_batch(moved), template)
    y, x = maps.valid[0, 0].nonzero(as_tuple=True)
    back = (np.stack([x, y], -1) - centre) @ rotation / scale + centre
    np.testing.assert_allclose(maps.uv[0, 0, :, y, x].T, template.to_uv(0, back), atol=5e-3)
    assert maps.fold_over.max() == 0


def test_spline_maps_cover_the_mask_and_the_band_only():
    contour = blob(4)
    maps = uv_maps(as_batch(contour), Template(ONE, blob(0), SIZE), band=3)
    grown = binary_dilation(polygon_mask(contour, SIZE), np.ones((7, 7)))
    np.testing.assert_array_equal(maps.valid[0, 0].numpy(), grown)
    assert (maps.uv[~maps.valid[:, :, None].expand_as(maps.uv)] == 0).all()


def test_an_absent_structure_has_no_map_and_no_nan():
    template = Template(CHEST, ChestPhantom(0, 0, (64, 64)).canonical, (64, 64))
    landmarks = torch.as_tensor(chest_phantom(2, (64, 64)).landmarks, dtype=torch.float32)
    landmarks[0, CHEST.slices["heart"]] = torch.nan
    maps = uv_maps(landmarks, template)
    assert not maps.valid[0, 2].any()
    assert maps.valid[1, 2].any()
    assert torch.isfinite(maps.uv).all()


def test_folds_are_counted():
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="ij")
    identity = torch.stack([x, y])[None]
    everywhere = torch.ones(1, 10, 10, dtype=torch.bool)
    assert fold_over_share(identity, everywhere) == 0
    assert fold_over_share(identity.flip(1), everywhere) == 1
    assert fold_over_share(torch.zeros(1, 2, 10, 10), everywhere) == 1  # a flat one is no map either
    mirrored = torch.stack([torch.where(x < 5, x, 10 - x), y])[None]
    assert float(fold_over_share(mirrored, everywhere)) == pytest.approx(4 * 9 / 81)  # from column 5 on it runs back
    assert fold_over_share(mirrored, (x < 5)[None]) == 0


def test_an_unknown_generator_is_refused():
    with pytest.raises(ValueError, match="'spline' is not a valid Generator"):
        uv_maps(as_batch(blob(0)), Template(ONE, blob(0), SIZE), generator="spline")


def test_folded_maps_are_smoothed_until_they_do_not_fold():
    """Of two outlines with landmarks that changed places, and a sound one: each map is the first of ever smoother ones to pass."""
    template = Template(ONE, blob(0, radius=4), SIZE)  # small, so that every pixel is evaluated
    crossed, sound, bent = (blob(seed, radius=4) for seed in (1, 2, 3))
    crossed[[3, 9]] = crossed[[9, 3]]
    bent[[5, 6]] = bent[[6, 5]]
    batch = as_batch(crossed, sound, bent)
    maps = uv_maps(batch, template)
    goal, taken = torch.as_tensor(template.uv, dtype=torch.float32), []
    for landmarks, uv, valid, share in zip(batch, maps.uv[:, 0], maps.valid[:, 0], maps.fold_over[:, 0], strict=True):
        splines = [fit_spline(landmarks[None], goal, 1e-4 * 10.0**k) for k in range(5)]
        tries = [spline(pixel_grid(SIZE)[None]).mT.unflatten(2, SIZE) for spline in splines]
        shares = [float(fold_over_share(each, valid[None])) for each in tries]
        taken.append(next((k for k in range(5) if shares[k] == 0), 4))
        torch.testing.assert_close(uv, tries[taken[-1]][0] * valid, atol=1e-4, rtol=0)
        assert float(share) == pytest.approx(shares[taken[-1]])
    assert taken[1] == 0 < min(taken[0], taken[2])


def test_spline_maps_agree_with_the_true_correspondence_of_the_phantom():
    """A spline through 166 landmarks cannot know the deformation between them; it comes within about a pixel on average."""
    phantom = ChestPhantom(0, 1, (128, 128))
    template = Template(CHEST, phantom.canonical, (128, 128))
    maps = uv_maps(torch.as_tensor(phantom.case.landmarks, dtype=torch.float32)[None], template, band=0)
    for c in range(5):
        y, x = maps.valid[0, c].nonzero(as_tuple=True)
        true = template.to_uv(c, phantom.material(c, np.stack([x, y], -1).astype(float)))
        error = np.linalg.norm((maps.uv[0, c, :, y, x].T.numpy() - true) * template.half_extent[c], axis=-1)
        assert error.mean() < 1.5
