from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import load_script, self_intersects
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from denseseg.anatomy import CHEST
from denseseg.cases.folder import read_cases
from denseseg.errors import DataError
from denseseg.geometry.frame import scale_points
from denseseg.phantom import TRANSFER, WIDE_LOOKS, ChestPhantom, chest_phantom, wrist_phantom
from denseseg.phantom.chest.population import Maps, Physiology
from denseseg.phantom.chest.shapes import chest_outlines
from denseseg.phantom.warps import Affine, Chain, Coupling, Wave, smooth_variation

SMALL = (64, 64)
SEEDS = st.integers(0, 2**31)
AVERAGE = Physiology("female", *[0.0] * (len(fields(Physiology)) - 1))


def field_landmarks(who: Physiology, seed: int = 1) -> dict[str, np.ndarray]:
    """Landmarks of a given physiology in hundredths of the field, with the individual variation of `seed`."""
    maps = Maps.random(who, np.random.default_rng(seed))
    outlines = zip(CHEST.names, maps.structures, chest_outlines(), strict=True)
    return {name: np.stack(chain.forward(*outline.landmarks.T), axis=1) for name, chain, outline in outlines}


def masks(phantom: ChestPhantom) -> np.ndarray:
    return np.stack([polygon2mask(phantom.size, phantom.case.points(name)[:, ::-1]) for name in CHEST.names])


# ---- warps ----------------------------------------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_warp_is_undone_by_its_inverse(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-20, 120, (2, 50))
    turn = Affine.of((0.8, 1.3), 25.0, (50, 40), (3, -2))
    squeeze = Coupling(1, Wave(0.2, bumps=((0.3, 40.0, 10.0),)), Wave.random(rng, 3, 60), pivot=10)
    for warp in (turn, squeeze, smooth_variation(rng, (50, 40), 0.3, 4, 60), Chain((turn, squeeze))):
        np.testing.assert_allclose(warp.inverse(*warp.forward(*points)), points, atol=1e-9)
        np.testing.assert_allclose(warp.forward(*warp.inverse(*points)), points, atol=1e-9)


def test_affine_scales_then_turns_clockwise_on_the_screen():
    x, y = Affine.of((2.0, 1.0), 90.0, (1, 1), (10, 0)).forward(np.array([2.0]), np.array([1.0]))
    np.testing.assert_allclose([x[0], y[0]], [11, 3])


# ---- truth ----------------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_material_and_place_are_inverse_inside_every_structure(seed, index):
    phantom = ChestPhantom(seed, index, (96, 128))
    for i, name in enumerate(CHEST.names):
        outline = phantom.landmarks[CHEST.slices[name]]
        inside = np.argwhere(polygon2mask(phantom.size, outline[:, ::-1]))[:, ::-1].astype(float)
        for points in (inside, outline):
            np.testing.assert_allclose(phantom.place(i, phantom.material(i, points)), points, atol=1e-6)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_landmarks_are_the_placed_canonical_ones_and_material_brings_them_back(seed):
    phantom = ChestPhantom(seed, 3, SMALL)
    for i, where in enumerate(CHEST.slices.values()):
        np.testing.assert_allclose(phantom.place(i, phantom.canonical[where]), phantom.landmarks[where])
        np.testing.assert_allclose(phantom.material(i, phantom.landmarks[where]), phantom.canonical[where], atol=1e-6)


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_the_maps_never_fold(seed):
    phantom, h = ChestPhantom(seed, 0, (128, 128)), 1e-4
    right, down = np.array([h, 0]), np.array([0, h])
    for i, name in enumerate(CHEST.names):
        inside = np.argwhere(polygon2mask(phantom.size, phantom.landmarks[CHEST.slices[name]][:, ::-1]))[:, ::-1].astype(float)
        dx = (phantom.material(i, inside + right) - phantom.material(i, inside - right)) / (2 * h)
        dy = (phantom.material(i, inside + down) - phantom.material(i, inside - down)) / (2 * h)
        determinant = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
        assert determinant.min() > 0.2, f"{name}: the map shrinks an area to {determinant.min():.3f}"


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_outlines_do_not_cross_themselves_and_stay_in_the_picture(seed):
    phantom = ChestPhantom(seed, 1, (256, 256))
    for name, where in CHEST.slices.items():
        assert not self_intersects(phantom.landmarks[where]), name
    assert phantom.landmarks.min() > -26 and phantom.landmarks.max() < 256 + 26
    inside = ((phantom.landmarks >= 0) & (phantom.landmarks <= 255)).all(axis=1)
    assert inside.mean() > 0.8


