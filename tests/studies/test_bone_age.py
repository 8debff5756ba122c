"""Age from landmarks: on a toy hand that grows by a known rule, so that the best possible answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from denseseg.anatomy import Anatomy, Structure
from denseseg.errors import DataError
from denseseg.geometry.similarity import umeyama
from denseseg.networks.ensemble import BoneNetworks, MemberLinear
from denseseg.studies.bone_age import AgeDistribution, EnsembleAge, MeanAge, RidgeAge, age_score, coverage, leave_one_out
from denseseg.studies.shape_features import ShapeFeatures, facing_landmarks, gap, log_sizes, present, rigidly_aligned

TOY = Anatomy("toy", (Structure("shaft", 12, "bones"), Structure("cap", 8, "bones"), Structure("pebble", 6, "bones")))
APPEARS = 60.0  # months of maturity at which the pebble appears
RATE = 1 / 150  # growth of the logarithm of all sizes, per month of maturity


def toy(n: int, seed: int = 0, tempo: float = 0.0, noise: float = 0.0, absent: bool = True) -> tuple[np.ndarray, ...]:
    """Landmarks (n, 26, 2), ages and maturities (n,): ellipses whose log sizes are linear in maturity = age + tempo * N(0, 1).

    Turned and shifted at random; `noise` is added to each coordinate, in pixels.
    """
    rng = np.random.default_rng(seed)
    ages = rng.uniform(24, 180, n)
    maturity = ages + tempo * rng.normal(size=n)
    outline = [np.linspace(0, 2 * np.pi, count, endpoint=False) for count in TOY.counts]
    middles, radii = np.array([[0, 0], [0, -14.0], [9, -16.0]]), np.array([[4, 10.0], [3, 2], [2, 2]])
    parts = [m + r * np.stack([np.cos(t), np.sin(t)], -1) for t, m, r in zip(outline, middles, radii, strict=True)]
    shape = np.concatenate(parts) * np.exp(RATE * (maturity - 100))[:, None, None]
    angle = rng.normal(0, 0.1, n)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(n, 2, 2)
    shape = shape @ turn.swapaxes(1, 2) + rng.uniform(20, 60, (n, 1, 2)) + noise * rng.normal(size=shape.shape)
    if absent:
        shape[maturity < APPEARS, TOY.slices["pebble"]] = np.nan
    return shape, ages, maturity


def small_ensemble(**changes) -> EnsembleAge:
    return EnsembleAge(TOY, **({"members": 2, "steps": 150, "batch_size": 32} | changes))


# ---- features -------------------------------------------------------------------------------------------------------


def test_presence_sizes_and_gaps_of_a_drawn_shape():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2.0]])
    anatomy = Anatomy("squares", tuple(Structure(name, 4, "all") for name in "abc"))
    shape = np.concatenate([square, 3 * square + [5, 0], np.full((4, 2), np.nan)])[None]
    assert present(shape, anatomy).tolist() == [[True, True, False]]
    np.testing.assert_allclose(log_sizes(shape, anatomy)[0], [np.log(2) / 2, np.log(18) / 2, np.nan])
    near, other = facing_landmarks(shape[0, :4], shape[0, 4:8], count=2)
    assert (sorted(near), sorted(other)) == ([1, 2], [0, 0])
    assert gap(shape[:, [1, 2]], shape[:, [4, 7]]) == pytest.approx(np.hypot(3, 2))
    assert np.isnan(gap(shape[:, [1, 2]], shape[:, [8, 9]])).all()


def test_noise_does_not_narrow_a_gap():
    sides = np.stack([np.arange(8.0), np.zeros(8)], -1)
    noisy = np.random.default_rng(0).normal(0, 0.5, (2, 4000, 8, 2)) + np.stack([sides, sides + [0, 3]])[:, None]
    assert gap(*noisy).mean() == pytest.approx(3, abs=0.03)


def test_one_missing_landmark_does_not_make_a_structure_absent():
    shape = toy(1, absent=False)[0]
    shape[0, TOY.slices["cap"].start] = np.nan
    assert present(shape, TOY).all()
    assert np.isfinite(log_sizes(shape, TOY)).all()


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(-1, 1), x=st.floats(-99, 99), y=st.floats(-99, 99))
def test_features_know_nothing_of_place_and_turn(angle, x, y):
    shapes = toy(12, noise=0.3)[0]
    features = ShapeFeatures(TOY, modes=4).fit(shapes)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(features(shapes @ turn.T + [x, y]), features(shapes), atol=1e-6)


def test_rigid_alignment_keeps_size():
    shape = toy(1, absent=False)[0][0]
    moved = rigidly_aligned(2 * shape @ np.array([[0, -1], [1, 0.0]]) + 7, shape)
    np.testing.assert_allclose(moved, 2 * (shape - shape.mean(0)) + shape.mean(0), atol=1e-9)


def test_rigid_alignment_turns_like_umeyama_by_shared_landmarks():
    shapes = toy(5, noise=0.5)[0]
    target = toy(1, seed=8, absent=False)[0][0]
    for shape, moved in zip(shapes, rigidly_aligned(shapes, target), strict=True):
        fit = umeyama(shape, target)  # leaves unknown pairs out
        known = np.isfinite(shape).all(1)
        expected = (shape - shape[known].mean(0)) @ fit.rotation.T + target[known].mean(0)
        np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_features_are_standardised_and_named_and_constant_ones_are_left_out():
    shapes = toy(40, noise=0.3)[0]
    features = ShapeFeatures(TOY, modes=4).fit(shapes)
    rows = features(shapes)
    assert rows.shape == (40, len(features.names))
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-9)
    assert "pebble is there" in features.names
    assert "shaft is there" not in features.names


def test_sizes_take_out_the_magnification():
    """An image twice as large adds ln 2 to all log sizes alike."""
    shapes = toy(3, absent=False)[0]
    np.testing.assert_allclose(log_sizes(2 * shapes, TOY) - log_sizes(shapes, TOY), np.log(2))


# ---- ridge ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [1, 2])
def test_leave_one_out_equals_refitting_without_each_case(versions):
    rng = np.random.default_rng(0)
    cases, penalty = 9, 0.7
    rows, target = rng.normal(size=(versions * cases, 4)), rng.normal(size=versions * cases)
    rows, target = rows - rows.mean(0), target - target.mean()
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    expected = np.empty(len(target))
    for case in range(cases):
        out = np.arange(len(target)) % cases == case
        design = np.column_stack([rows, np.ones(len(rows))])  # the intercept is not penalised
        gram = design[~out].T @ design[~out] + penalty * np.diag([1, 1, 1, 1, 0])
        expected[out] = target[out] - design[out] @ np.linalg.solve(gram, design[~out].T @ target[~out])
    np.testing.assert_allclose(leave_one_out(left, singular, target, penalty, cases), expected, atol=1e-9)


def test_ridge_reads_the_age_from_log_sizes_that_are_linear_in_it():
    shapes, ages, _ = toy(150)
    ridge = RidgeAge(TOY, ShapeFeatures(TOY, modes=0)).fit(shapes[:100], ages[:100])
    np.testing.assert_allclose(ridge.predict(shapes[100:]), ages[100:], atol=1.0)


def test_ridge_finds_the_irreducible_error_and_follows_the_bones():
    """With a tempo of SD 12 months no reader errs less; what is left over is the tempo itself."""
    shapes, ages, maturity = toy(1600, tempo=12.0)
    ridge = RidgeAge(TOY).fit(shapes[:1000], ages[:1000])
    best = 12 * np.sqrt(1 - 12**2 / maturity.var())  # SD of the age given the maturity, both nearly Gaussian
    assert ridge.sd == pytest.approx(best, rel=0.08)  # 3.5 standard errors
    predicted, tempo = ridge.predict(shapes[1000:]), (maturity - ages)[1000:]
    assert np.corrcoef(predicted - ages[1000:], tempo)[0, 1] > 0.9
    assert age_score(predicted, maturity[1000:]).mae < 5 < age_score(predicted, ages[1000:]).mae


def test_the_order_of_the_training_cases_does_not_matter_to_ridge():
    shapes, ages, _ = toy(60, tempo=6.0, noise=0.3)
    order = np.random.default_rng(1).permutation(60)
    first, second = RidgeAge(TOY).fit(shapes, ages), RidgeAge(TOY).fit(shapes[order], ages[order])
    np.testing.assert_allclose(first.predict(shapes), second.predict(shapes), atol=1e-4)


def test_ridge_uses_that_a_bone_has_appeared():
    """Sizes are taken away by a random magnification: presence is all that is left."""
    shapes, ages, _ = toy(300)
    shapes = shapes * np.exp(np.random.default_rng(0).normal(0, 2, 300))[:, None, None]
    with_presence = RidgeAge(TOY, ShapeFeatures(TOY, modes=0, sizes=False, gaps=False)).fit(shapes[:200], ages[:200])
    expected = np.where(
        present(shapes, TOY)[:, 2], ages[:200][ages[:200] >= APPEARS].mean(), ages[:200][ages[:200] < APPEARS].mean()
    )
    np.testing.assert_allclose(with_presence.predict(shapes), expected, atol=1.0)


def test_two_regressors_may_be_given_the_same_features():
    shapes, ages, _ = toy(100, noise=0.3)
    shared = ShapeFeatures(TOY, modes=3)
    first = RidgeAge(TOY, shared).fit(shapes, ages)
    before = first.predict(shapes)
    RidgeAge(TOY, shared).fit(2 * shapes[50:], ages[50:])
    np.testing.assert_array_equal(first.predict(shapes), before)


def test_a_wildly_wrong_shape_gets_no_wild_age():
    shapes, ages, _ = toy(100, noise=0.3)
    ridge = RidgeAge(TOY).fit(shapes, ages)
    wild = ridge.predict(np.random.default_rng(0).normal(0, 500, (20, *shapes.shape[1:])))
    assert ages.min() <= wild.min() <= wild.max() <= ages.max()
    assert np.abs(ridge.features(shapes * 100)).max() <= np.abs(ridge.features(shapes)).max()


def test_reading_noisy_landmarks_is_learnt_from_noisy_landmarks():
    shapes, ages, _ = toy(300, seed=3)
    read = shapes + np.random.default_rng(0).normal(0, 1.0, shapes.shape)
    naive = RidgeAge(TOY).fit(shapes[:200], ages[:200])
    prepared = RidgeAge(TOY).fit(shapes[:200], ages[:200], read[:200])
    assert age_score(prepared.predict(read[200:]), ages[200:]).mae < 0.8 * age_score(naive.predict(read[200:]), ages[200:]).mae


# ---- the ensemble ---------------------------------------------------------------------------------------------------


def test_a_member_is_the_papers_network():
    """The same numbers as 1x1 convolutions over bones, batch normalisation, ReLU, then fully connected layers."""
    torch.manual_seed(0)
    ours = BoneNetworks(members=3, bones=5, inputs=14, extra=0, classes=7)
    bones = torch.randn(3, 11, 5, 14)
    out = ours(bones, torch.zeros(3, 11, 0))
    for member in range(3):
        layers: list[nn.Module] = []
        for layer in [*ours.bone, nn.Flatten(), *ours.whole]:
            if isinstance(layer, MemberLinear):
                weight, bias = layer.weight[member].T, layer.bias[member, 0]
                conv = len([x for x in layers if isinstance(x, nn.Conv1d)]) < 3
                new = nn.Conv1d(*weight.shape[::-1], 1) if conv else nn.Linear(*weight.shape[::-1])
                new.weight.data, new.bias.data = weight[..., None].clone() if conv else weight.clone(), bias.clone()
            elif isinstance(layer, (nn.ReLU, nn.Flatten)):
                new = layer
            else:
                new = nn.BatchNorm1d(layers[-1].out_channels)
            layers.append(new)
        x = bones[member].transpose(1, 2)  # (batch, coordinates, bones)
        for layer in layers:
            x = layer(x.transpose(1, 2) if isinstance(layer, nn.Flatten) else x)
        torch.testing.assert_close(out[member], x, atol=1e-4, rtol=1e-4)


def test_the_published_sizes():
    model = BoneNetworks(members=5, bones=17, inputs=160, extra=0, classes=57)
    member = (160 * 32 + 32) + (32 * 32 + 32) + (32 * 8 + 8) + 2 * (32 + 32 + 8)
    whole = (136 * 64 + 64) + (64 * 32 + 32) + (32 * 57 + 57)
    assert sum(p.numel() for p in model.parameters()) == 5 * (member + whole)


def test_the_ensemble_learns_and_does_not_mind_absent_bones():
    shapes, ages, _ = toy(260, tempo=4.0, seed=2)
    model = small_ensemble(steps=500, learning_rate=3e-3).fit(shapes[:200], ages[:200])
    baseline = MeanAge(TOY).fit(shapes[:200], ages[:200])
    score = age_score(model.predict(shapes[200:]), ages[200:])
    assert score.mae < 0.35 * age_score(baseline.predict(shapes[200:]), ages[200:]).mae
    assert score.r2 > 0.8


def test_the_seed_decides_the_ensemble():
    shapes, ages, _ = toy(40, noise=0.3)
    first, again, other = (small_ensemble(steps=20, seed=seed).fit(shapes, ages).predict(shapes) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_fitting_leaves_the_callers_random_numbers_alone():
    shapes, ages, _ = toy(20)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    small_ensemble(steps=2).fit(shapes, ages)
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize("positions", [False, True])
def test_the_ensemble_sees_where_bones_lie_only_if_told_to(positions):
    shapes, ages, _ = toy(30, absent=False)
    model = small_ensemble(steps=20, positions=positions).fit(shapes, ages)
    moved = shapes.copy()
    moved[:, TOY.slices["cap"]] += [3, 5]
    assert np.allclose(model.predict(shapes), model.predict(moved), atol=1e-3) == (not positions)
    np.testing.assert_allclose(model.predict(shapes), model.predict(shapes + 50), atol=1e-3)


def test_the_ensemble_trains_on_true_and_read_landmarks_in_turn():
    shapes, ages, _ = toy(30)
    seen = []

    class Spy(EnsembleAge):
        def _shaken(self, bones):
            seen.append(float(bones[..., :2].abs().max()))
            return super()._shaken(bones)

    Spy(TOY, members=1, steps=4).fit(shapes, ages, read=shapes * 100)
    assert np.array(seen)[[1, 3]].min() > 20 * np.array(seen)[[0, 2]].max()


# ---- any regressor --------------------------------------------------------------------------------------------------

REGRESSORS = {"mean": lambda: MeanAge(TOY), "ridge": lambda: RidgeAge(TOY), "ensemble": lambda: small_ensemble(steps=60)}
every_regressor = pytest.mark.parametrize("make", REGRESSORS.values(), ids=REGRESSORS)


@every_regressor
def test_cases_are_predicted_one_by_one(make):
    shapes, ages, _ = toy(40, noise=0.3)
    model = make().fit(shapes, ages)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(model.predict(shapes[order]), model.predict(shapes)[order], atol=1e-3)
    np.testing.assert_allclose(model.predict(shapes[:1]), model.predict(shapes)[:1], atol=1e-3)


@every_regressor
def test_the_prediction_is_the_mean_of_the_distribution(make):
    shapes, ages, _ = toy(40, noise=0.3)
    model = make().fit(shapes, ages)
    distribution = model.distribution(shapes)
    np.testing.assert_allclose(distribution.probability.sum(1), 1)
    np.testing.assert_allclose(distribution.mean, model.predict(shapes), atol=2.0)


@every_regressor
def test_input_is_left_as_it_was(make):
    shapes, ages, _ = toy(20)
    before = shapes.copy()
    make().fit(shapes, ages, read=shapes).predict(shapes)
    np.testing.assert_array_equal(shapes, before)


@every_regressor
def test_a_bone_never_seen_and_a_single_missing_landmark_are_borne(make):
    shapes, ages, _ = toy(30, noise=0.3)
    shapes[:, TOY.slices["pebble"]] = np.nan
    shapes[0, 3] = np.nan
    shapes[1, 4, 0] = np.nan
    later = toy(5, seed=9, absent=False)[0]
    assert np.isfinite(make().fit(shapes, ages).predict(later)).all()


@every_regressor
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shapes, ages: (shapes, ages[:-1]), "19 ages for 20 cases"),
        (lambda shapes, ages: (shapes, [*ages[:-1], np.nan]), "case 19 .* has the age nan"),
        (lambda shapes, ages: (shapes, [*ages[:-1], None]), "case 19 .* has the age nan"),
        (lambda shapes, ages: (shapes, [-1, *ages[1:]]), "case 0 .* has the age -1"),
        (lambda shapes, ages: (shapes[:9], ages[:9]), "9 cases are too few"),
        (lambda shapes, ages: (shapes[:, :-1], ages), "choose that anatomy"),
        (lambda shapes, ages: (np.where(np.arange(20)[:, None, None] == 7, np.nan, shapes), ages), "case 7 .* has no landmark"),
        (lambda shapes, ages: (shapes, ages, shapes[:5]), "5 read shapes for 20 true ones"),
    ],
)
def test_bad_input_is_refused_with_a_mend(make, change, message):
    shapes, ages, _ = toy(20)
    with pytest.raises(DataError, match=message):
        make().fit(*change(shapes, ages))


@every_regressor
def test_a_case_without_landmarks_gets_no_age(make):
    shapes, ages, _ = toy(20)
    model = make().fit(shapes, ages)
    with pytest.raises(DataError, match="leave it out and report it"):
        model.predict(np.full_like(shapes[:1], np.nan))


def test_ages_beyond_the_last_class_are_refused():
    shapes, ages, _ = toy(20)
    with pytest.raises(DataError, match="more than 57 classes"):
        small_ensemble().fit(shapes, ages + 200)


# ---- distributions and scores ---------------------------------------------------------------------------------------


def test_a_distribution_by_hand():
    distribution = AgeDistribution(np.array([0, 4, 8, 12.0]), np.array([[0.5, 0.5, 0], [0, 0, 1]]))
    np.testing.assert_allclose(distribution.mean, [4, 10])
    np.testing.assert_allclose(distribution.cdf([2, 11]), [0.25, 0.75])
    np.testing.assert_allclose(distribution.quantile(0.75), [6, 11])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), level=st.floats(0.01, 0.99))
def test_quantile_inverts_cdf(seed, level):
    probability = np.random.default_rng(seed).dirichlet(np.ones(9), size=4)
    distribution = AgeDistribution(np.arange(10.0), probability)
    np.testing.assert_allclose(distribution.cdf(distribution.quantile(level)), level, atol=1e-9)


def test_an_honest_regressor_covers_what_it_promises():
    """The toy's tempo is Gaussian, so ridge's Gaussian is the true distribution of the age."""
    shapes, ages, _ = toy(1400, tempo=12.0)
    distribution = RidgeAge(TOY).fit(shapes[:400], ages[:400]).distribution(shapes[400:])
    levels = np.array([0.5, 0.8, 0.95])
    tolerance = 4 * np.sqrt(levels * (1 - levels) / 1000)
    assert (np.abs(coverage(distribution, ages[400:], levels) - levels) < tolerance).all()
    narrow = AgeDistribution(distribution.edges, stats.norm.pdf(distribution.edges[1:], distribution.mean[:, None], 4))
    assert coverage(narrow, ages[400:], [0.95]) < 0.7


def test_a_score_by_hand():
    score = age_score(np.array([10, 20, 33.0]), np.array([12, 20, 30.0]))
    assert (score.mae, score.bias, score.n) == (pytest.approx(5 / 3), pytest.approx(1 / 3), 3)
    mean = np.mean([12, 20, 30])
    assert score.r2 == pytest.approx(1 - 13 / ((12 - mean) ** 2 + (20 - mean) ** 2 + (30 - mean) ** 2))
    assert score.low <= score.mae <= score.high


def test_predicting_the_mean_explains_nothing():
    ages = np.array([10, 30, 80.0])
    assert age_score(np.full(3, 40.0), ages).r2 == pytest.approx(0)
    assert np.isnan(age_score(np.ones(3), np.full(3, 2.0)).r2)


@pytest.mark.parametrize(
    ("predicted", "ages", "message"),
    [([1, 2], [1], "one of each a case"), ([1, np.nan], [1, 2], "case 1 .* lacks"), ([], [], "one of each a case")],
)
def test_a_score_needs_pairs(predicted, ages, message):
    with pytest.raises(DataError, match=message):
        age_score(np.array(predicted), np.array(ages))
