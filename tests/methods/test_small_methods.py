"""Methods that are not like DenseSeg fit the same protocol, one file and one line each, and beat the mean shape.

One is trained by another program, one moves a start shape step by step, and one is trained by Nesterov's SGD for a number of steps
with gradient clipping and weight decay: that is the one that CONTRIBUTING walks through, and its text is what runs here.
"""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from helpers import ROOT, code_blocks
from small_methods import by_program, step_by_step

from denseseg.cases.case_set import CaseSet
from denseseg.evaluation import evaluate
from denseseg.experiments.tables import method_title
from denseseg.methods import METHODS, create, get_recipe, load_method, method, save_method
from denseseg.methods.method import validation_error
from denseseg.phantom import chest_phantom
from denseseg.training.settings import SGD, Run, Steps

SIZE = (64, 64)
SMALL = {cls.name: cls for cls in (by_program.ByProgram, step_by_step.StepByStep)}


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(64, SIZE, seed=3)


@pytest.fixture(scope="module")
def baseline(cases) -> float:
    mean = create("mean_shape", cases.anatomy, SIZE)
    mean.fit(cases[:48])
    return validation_error(mean, cases[48:])


@pytest.mark.parametrize("name", SMALL)
def test_they_learn_predict_and_are_saved_like_any_other(name, cases, baseline, tmp_path):
    recipe = get_recipe(name, "default").scaled(length=0.15, width=1.0, largest_batch=4)
    learner = create(name, cases.anatomy, SIZE, recipe)
    learner.fit(cases[:48], None, Run(progress=False))
    test = cases[48:]
    error = validation_error(learner, test)
    assert error < 0.9 * baseline
    assert len(evaluate(learner.predict_cases(test[:2]), test[:2])) > 0
    again = load_method(save_method(learner, tmp_path / "weights.safetensors"))
    one, other = (m.predict_image(test[0].image).landmarks for m in (learner, again))
    np.testing.assert_allclose(one, other, atol=1e-4)
    assert method_title(name) == SMALL[name].title


def test_the_method_of_contributing_runs_as_it_stands(cases):
    names: dict = {}
    blocks = code_blocks((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), "python")
    for block in (block for block in blocks if not block.startswith("# %%")):
        exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    training = METHODS["coordinate_regression"].recipes["default"].training
    assert isinstance(training.length, Steps) and isinstance(training.optimiser, SGD)
    assert training.optimiser.nesterov and training.optimiser.weight_decay and training.gradient_clip
    test, mean = names["parts"].test, create("mean_shape", cases.anatomy, SIZE)
    mean.fit(names["parts"].train)
    assert validation_error(names["method"], test) < 0.9 * validation_error(mean, test)
    assert set(names["table"]["case"]) == set(test.ids)


def test_the_docstring_of_the_base_class_holds_a_method_that_runs():
    found = doctest.DocTestFinder().find(method.Method, "Method", globs=vars(method).copy())
    assert doctest.DocTestRunner().run(found[0]).failed == 0
    assert found[0].examples
