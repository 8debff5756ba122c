"""The studies of the SpatialConfiguration-Net: what is read from its components, scores, and a study of two short trainings."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.heatmaps import gaussian_heatmaps
from denseseg.methods import create
from denseseg.phantom import hand_phantom
from denseseg.studies.spatial_configuration import (
    ARMS,
    GROUPS,
    SCN,
    Arm,
    Scale,
    errors_mm,
    near,
    read_outs,
    recipe_of,
    score,
    study,
    table,
)

TINY = Scale(size=(64, 48), train=2, test=2, steps=2, features=4)


@pytest.fixture(scope="module")
def hands() -> CaseSet:
    return hand_phantom(2, TINY.size, seed=7)


def test_errors_are_in_millimetres_of_each_case(hands):
    found = hands.landmarks + (3.0, 4.0)
    spacings = np.array([case.spacing for case in hands])
    np.testing.assert_allclose(errors_mm(found, hands), np.tile(5 * spacings[:, None], 37))
    hands[0].spacing, kept = None, hands[0].spacing
    with pytest.raises(DataError, match=f"^case {hands[0].id} has no spacing"):
        errors_mm(found, hands)
    hands[0].spacing = kept


def test_a_score_counts_what_is_beyond_each_radius():
    found = score(np.array([[1.0, 3.0], [5.0, 11.0]]))
    assert (found["mean"], found["median"]) == (5.0, 4.0)
    assert [found[f"over_{radius}_mm_percent"] for radius in (2, 4, 10)] == [75, 50, 25]


def test_near_keeps_a_disc_of_each_cases_own_radius():
    landmarks = torch.tensor([[[5.0, 4.0]], [[5.0, 4.0]]])
    heatmaps = -torch.ones(2, 1, 12, 14)  # also where all is dark, the brightest place is one within the disc
    heatmaps[..., 0, 0] = -2
    kept = near(heatmaps, landmarks, torch.tensor([[1.0], [2.5]])) > -2
    assert kept.sum((1, 2, 3)).tolist() == [5, 21]
    assert kept[0, 0, 4, 5] and kept[0, 0, 3, 5] and kept[0, 0, 4, 6]


class Parts(torch.nn.Module):
    """A SpatialConfiguration-Net whose components are known."""

    def __init__(self, *components: torch.Tensor):
        super().__init__()
        self.network = self
        self.answer = components

    def components(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.answer


@pytest.mark.parametrize("sign", [1, -1])
def test_read_outs_of_components_that_are_known_whatever_their_common_sign(hands, sign):
    """Appearance is exact but twice as bright at a place 20 pixels off; configuration is coarse, and 2 pixels off."""
    method = create("spatial_configuration", hands.anatomy, TINY.size, channels=(4,))
    true = Batch.of(hands).landmarks.clamp(min=torch.tensor([8.0, 8.0]), max=torch.tensor([39.0, 55.0]))
    cases = [
        case.__class__(case.id, case.image, at.numpy(), case.anatomy, spacing=1.0) for case, at in zip(hands, true, strict=True)
    ]
    away = torch.where(true[..., 1:] > 32, -20.0, 20.0) * torch.tensor([0.0, 1.0])
    appearance = gaussian_heatmaps(true, TINY.size, 1.5) + gaussian_heatmaps(true + away, TINY.size, 1.5, 2.0)
    configuration = gaussian_heatmaps(true + torch.tensor([2.0, 0.0]), TINY.size, 7.0)
    method.network = Parts(sign * appearance, sign * configuration)
    errors = read_outs(method, CaseSet("hands", hands.anatomy, cases))
    assert errors["local appearance"] == pytest.approx(20, abs=0.1)
    assert errors["spatial configuration"] == pytest.approx(2, abs=0.1)
    assert errors["local appearance near the truth"] == pytest.approx(0, abs=0.1)
    assert errors["product"].max() < 0.3  # pulled towards the coarse one, by a few hundredths of a width


def test_arms_differ_in_one_thing_each():
    assert len({(arm.group, arm.name) for arm in ARMS}) == len(ARMS)
    plain = recipe_of(SCN, TINY)
    fixed = recipe_of(next(arm for arm in ARMS if arm.name == "fixed 3 px"), TINY)
    assert fixed.sigma * 64 == pytest.approx(3)
    assert fixed.changed(sigma=plain.sigma, learned_widths=True, loss_weights=plain.loss_weights) == plain
    assert GROUPS[0] == SCN.group


def test_the_table_says_where_arms_differ_in_more_than_one_thing():
    own_rate = {arm.name for arm in ARMS if arm.scale.get("learning_rate", TINY.learning_rate) != TINY.learning_rate}
    assert own_rate == {"32 filters"} and "32 filters also learn at a smaller rate, 3e-4" in table({})
    assert all(recipe_of(arm, TINY).learned_widths for arm in ARMS if arm.group == "product")
    assert "All networks of the group “product” learn their widths, also the forerunner of 2016" in table({})


def test_a_study_of_two_short_trainings_makes_a_record_and_a_table():
    arms = (SCN, Arm("widths", "fixed", options={"learned_widths": False, "loss_weights": {"heatmap": 1.0}}, sigma_px=3.0))
    (first, _), (second, record) = study(arms, TINY, notes="quick")
    assert (first, second) == ("SCN", "fixed")
    assert record.results["widths"]["fixed"]["sigma_px"] == pytest.approx({"least": 3, "mean": 3, "largest": 3})
    assert set(record.results["components"]["SCN"]["read_outs_mm"]) >= {"product", "local appearance"}
    text = table(record.results)
    assert re.search(r"\| components +\| SCN +\|", text)
    assert "local appearance near the truth" in text
