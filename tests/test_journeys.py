"""What a stranger does: a data set with an anatomy of its own, in one folder, goes from its files to a table and a picture.

The set is drawn here: 19 single landmarks on head-like images of 240 x 194 pixels (a tenth of a cephalogram's), bright spots whose
places vary together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases import Case, CaseSet, read_cases, write_cases
from denseseg.evaluation import evaluate, summarise
from denseseg.evaluation.scores import per_landmark
from denseseg.experiments import Spec, get_profile, read_records, run_experiment, write_record
from denseseg.experiments.tables import comparison_table, run_title
from denseseg.methods import create
from denseseg.methods.method import validation_error
from denseseg.training import Adam, Run, Steps, TrainingSettings
from denseseg.viewing import plots

SIZE = (240, 194)
LABELS = tuple(f"point {i + 1}" for i in range(19))


def anatomy(region: str | None = None) -> Anatomy:
    return Anatomy("ceph", (Structure("landmarks", 19, "landmarks", Kind.POINTS, LABELS, region),))


def drawn(count: int, region: str | None = None, seed: int = 0) -> CaseSet:
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(7).uniform([50, 60], [150, 190], (19, 2))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    made = []
    for i in range(count):
        points = places * rng.normal(1, 0.04) + rng.normal(0, 8, 2) + rng.normal(0, 1, (19, 2))
        image = 0.1 + 0.05 * rng.random(SIZE)
        for n, (px, py) in enumerate(points):
            image += 0.7 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (4 + n % 3) ** 2))
        split = {"split": "train" if i % 3 else "test"}
        made.append(Case(f"c{i:02d}", np.clip(image, 0, 1), points, anatomy(region), spacing=1.0, metadata=split))
    return CaseSet("drawn heads", anatomy(region), made, {"kind": "phantom"})


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> CaseSet:
    """Written to a folder that describes its anatomy, and read from it."""
    folder = write_cases(tmp_path_factory.mktemp("data") / "heads", drawn(24))
    text = (folder / "dataset.toml").read_text()
    assert "[[structures]]" in text and 'kind = "points"' in text and "point 19" in text
    return read_cases(folder)


def test_single_landmarks_go_from_a_folder_to_a_table(cases, tmp_path):
    small = cases.fitted((64, 56))
    training = TrainingSettings(length=Steps(150), batch_size=4, optimiser=Adam(3e-3), ema_decay=0.9)
    method = create("heatmap_regression", cases.anatomy, (64, 56), channels=(16, 32), sigma=0.04, training=training)
    parts = small.split("paper")
    method.fit(parts.train, parts.validation, Run(progress=False))
    mean = create("mean_shape", cases.anatomy, (64, 56))
    mean.fit(parts.train)
    assert validation_error(method, parts.test) < 0.5 * validation_error(mean, parts.test)

    test = cases.split("paper").test  # at their own size
    predictions = method.predict_cases(test)
    table = evaluate(predictions, test, radii=(2, 2.5, 4))
    assert {"tre", "sdr_2", "sdr_2.5", "sdr_4"} <= set(table["metric"]) and not {"dsc", "assd"} & set(table["metric"])
    summary = summarise(table).set_index(["group", "metric"])
    assert summary.loc[("landmarks", "tre"), "n"] == 19 * len(test)  # mean, SD and median run over all landmarks
    each = per_landmark(predictions, test)
    assert each["label"].tolist()[:19] == list(LABELS)
    shown = plots.show_prediction(test[0].image, predictions[0], test[0])
    assert "prediction and truth" in shown.get_title(loc="left")
    assert predictions[0].table()["label"].tolist() == list(LABELS)


def test_a_run_on_them_is_recorded_like_any_other(cases, tmp_path):
    small = cases.fitted(get_profile("smoke").size_like(SIZE))
    spec = Spec(dataset=small.name, method="heatmap_regression", profile="smoke", options={"channels": (4, 8)})
    record = run_experiment(small, spec, None, progress=False).record
    path = write_record(record, tmp_path)
    assert path.parent == tmp_path / "drawn-heads"
    assert read_records(tmp_path) == [record]
    assert record.toy  # the set says so
    title = run_title(record)
    assert ("average", "TRE [mm]") in comparison_table({title: record}).index


def test_dense_maps_of_sparse_landmarks_over_their_hull(tmp_path: Path):
    """Points with region = "hull" have a mask and a uv map, so DenseSeg learns them too."""
    cases = read_cases(write_cases(tmp_path / "heads", drawn(24, "hull"))).fitted((64, 56))
    training = TrainingSettings(length=Steps(150), batch_size=4, optimiser=Adam(3e-3), ema_decay=0.9)
    method = create("denseseg", cases.anatomy, (64, 56), channels=(16, 32, 32), training=training, test_time_views=1)
    mean = create("mean_shape", cases.anatomy, (64, 56))
    parts = cases.split("paper")
    for one in (method, mean):
        one.fit(parts.train, parts.validation, Run(progress=False))
    assert validation_error(method, parts.test) < 0.6 * validation_error(mean, parts.test)
    prediction = method.predict_cases(parts.test)[0]
    assert prediction.masks is not None and prediction.masks.any()
    assert prediction.uv is not None and prediction.uv.shape == (1, 2, 64, 56)
