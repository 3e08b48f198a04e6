"""Everything that is set from good images: teacher statistics, map quantiles, the image threshold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FALSE_ALARMS = 0.01  # share of good images that the threshold is meant to let pass as defective
Q_LOW, Q_HIGH = 0.9, 0.995  # paper, section 3.4: they become 0 and 0.1


@dataclass(frozen=True)
class Calibration:
    """Raw map values at the two quantiles, over the good images held out of training, and the image threshold.

    `logical_weight` is the logical map's share of the anomaly map, 0.5 in the paper; the structural one has the rest.
    """

    structural: tuple[float, float]
    logical: tuple[float, float]
    threshold: float
    logical_weight: float = 0.5


def normalize(raw: Tensor, quantiles: tuple[float, float]) -> Tensor:
    """A raw map with its quantiles at 0 and 0.1 (Algorithm 2, line 9); equal ones divide by a tiny number."""
    low, high = quantiles
    return 0.1 * (raw - low) / max(high - low, 1e-12)


def combine(structural: Tensor, logical: Tensor, calibration: Calibration) -> Tensor:
    """The anomaly map, the weighted mean of both maps on their calibrated scales."""
    share = calibration.logical_weight
    scaled = normalize(structural, calibration.structural), normalize(logical, calibration.logical)
    return (1 - share) * scaled[0] + share * scaled[1]


def calibrate(structural: Tensor, logical: Tensor, logical_weight: float) -> Calibration:
    """Quantiles and threshold from raw maps of held-out good images, each (N, 64, 64)."""
    draft = Calibration(_quantiles(structural), _quantiles(logical), math.inf, logical_weight)
    scores = combine(structural, logical, draft).amax(dim=(1, 2)).double().cpu().numpy()
    return dataclasses.replace(draft, threshold=threshold(scores))


def threshold(scores: NDArray[np.float64]) -> float:
    """The image score that good images exceed with probability FALSE_ALARMS.

    A score is the maximum of many cells, so a Gumbel distribution is fitted (by its moments) to the (N,) scores of
    held-out good images: two or three dozen scores do not show their own 99 % quantile.
    """
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else 0.0
    beta = spread * math.sqrt(6) / math.pi
    mode = float(scores.mean()) - np.euler_gamma * beta
    return mode - beta * math.log(-math.log(1 - FALSE_ALARMS))


def channel_statistics(features: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and deviation per channel, (1, 384, 1, 1), of the (H, W, 384) teacher features of all images.

    One image at a time: the features of a whole category do not fit into memory twice.
    """
    means, squares = [], []
    for cells in features:
        means.append(cells.double().mean(dim=(0, 1)))
        squares.append(cells.double().square().mean(dim=(0, 1)))
    mean = torch.stack(means).mean(dim=0)
    std = (torch.stack(squares).mean(dim=0) - mean.square()).clamp_min(1e-12).sqrt()
    return mean.float().view(1, -1, 1, 1), std.float().view(1, -1, 1, 1)


def _quantiles(raw: Tensor) -> tuple[float, float]:
    values = np.quantile(raw.flatten().double().cpu().numpy(), (Q_LOW, Q_HIGH))
    return float(values[0]), float(values[1])