def test_a_crossing_outline_is_noticed():
    assert self_intersects(np.array([(0, 0), (1, 1), (1, 0), (0, 1)], float))


def test_landmarks_start_and_run_as_documented_and_are_evenly_spaced():
    for structure, outline in zip(CHEST.structures, chest_outlines(), strict=True):
        assert len(outline.landmarks) == structure.count
        gaps = np.linalg.norm(outline.landmarks - np.roll(outline.landmarks, -1, axis=0), axis=1)
        assert gaps.max() < 1.7 * gaps.min()
    right, left, *_, right_clavicle, left_clavicle = (outline.landmarks for outline in chest_outlines())
    assert right[:, 1].argmin() == 0 and left[:, 1].argmin() == 0  # the apex
    assert right[5, 0] < right[0, 0] and left[5, 0] > left[0, 0]  # then down the chest wall, away from the spine
    assert right[:, 0].max() < 50 < left[:, 0].min()  # the patient's right is on the image's left
    np.testing.assert_allclose(left_clavicle, right_clavicle * [-1, 1] + [100, 0])


def test_breathing_moves_the_clavicles_against_the_lungs():
    out, full = (field_landmarks(replace(AVERAGE, breathing=b)) for b in (-1.5, 1.5))
    for side in ("right", "left"):

        def gap(points, side=side):  # from the clavicle down to the lung's apex
            return points[f"{side} lung"][0, 1] - points[f"{side} clavicle"][:, 1].mean()

        assert gap(full) - gap(out) > 2  # more than 7 mm
        assert np.ptp(full[f"{side} lung"][:, 1]) > 1.15 * np.ptp(out[f"{side} lung"][:, 1])


def test_a_larger_heart_raises_the_cardiothoracic_ratio_and_pushes_the_lung_aside():
    small, large = (field_landmarks(replace(AVERAGE, heart=h)) for h in (-2, 2))
    assert np.ptp(large["heart"][:, 0]) > 1.2 * np.ptp(small["heart"][:, 0])
    border = slice(33, 40)  # of the left lung along the heart
    assert large["left lung"][border, 0].mean() > small["left lung"][border, 0].mean() + 1


def test_the_mean_shape_is_a_poor_guess():
    points = np.stack([ChestPhantom(0, i, (256, 256)).landmarks for i in range(60)]) * 358.4 / 256
    error = np.linalg.norm(points - points.mean(0), axis=2).mean()
    assert 13 < error < 22  # mm; what is known of adults on such films is 15 to 20


# ---- images and data sets -------------------------------------------------------------------------------------------


def test_the_same_number_gives_the_same_phantom_and_another_another():
    one, again, other, elsewhere = (ChestPhantom(5, i, SMALL).case if s else ChestPhantom(6, i, SMALL).case
                                    for s, i in ((1, 2), (1, 2), (1, 3), (0, 2)))  # fmt: skip
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.landmarks, again.landmarks)
    for case in (other, elsewhere):
        assert np.abs(case.landmarks - one.landmarks).max() > 1
        assert np.abs(case.image - one.image).mean() > 0.01


def test_the_anatomy_does_not_depend_on_the_size():
    small, large = ChestPhantom(0, 4, (64, 96)), ChestPhantom(0, 4, (192, 288))
    np.testing.assert_allclose(large.landmarks, scale_points(small.landmarks, (64, 96), (192, 288)), atol=1e-9)
    assert small.case.spacing == pytest.approx(3 * large.case.spacing)
    assert small.case.metadata == large.case.metadata
    averaged = large.case.image.reshape(64, 3, 96, 3).mean((1, 3))
    assert np.corrcoef(averaged.ravel(), small.case.image.ravel())[0, 1] > 0.98


