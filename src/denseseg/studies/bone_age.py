"""Bone age from landmarks: how many months of growth does a hand's shape show?

Three regressors with one protocol: the mean age (the baseline), ridge regression on readable shape features, and the paper's
ensemble of small networks (Section 3.2). Each predicts a whole distribution of ages. They take landmarks of any anatomy.

The target is the age by the calendar, since that is what data sets record. So their error has two parts: what the method gets
wrong, and how far the child's bones are ahead of or behind the calendar, which a perfect reader of bones must get "wrong" too.

The published notebook differs from the paper, or from what it means to do, in these points. Here they are corrected:
- Its members add up in one sum that is stored after each of them, so the "ensemble" weighs the members' logits 5 : 4 : 3 : 2 : 1,
  and what it prints for each member is the sum so far. Here each member counts alike, by its probabilities.
- Its prediction is the lower edge of the likeliest class, 2 months too young on average. Here it is the expectation.
- Sample 2347 takes the landmarks that were predicted for the next file (the prediction script skips images it cannot decode).
  Here a case without landmarks is refused by its position.
- Its yardstick, 27.4 months, predicts the test set's own mean, with ages rounded down to classes. Here: the mean training age.
- It has no validation part and prints the test part's metrics after each member. Here nothing sees test cases before `predict`.
- The paper says 75 epochs and two fully connected layers; the code makes 2500 steps of 64 (55 epochs of 2913) and three layers, as
  here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError
from denseseg.evaluation.statistics import bootstrap_cases
from denseseg.evaluation.tables import pipe_table
from denseseg.networks.ensemble import BoneNetworks
from denseseg.studies.shape_features import ShapeFeatures, centroids, log_sizes, present

CLASS_MONTHS = 4.0
CLASSES = 57  # 4 months each: 0 to 228 months, 19 years


# ---- what a regressor says --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgeDistribution:
    """How likely each age is: classes of ages side by side, all ages within a class equally likely.

    edges: (K+1,) months, ascending. probability: (M, K), rows sum to 1.
    """

    edges: np.ndarray
    probability: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(M,) expected age in months: sum over classes of probability times centre."""
        return self.probability @ (self.edges[1:] + self.edges[:-1]) / 2

    def cdf(self, ages: np.ndarray) -> np.ndarray:
        """(M,) probability that the age is at most ages (M,). At true ages, if calibrated, it is uniform on [0, 1]."""
        rows = zip(np.asarray(ages, float), self._cumulative, strict=True)
        return np.array([np.interp(age, self.edges, cumulative) for age, cumulative in rows])

    def quantile(self, level: float) -> np.ndarray:
        """(M,) ages that are not exceeded with probability `level`."""
        return np.array([np.interp(level, cumulative, self.edges) for cumulative in self._cumulative])

    @property
    def _cumulative(self) -> np.ndarray:
        return np.concatenate([np.zeros((len(self.probability), 1)), self.probability.cumsum(1)], axis=1)


@dataclass
class AgeRegressor:
    """What can be fitted to landmarks and ages. All methods raise DataError with the case's position where these are no good."""

    anatomy: Anatomy

    def fit(self, landmarks: np.ndarray, ages: np.ndarray, read: np.ndarray | None = None) -> Self:
        """Learn from landmarks (M, N, 2), NaN where a structure is absent, and ages (M,) in months.

        read: the same cases' landmarks as a network reads them; fitting to true and read ones prepares for the latter.
        """
        raise NotImplementedError

    def distribution(self, landmarks: np.ndarray) -> AgeDistribution:
        """How likely each age is for landmarks (M, N, 2)."""
        raise NotImplementedError

    def predict(self, landmarks: np.ndarray) -> np.ndarray:
        """(M,) expected months."""
        return self.distribution(landmarks).mean


