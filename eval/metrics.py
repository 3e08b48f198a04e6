"""Exact metrics as pure functions: rank the scores once, then read AUROC, best F1 and AU-PRO off the ranking.

Nothing is binned, rescaled or squashed: scores may be negative or above 1, and equal scores count as equal.
A pixel counts as found when its score is above the threshold, as everywhere in this project.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from efficientad.errors import InputError

FPR_LIMIT = 0.3  # AU-PRO is integrated up to here (Bergmann et al., MVTec AD)


@dataclass(frozen=True)
class Ranking:
    """Where the K distinct defective scores fall among the good ones; all arrays (K,), by ascending score.

    A curve can only bend at these scores: between two of them the hits are constant, so that nothing is lost
    by leaving out the far more numerous good scores.

    Attributes:
        scores: the distinct defective scores.
        hits: int64, how many defective scores are >= this one.
        false_alarms: int64, how many good scores are >= this one.
        ties: int64, how many good scores equal it.
        overlap: float64 in (0, 1], the mean over defect regions of the fraction of the region that is >= this
            score; None unless the ranking was given region sizes.
        good: number of good scores.
        defective: number of defective scores.
    """

    scores: NDArray[np.floating]
    hits: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    ties: NDArray[np.int64]
    overlap: NDArray[np.float64] | None
    good: int
    defective: int


@dataclass(frozen=True)
class Decisions:
    """How often the decisions on images were right; fractions in [0, 1], NaN where nothing can be counted."""

    f1: float
    precision: float
    recall: float
    accuracy: float
    false_positive_rate: float


def rank(good: ArrayLike, defective: ArrayLike, region_sizes: ArrayLike | None = None) -> Ranking:
    """Sort once, for every metric below.

    Args:
        good: scores of good images or pixels, any shape, any finite values. float32 stays float32.
        defective: the same for defective ones.
        region_sizes: for each defective pixel the number of pixels of its region, as from `region_sizes`.

    Raises:
        InputError: a score is NaN or infinite, or the sizes do not match the defective scores.
    """
    negatives = np.sort(good, axis=None)
    positives = np.ravel(defective)
    order = np.argsort(positives)
    positives = positives[order]
    if not all(np.isfinite(x[[0, -1]]).all() for x in (negatives, positives) if len(x)):  # NaN sorts last
        raise InputError("Some scores are NaN or infinite: check the model and the image they come from.")

    first = np.ones(len(positives), bool)
    first[1:] = positives[1:] != positives[:-1]
    starts = np.flatnonzero(first)
    scores = positives[starts]
    below = np.searchsorted(negatives, scores, side="left")
    ties = np.searchsorted(negatives, scores, side="right") - below
    overlap = None
    if region_sizes is not None:
        sizes = np.ravel(region_sizes)
        if sizes.shape != positives.shape:
            raise InputError(f"{len(sizes)} sizes for {len(positives)} defective pixels: pass one for each.")
        weights = 1.0 / sizes[order]  # each region weighs 1, however large it is
        suffix = np.cumsum(weights[::-1])[::-1]
        overlap = suffix[starts] / suffix[0] if len(suffix) else suffix
    return Ranking(
        scores, len(positives) - starts, len(negatives) - below, ties, overlap, len(negatives), len(positives)
    )


def auroc(ranking: Ranking) -> float:
    """P(defective > good) + P(defective = good) / 2. NaN if there are no good or no defective scores."""
    if not ranking.good or not ranking.defective:
        return math.nan
    count = -np.diff(ranking.hits, append=0)  # defective scores at each distinct value
    doubled_losses = int(np.dot(count, 2 * ranking.false_alarms - ranking.ties))  # in integers: no rounding
    doubled_pairs = 2 * ranking.good * ranking.defective
    return (doubled_pairs - doubled_losses) / doubled_pairs


def best_f1(ranking: Ranking) -> tuple[float, float]:
    """The highest F1 that any one threshold reaches, and the highest threshold that reaches it.

    The threshold lies just below the lowest score found, so that `score > threshold` reproduces the F1.
    (NaN, NaN) if there are no good or no defective scores.
    """
    if not ranking.good or not ranking.defective:
        return math.nan, math.nan
    f1 = 2 * ranking.hits / (ranking.defective + ranking.hits + ranking.false_alarms)
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    lowest = ranking.scores[best : best + 1]
    if not np.issubdtype(lowest.dtype, np.floating):
        lowest = lowest.astype(np.float64)
    return float(f1[best]), float(np.nextafter(lowest, -np.inf, dtype=lowest.dtype)[0])


def aupro(ranking: Ranking, limit: float = FPR_LIMIT) -> float:
    """Area under the per-region overlap over the false-positive rate up to `limit`, divided by `limit`.

    The definition of MVTec AD: the rate is over the good pixels of all test images, the overlap is the mean
    over all defect regions of all images. Exact: the curve has a corner where the sweep reaches a defective
    score and one where it has passed the good scores equal to it, and is straight in between.

    Args:
        ranking: of pixels, made with region sizes.
        limit: in (0, 1].

    Returns:
        In [0, 1]; NaN if there are no good or no defective pixels.

    Raises:
        InputError: the ranking was made without region sizes.
    """
    if ranking.overlap is None:
        raise InputError("AU-PRO needs the size of each pixel's region: pass region_sizes to rank().")
    if not ranking.good or not ranking.defective:
        return math.nan
    x = np.zeros(2 * len(ranking.scores) + 2)  # corners by descending score, from (0, 0) to (1, 1)
    y = np.zeros_like(x)
    x[1:-1:2] = (ranking.false_alarms - ranking.ties)[::-1] / ranking.good
    x[2:-1:2] = ranking.false_alarms[::-1] / ranking.good
    y[3:-1:2] = ranking.overlap[:0:-1]
    y[2:-1:2] = ranking.overlap[::-1]
    x[-1] = y[-1] = 1.0
    end = int(np.searchsorted(x, limit, side="right"))  # the first corner beyond the limit
    if end < len(x):
        slope = (y[end] - y[end - 1]) / (x[end] - x[end - 1])
        y[end] = y[end - 1] + slope * (limit - x[end - 1])
        x[end] = limit
    x, y = x[: end + 1], y[: end + 1]
    return float(np.dot(np.diff(x), y[1:] + y[:-1]) / 2 / limit)


def region_sizes(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """For each defective pixel of a mask (H, W) bool, the pixel count of its region: (mask.sum(),) int32.

    In the order of `anomaly_map[mask]`. Pixels that touch by an edge or a corner are one region.
    """
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return np.bincount(labels.ravel()).astype(np.int32)[labels[mask]]


def decisions(called: ArrayLike, defective: ArrayLike) -> Decisions:
    """Compare what images were called with what they are.

    Args:
        called: (N,) bool, True where the detector said defective.
        defective: (N,) bool, the truth.
    """
    called, truth = np.asarray(called, bool), np.asarray(defective, bool)
    hits, called_total, defective_total = int((called & truth).sum()), int(called.sum()), int(truth.sum())
    return Decisions(
        f1=_ratio(2 * hits, called_total + defective_total),
        precision=_ratio(hits, called_total),
        recall=_ratio(hits, defective_total),
        accuracy=_ratio(int((called == truth).sum()), len(truth)),
        false_positive_rate=_ratio(called_total - hits, len(truth) - defective_total),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
