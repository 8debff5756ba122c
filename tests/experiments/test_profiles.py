"""Profiles: shares of what a recipe says, and sizes for images of any shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denseseg.errors import DataError
from denseseg.experiments import Spec, get_profile, load_cases, recipe_of
from denseseg.experiments.profiles import PROFILES
from denseseg.training import Epochs


def spec(method: str = "denseseg", recipe: str = "default", profile: str = "course", **options) -> Spec:
    return Spec(dataset="any", method=method, recipe=recipe, profile=profile, options=options)


@pytest.mark.parametrize(
    ("profile", "recipe", "epochs", "channels", "batch"),
    [
        ("full", "paper", 100, (64, 128, 256, 512), 8),
        ("compact", "paper", 60, (32, 64, 128, 256), 4),
        ("course", "default", 25, (16, 32, 64, 128), 4),
        ("course", "many_structures", 40, (16, 32, 64, 128), 4),
        ("smoke", "default", 2, (8, 16, 32, 64), 4),
    ],
)
def test_a_profile_takes_shares_of_a_recipe(profile, recipe, epochs, channels, batch):
    found = recipe_of(spec(recipe=recipe, profile=profile))
    assert found.training.length == Epochs(epochs)
    assert found.channels == channels
    assert found.training.batch_size == batch


def test_options_have_the_last_word():
    assert recipe_of(spec(channels=(4, 8))).channels == (4, 8)
    with pytest.raises(DataError, match="no option 'chanels'"):
        recipe_of(spec(chanels=(4, 8)))


@pytest.mark.parametrize("profile", PROFILES)
def test_square_and_tall_images_have_the_papers_shapes(profile):
    own = get_profile(profile)
    assert own.size_like((2048, 2048)) == own.square
    assert own.size_like((384, 224)) == own.tall


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_images_of_any_shape_get_about_the_same_number_of_pixels(height, width):
    own = get_profile("full")
    h, w = own.size_like((height, width))
    assert h % 8 == w % 8 == 0
    aspect = height / width
    if 0.2 < aspect < 5:
        assert h / w == pytest.approx(aspect, rel=0.09)
        assert 0.85 < h * w / 256**2 < 1.35


def test_phantoms_are_loaded_by_name_and_other_names_are_folders():
    profile = get_profile("smoke")
    assert load_cases(profile).name == load_cases(profile, "chest phantom").name == "chest phantom"
    assert load_cases(profile, "wrist phantom")[0].size == profile.tall
    assert load_cases(profile, "hand phantom")[0].size == profile.size_like((320, 240)) == (72, 56)
    with pytest.raises(DataError, match='give "phantom", "chest phantom", "wrist phantom", "hand phantom" or the path'):
        load_cases(profile, "knee phantom")