def checked_landmarks(landmarks: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """The landmarks as floats, both coordinates NaN where one is. DataError unless they are (M, N, 2) and each case has some."""
    landmarks = np.asarray(landmarks, float)
    if landmarks.ndim != 3 or landmarks.shape[1:] != (anatomy.n_landmarks, 2):
        wanted = f"(cases, {anatomy.n_landmarks}, 2)"
        raise DataError(f"landmarks of shape {landmarks.shape} are not {wanted}, those of the {anatomy.name}; choose that anatomy")
    known = np.isfinite(landmarks).all(-1)
    if not known.any(1).all():
        case = int(known.any(1).argmin())
        raise DataError(f"case {case} (counted from 0) has no landmark at all; leave it out and report it as a failure")
    return np.where(known[..., None], landmarks, np.nan)


def _checked(landmarks: np.ndarray, ages: np.ndarray, read: np.ndarray | None, anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (G, M, N, 2), the true and, if given, the read ones; ages (M,), all known, not negative and at least 10."""
    versions = [checked_landmarks(version, anatomy) for version in (landmarks, read) if version is not None]
    n_cases = len(versions[0])
    if n_cases != len(versions[-1]):
        raise DataError(f"{len(versions[1])} read shapes for {n_cases} true ones; give both for the same cases, in one order")
    ages = np.asarray(ages, float)  # None becomes NaN
    if len(ages) != n_cases:
        raise DataError(f"{len(ages)} ages for {n_cases} cases; give one age in months for each case")
    wrong = ~(np.isfinite(ages) & (ages >= 0))
    if wrong.any():
        case = int(wrong.argmax())
        raise DataError(f"case {case} (counted from 0) has the age {ages[case]}; give months, 0 or more, or leave the case out")
    if n_cases < 10:
        raise DataError(f"{n_cases} cases are too few to fit ages to; give at least 10")
    return np.stack(versions), ages


# ---- three regressors -------------------------------------------------------------------------------------------


@dataclass
class MeanAge(AgeRegressor):
    """The baseline: whatever the landmarks are, the ages of the training cases."""

    def fit(self, landmarks: np.ndarray, ages: np.ndarray, read: np.ndarray | None = None) -> Self:
        _, self._ages = _checked(landmarks, ages, read, self.anatomy)
        return self

    def predict(self, landmarks: np.ndarray) -> np.ndarray:
        """(M,) the mean training age."""
        return np.full(len(checked_landmarks(landmarks, self.anatomy)), self._ages.mean())

    def distribution(self, landmarks: np.ndarray) -> AgeDistribution:
        """The training ages in classes of 4 months."""
        edges = np.arange(0, self._ages.max() + 2 * CLASS_MONTHS, CLASS_MONTHS)
        share = np.histogram(self._ages, edges)[0] / len(self._ages)
        return AgeDistribution(edges, np.tile(share, (len(checked_landmarks(landmarks, self.anatomy)), 1)))


@dataclass
class RidgeAge(AgeRegressor):
    """Ridge regression of age on `ShapeFeatures`: minimise |y - X w|^2 + penalty |w|^2, in closed form.

    penalties, squares: what to choose from. Growth is no straight line, so with squares the features' squares are features, too.
    The choice is the one with the least squared error of leave-one-out predictions of the training cases, which the singular value
    decomposition of X gives without refitting. Where a case has two versions (true and read) both are left out at once.
    After fit: `penalty`, `curved` (squares were chosen), `sd` (months, of the leave-one-out residuals; the distribution is a
    Gaussian of that width around the prediction) and `weights`, months per standard deviation of each of `names`.
    """

    features: ShapeFeatures | None = None
    penalties: Sequence[float] = tuple(np.logspace(-2, 4, 25))
    squares: Sequence[bool] = (False, True)

    def fit(self, landmarks: np.ndarray, ages: np.ndarray, read: np.ndarray | None = None) -> Self:
        versions, ages = _checked(landmarks, ages, read, self.anatomy)
        shapes = versions.reshape(-1, *versions.shape[2:])
        self.features = replace(self.features or ShapeFeatures(self.anatomy), names=[]).fit(shapes)  # the caller's stay unfitted
        rows = self.features(shapes)
        self._mean, self._mean_square, self.sd = ages.mean(), (rows**2).mean(0), np.inf
        self._range = ages.min(), ages.max()
        target = np.tile(ages - self._mean, len(versions))
        for curved in self.squares:
            left, singular, right = np.linalg.svd(self._design(rows, curved), full_matrices=False)
            for penalty in self.penalties:
                sd = float(np.sqrt(np.mean(leave_one_out(left, singular, target, penalty, len(ages)) ** 2)))
                if sd < self.sd:
                    self.sd, self.penalty, self.curved = sd, penalty, curved
                    self.weights = right.T @ (singular / (singular**2 + penalty) * (left.T @ target))
        self.names = self.features.names + [f"{name}, squared" for name in self.features.names] * self.curved
        return self

    def _design(self, rows: np.ndarray, curved: bool) -> np.ndarray:
        """Features (M, F), or with their centred squares (M, 2F)."""
        return np.concatenate([rows, rows**2 - self._mean_square], axis=1) if curved else rows

    def predict(self, landmarks: np.ndarray) -> np.ndarray:
        """(M,) months, within the range of the training ages."""
        assert self.features is not None, "fit first"
        rows = self.features(checked_landmarks(landmarks, self.anatomy))
        return (self._mean + self._design(rows, self.curved) @ self.weights).clip(*self._range)

    def distribution(self, landmarks: np.ndarray) -> AgeDistribution:
        """A Gaussian around the prediction, in classes of one month."""
        mean, sd = self.predict(landmarks), max(self.sd, 0.1)  # months; ages that are all alike have none
        edges = np.arange(np.floor(mean.min() - 6 * sd), np.ceil(mean.max() + 6 * sd) + 1)
        mass = np.diff(stats.norm.cdf(edges, mean[:, None], sd), axis=1)
        return AgeDistribution(edges, mass / mass.sum(1, keepdims=True))


def leave_one_out(left: np.ndarray, singular: np.ndarray, target: np.ndarray, penalty: float, n_cases: int) -> np.ndarray:
    """Residuals (G M,) of ridge regression, each case predicted by a fit to the other cases.

    left (G M, F), singular (F,): of the centred features; target: (G M,), centred. Rows m, M + m, ... are versions of case m.
    With the hat matrix H = left diag(s^2 / (s^2 + penalty)) left^T + 1 / (G M), the left-out residuals of a case are
    (I - H_mm)^-1 (y - H y)_m, H_mm its own G x G block (Cook and Weisberg 1982; one row: the familiar r / (1 - h)).
    """
    shrunk = left * (singular**2 / (singular**2 + penalty))
    residual = (target - shrunk @ (left.T @ target)).reshape(-1, n_cases).T  # (M, G)
    versions = residual.shape[1]
    own = np.einsum("gmf,hmf->mgh", shrunk.reshape(versions, n_cases, -1), left.reshape(versions, n_cases, -1))
    own = np.eye(versions) - own - 1 / len(target)
    return np.linalg.solve(own, residual[..., None])[..., 0].T.ravel()


@dataclass
class EnsembleAge(AgeRegressor):
    """The paper's ensemble: five small networks that sort centred bones into classes of 4 months (`BoneNetworks`).

    noise: SD of the random affine change of each bone in training, relative to the bones' size. Training alternates between true
    and read landmarks where both are given. The paper's images lack no bone; here an absent one enters as zeros, as no bone that is
    there can look. presence=True adds a flag for each structure, positions=True where its centroid lies from the middle of all,
    which centring throws away; the paper has neither.
    """

    members: int = 5
    steps: int = 2500
    batch_size: int = 64
    learning_rate: float = 1e-3
    noise: float = 0.05
    presence: bool = False
    positions: bool = False
    classes: int = CLASSES
    seed: int = 0

    @property
    def edges(self) -> np.ndarray:
        """(classes + 1,) edges of the age classes in months."""
        return CLASS_MONTHS * np.arange(self.classes + 1)

    def fit(self, landmarks: np.ndarray, ages: np.ndarray, read: np.ndarray | None = None, progress: bool = False) -> Self:
        """As in `AgeRegressor`; the seed decides everything. progress: print the loss now and then."""
        versions, ages = _checked(landmarks, ages, read, self.anatomy)
        if ages.max() >= self.edges[-1]:
            raise DataError(f"an age of {ages.max():.0f} months lies beyond the last class; give more than {self.classes} classes")
        self._scale = float(np.sqrt(np.nanmean(np.exp(2 * log_sizes(versions, self.anatomy)))))
        inputs = [(self.inputs(version), self._extra(version)) for version in versions]
        target = torch.as_tensor(ages / CLASS_MONTHS).long()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            extra = inputs[0][1].shape[-1]
            self.network = BoneNetworks(self.members, len(self.anatomy), 2 * max(self.anatomy.counts), extra, self.classes)
            self._train(inputs, target, progress)
        self.network.eval()
        return self

    def _train(self, inputs: list[tuple[Tensor, Tensor]], target: Tensor, progress: bool) -> None:
        optimiser = torch.optim.Adam(self.network.parameters(), self.learning_rate)
        for step in range(self.steps):
            bones, extra = inputs[step % len(inputs)]
            batch = torch.rand(self.members, len(target)).argsort(1)[:, : self.batch_size]  # each member draws its own
            logits = self.network(self._shaken(bones[batch]).flatten(3), extra[batch])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), target[batch].flatten())
            optimiser.zero_grad()
            (self.members * loss).backward()  # the sum of the members' losses: each learns as if alone
            optimiser.step()
            if progress and (step + 1) % max(1, self.steps // 5) == 0:
                print(f"step {step + 1:5d}/{self.steps}: cross entropy {loss:.2f}")

    def _shaken(self, bones: Tensor) -> Tensor:
        """Each bone (..., P, 3) after its own random affine change, (..., P, 2); what is not there stays zero."""
        return bones @ (torch.eye(3, 2) + self.noise * torch.randn(*bones.shape[:-2], 3, 2))

    def inputs(self, landmarks: np.ndarray) -> Tensor:
        """Centred, scaled coordinates (M, C, P, 3) with a third coordinate 1; zeros for padding and for unknown points."""
        bones = np.full((len(landmarks), len(self.anatomy), max(self.anatomy.counts), 3), np.nan)
        middles = centroids(landmarks, self.anatomy)
        for index, where in enumerate(self.anatomy.slices.values()):
            bones[:, index, : where.stop - where.start, :2] = (landmarks[:, where] - middles[:, index, None]) / self._scale
        bones[..., 2] = np.where(np.isfinite(bones[..., 0]), 1, np.nan)
        return torch.as_tensor(np.nan_to_num(bones)).float()

    def _extra(self, landmarks: np.ndarray) -> Tensor:
        """What the whole hand adds to its bones: (M, 0), (M, C), (M, 2C) or (M, 3C)."""
        parts = [np.zeros((len(landmarks), 0))]
        if self.presence:
            parts.append(present(landmarks, self.anatomy))
        if self.positions:
            middles = centroids(landmarks, self.anatomy)
            away = (middles - np.nanmean(middles, axis=1, keepdims=True)) / self._scale
            parts.append(np.nan_to_num(away).reshape(len(landmarks), -1))
        return torch.as_tensor(np.concatenate(parts, axis=1)).float()

    @torch.no_grad()
    def logits(self, landmarks: np.ndarray) -> np.ndarray:
        """(members, M, classes): what each member says, before the softmax."""
        landmarks = checked_landmarks(landmarks, self.anatomy)
        bones, extra = self.inputs(landmarks)[..., :2].flatten(2), self._extra(landmarks)
        shared = (self.members, *(-1,) * 3)
        return self.network(bones.expand(shared), extra.expand(shared[:-1])).double().numpy()

    def distribution(self, landmarks: np.ndarray) -> AgeDistribution:
        """The mean of the members' class probabilities."""
        return AgeDistribution(self.edges, torch.as_tensor(self.logits(landmarks)).softmax(-1).mean(0).numpy())


# ---- how good it is ---------------------------------------------------------------------------------------------


class AgeScore(NamedTuple):
    """Mean absolute error with its bootstrap interval over cases, bias (predicted - true), all in months, and R^2, of n cases."""

    mae: float
    low: float
    high: float
    bias: float
    r2: float
    n: int


def age_score(predicted: np.ndarray, ages: np.ndarray) -> AgeScore:
    """Compare predicted (M,) with true ages (M,) in months.

    R^2 = 1 - sum (predicted - age)^2 / sum (age - mean age)^2 punishes bias and may be negative; NaN where all ages are equal.
    Raises DataError where the lengths differ or a number is missing.
    """
    predicted, ages = np.asarray(predicted, float), np.asarray(ages, float)
    if predicted.shape != ages.shape or predicted.ndim != 1 or not len(ages):
        raise DataError(f"predicted ages of shape {predicted.shape} and true ones of shape {ages.shape}; give one of each a case")
    error = predicted - ages
    if not np.isfinite(error).all():
        raise DataError(f"case {int((~np.isfinite(error)).argmax())} (counted from 0) lacks an age or its prediction; leave it out")
    away = np.abs(error)
    interval = bootstrap_cases(lambda index, axis=-1: away[index].mean(axis), len(away))
    spread = ((ages - ages.mean()) ** 2).sum()
    r2 = float(1 - (error**2).sum() / spread) if spread > 0 else float("nan")
    return AgeScore(float(away.mean()), *interval, float(error.mean()), r2, len(ages))


def coverage(distribution: AgeDistribution, ages: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Share of cases whose age lies in the central interval of each of these probabilities; a calibrated one returns `levels`."""
    off_centre = 2 * np.abs(distribution.cdf(ages) - 0.5)
    return np.array([np.mean(off_centre <= level) for level in levels])


def table(results: Mapping[str, Any]) -> str:
    """The results of this study's record (chapter 21 writes it) as markdown."""
    interval = "{mae:.1f} [{low:.1f}, {high:.1f}]"
    exact = [[name, interval.format(**score), f"{score['r2']:.2f}"] for name, score in results["true_landmarks"].items()]
    text = (
        "**Error of the regressed age in months, mean [95 % interval].** Nobody can go below "
        f"{results['irreducible_mae']:.1f} months: children of one bone age differ in age. Chapter 21 tells how."
    )
    parts = [text, pipe_table(["method", "MAE", "R²"], exact)]
    if by_source := results.get("by_source"):  # records of older versions have none
        sources = list(next(iter(by_source.values())))
        read = [[name, *(interval.format(**scores[source]) for source in sources)] for name, scores in by_source.items()]
        parts += ["A quarter of the landmarks, in images that neither networks nor regressors had seen:"]
        parts += [pipe_table(["method", *sources], read)]
    return "\n\n".join(parts)
