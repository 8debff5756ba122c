"""DenseSeg's ablations: each loss term switched off."""

from __future__ import annotations

import pytest
import torch

from denseseg.anatomy import CHEST
from denseseg.batch import Batch
from denseseg.methods import create, get_recipe
from denseseg.methods.denseseg import ABLATIONS
from denseseg.phantom import chest_phantom

SIZE = (48, 48)
CASES = chest_phantom(3, SIZE, seed=1)


def test_the_sparse_recipes_have_the_weights_of_the_code_and_of_equation_4():
    paper, code, equation = (get_recipe("denseseg", name).loss_weights for name in ("paper", "sparse", "sparse_eq4"))
    assert code["landmarks"] == pytest.approx(paper["uv"] + paper["landmarks"])
    assert equation["landmarks"] == pytest.approx(paper["landmarks"])
    assert code.keys() == equation.keys() == paper.keys() - {"uv"}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_leaves_out_one_loss_and_one_head_learns_nothing_without_its_own(name):
    recipe, term = name.split("_without_")
    method = create("denseseg", CHEST, SIZE, recipe, loss_weights=ABLATIONS[name], channels=(4, 8), test_time_views=1)
    method.prepare(CASES)
    batch = Batch.of(CASES)
    terms = method.losses(method.network(method.normalise(batch.images)), method.targets(batch))
    assert terms.keys() == get_recipe("denseseg", recipe).loss_weights.keys() - {term}
    sum(terms.values()).backward()
    learns = {head: getattr(method.network, head)[-1].weight.grad is not None for head in ("mask_head", "uv_head")}
    assert learns == {"mask_head": term != "segmentation", "uv_head": True}
    predictions = method.predict(batch.images)  # wherever an untrained mask may be, the answer has its shape
    assert all(p.landmarks.shape == (166, 2) and torch.as_tensor(p.masks).shape == (5, *SIZE) for p in predictions)