def test_an_oblong_image_shows_more_and_stretches_nothing():
    square, wide = ChestPhantom(0, 4, (64, 64)), ChestPhantom(0, 4, (64, 96))
    np.testing.assert_allclose(wide.landmarks, square.landmarks + np.array([16, 0]), atol=1e-9)
    tall = ChestPhantom(0, 4, (128, 64))
    np.testing.assert_allclose(tall.landmarks, square.landmarks + np.array([0, 32]), atol=1e-9)
    assert tall.case.spacing == wide.case.spacing == square.case.spacing == pytest.approx(5.6)


def test_images_are_radiographs_bone_bright_lungs_dark():
    bright = []
    for index in range(6):
        phantom = ChestPhantom(1, index, (128, 128))
        image, inside = phantom.case.image, masks(phantom)
        assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
        lungs = (inside[0] | inside[1]) & ~inside[2:].any(axis=0)
        assert image[lungs].mean() + 0.2 < image[inside[2]].mean()  # lungs are darker than the heart
        middle = round(phantom.case.points("heart")[:, 0].mean())
        assert image[lungs].mean() + 0.2 < image[40:60, middle - 4 : middle + 5].mean()  # and than the mediastinum above it
        upper = np.arange(128)[:, None] < phantom.landmarks[CHEST.slices["right clavicle"]][:, 1].max() + 4
        bone = inside[3:].any(axis=0) & (inside[0] | inside[1])
        bright.append(image[bone].mean() - image[lungs & upper].mean())
        assert bright[-1] > 0
    assert np.mean(bright) > 0.05


def test_texture_moves_with_the_lung():
    """Seen in its canonical frame, a lung looks like that of another phantom more than in the image frame."""
    phantoms = [ChestPhantom(2, i, (128, 128)) for i in range(8)]
    canonical = phantoms[0].canonical[CHEST.slices["right lung"]]
    grid = np.argwhere(polygon2mask((128, 128), canonical[:, ::-1]))[:, ::-1].astype(float)

    def sampled(at):
        values = []
        for phantom in phantoms:
            x, y = np.clip(np.rint(at(phantom)), 0, 127).astype(int).T
            values.append(phantom.case.image[y, x])
        return np.corrcoef(values)[np.triu_indices(len(phantoms), 1)].mean()

    assert sampled(lambda phantom: phantom.place(0, grid)) > sampled(lambda phantom: grid) + 0.15


def test_a_data_set_is_split_65_to_35_and_grows_without_changing():
    few, many = chest_phantom(5, SMALL, seed=3), chest_phantom(20, SMALL, seed=3)
    assert [case.metadata["split"] for case in many].count("train") == 13
    for a, b in zip(few, many, strict=False):
        assert a.id == b.id
        np.testing.assert_array_equal(a.image, b.image)
    columns = {"split", "stratum", "ctr", "breathing", "build", "height", "heart", "shrug", "rotation", "tilt", "tissue", "sex"}
    assert columns <= set(few[0].metadata)
    parts = many.split("paper", validation=0.2)
    assert len(parts.test) == 7 and len(parts.train) + len(parts.validation) == 13


def test_ratio_in_the_metadata_is_that_of_the_landmarks():
    case = ChestPhantom(0, 0, SMALL).case
    chest = np.concatenate([case.points("right lung"), case.points("left lung")])[:, 0]
    assert case.metadata["ctr"] == pytest.approx(np.ptp(case.points("heart")[:, 0]) / np.ptp(chest), abs=1e-3)


def test_a_tiny_image_is_refused():
    with pytest.raises(DataError, match="at least 32 x 32"):
        ChestPhantom(0, 0, (16, 64))


