"""A method without landmarks: it learns, and everything that asks for predictions bears it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from denseseg.augment import NO_AUGMENTATION
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.course.results_page import render_results
from denseseg.evaluation import compare_methods, evaluate, per_case
from denseseg.evaluation.metrics import dice
from denseseg.experiments import Spec, comparison_table, run_experiment, write_record
from denseseg.methods import create
from denseseg.networks.residual_unet import ResidualUNet
from denseseg.networks.unet import parameter_count
from denseseg.phantom import chest_phantom
from denseseg.training.settings import Adam, Run, Steps, TrainingSettings
from denseseg.viewing import plots

SIZE = (64, 64)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(12, SIZE, seed=1)


def test_it_is_the_papers_network_with_one_convolution_more(cases):
    method = create("plain_unet", cases.anatomy, SIZE)
    assert method.parameters == parameter_count(ResidualUNet()) + 65 * len(cases.anatomy)


def test_four_phantoms_are_learned_by_heart(cases):
    few = cases[:4]
    training = TrainingSettings(length=Steps(120), batch_size=4, optimiser=Adam(1e-2), augmentation=NO_AUGMENTATION)
    method = create("plain_unet", few.anatomy, SIZE, channels=(16, 32, 64), training=training, test_time_views=1)
    method.fit(few, None, Run(progress=False))
    predictions = method.predict_cases(few)
    pairs = [(a, b) for p, case in zip(predictions, few, strict=True) for a, b in zip(p.masks, true_masks(case), strict=True)]
    assert np.mean([dice(a, b) for a, b in pairs]) > 0.95


def test_tables_pages_and_pictures_bear_a_method_without_landmarks(cases, tmp_path):
    names = {"dataset": cases.name, "profile": "smoke"}
    unet, mean = (run_experiment(cases, Spec(method=m, **names), None, progress=False) for m in ("plain_unet", "mean_shape"))
    assert "tre" not in unet.record.metrics["average"]
    write_record(unet.record, tmp_path)
    page = render_results(tmp_path)
    assert "U-Net (segmentation only), *default*" in page
    table = comparison_table({"U-Net": unet.record, "mean shape": mean.record})
    assert table.loc[("average", "TRE [mm]"), "U-Net"] == "-"
    assert set(per_case(unet.table, "dsc").index) == set(unet.split.test.ids)
    compared = compare_methods({"U-Net": unet.table, "mean shape": mean.table}, "U-Net", "dsc", "average", 0)
    assert np.isfinite(compared["difference"]).all()
    case = unet.split.test[0]
    prediction = unet.method.predict_image(case.image)
    plots.show_prediction(case.image, prediction, case)
    plots.overlay(case.image, prediction, tmp_path / "overlay.png")
    plots.plot_error_by_structure({"U-Net": unet.table, "mean shape": mean.table}, metric="dsc")
    plt.close("all")
    assert evaluate([prediction], [case])["metric"].nunique() == 5