# ---- the script -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script():
    return load_script(Path(__file__).parents[2] / "data_scripts" / "make_phantom.py")


def test_the_script_writes_a_folder_and_does_not_overwrite_unasked(script, tmp_path, capsys):
    folder = tmp_path / "phantom"
    arguments = ["--anatomy", "chest", "--n", "3", "--size", "48x64", "--seed", "7", str(folder)]
    assert script.main(arguments) == 0
    written = read_cases(folder)
    expected = chest_phantom(3, (48, 64), seed=7)
    assert [case.id for case in written] == [case.id for case in expected]
    np.testing.assert_allclose(written[1].landmarks, expected[1].landmarks, atol=1e-3)
    np.testing.assert_allclose(written[1].image, expected[1].image, atol=1e-4)
    assert script.main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert script.main([*arguments[:3], "2", *arguments[4:], "--overwrite"]) == 0
    assert len(read_cases(folder)) == 2


def test_the_script_knows_the_wrist_and_its_size(script, tmp_path, capsys):
    assert script.main(["--anatomy", "wrist", "--n", "1", "--seed", "7", str(tmp_path / "wrist")]) == 0
    written, expected = read_cases(tmp_path / "wrist"), wrist_phantom(1, (384, 224), seed=7)
    assert written.anatomy == expected.anatomy and written[0].size == (384, 224)
    assert written.fingerprint() == expected.fingerprint()
    assert script.main(["--anatomy", "wrist", "--n", "1", "--size", "64", str(tmp_path / "small")]) == 1
    assert "at least 96 x 56" in capsys.readouterr().err


def test_the_script_writes_randomised_ones_when_asked(script, tmp_path):
    assert script.main(["--n", "1", "--size", "32", "--seed", "7", "--randomised", str(tmp_path / "wild")]) == 0
    written, expected = read_cases(tmp_path / "wild"), chest_phantom(1, (32, 32), 7, TRANSFER, WIDE_LOOKS)
    np.testing.assert_allclose(written[0].landmarks, expected[0].landmarks, atol=1e-3)
    assert written.name == expected.name


def test_the_script_never_deletes_other_things(script, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert script.main(["--n", "1", "--size", "32", "--overwrite", str(tmp_path)]) == 1
    assert "thesis.tex" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("bad", [["--n", "0"], ["--size", "big"], ["--size", "1x2x3"], ["--seed", "-1"]])
def test_the_script_names_a_bad_option(script, tmp_path, capsys, bad):
    with pytest.raises(SystemExit):
        script.main([*bad, str(tmp_path / "out")])
    assert bad[0] in capsys.readouterr().err


def test_with_a_key_the_folder_tells_no_age(script, tmp_path, capsys):
    folder, key = tmp_path / "hands", tmp_path / "ages.csv"
    arguments = ["--anatomy", "wrist", "--n", "5", "--size", "96x56", "--seed", "987654321", "--key", str(key), str(folder)]
    assert script.main(arguments) == 0
    shown, known = read_cases(folder), pd.read_csv(key).set_index("case")
    drawn = {case.id: case for case in wrist_phantom(5, (96, 56), seed=987654321)}
    assert [case.id for case in shown] == [f"wrist{k:03d}" for k in range(5)]
    assert list(known.drawn_as) != sorted(known.drawn_as)
    for case in shown:
        assert set(case.metadata) == {"laterality"}
        truth = drawn[known.drawn_as[case.id]]
        assert known.age_months[case.id] == truth.metadata["age_months"]
        np.testing.assert_allclose(case.image, truth.image, atol=1e-4)
    told = " ".join(path.read_text() for path in folder.glob("*.*") if path.is_file())
    assert "987654321" not in told and "age" not in told.replace("image", "")
    assert script.main(arguments) == 1
    assert "ages.csv exists" in capsys.readouterr().err
    assert script.main(["--n", "1", "--key", str(tmp_path / "new" / "key.csv"), str(tmp_path / "new")]) == 1
    assert "keep the key somewhere else" in capsys.readouterr().err
