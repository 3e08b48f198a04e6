"""The metrics of eval/metrics.py as `torchmetrics.Metric`: feed image by image, compute once.

Unlike the binary metrics of torchmetrics, these never apply a sigmoid: scores outside [0, 1] stay as they
are, so that feeding image by image gives the same result as feeding everything at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from efficientad.errors import InputError
from eval import metrics


class RankingMetric(Metric):
    """Keeps every score, split into good and defective."""

    full_state_update = False
    good: list[torch.Tensor]
    defective: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("good", default=[], dist_reduce_fx="cat")
        self.add_state("defective", default=[], dist_reduce_fx="cat")

    def update(self, scores: torch.Tensor, defective: torch.Tensor) -> None:
        """Add images or pixels.

        Args:
            scores: any shape, any finite values: (N,) image scores, or (H, W), (N, H, W), … anomaly maps.
            defective: the same shape; bool, or numbers where anything but 0 is defective.

        Raises:
            InputError: the shapes differ.
        """
        if scores.shape != defective.shape:
            raise InputError(
                f"Scores are {tuple(scores.shape)}, masks {tuple(defective.shape)}: pass them in one shape."
            )
        mask = defective.bool()
        self.good.append(scores[~mask])
        self.defective.append(scores[mask])

    def ranking(self) -> metrics.Ranking:
        """Of everything seen so far.

        Raises:
            InputError: some scores are NaN or infinite.
        """
        return metrics.rank(_array(self.good), _array(self.defective))


class AUROC(RankingMetric):
    """Image AUROC of image scores, pixel AUROC of anomaly maps. NaN while one class is missing."""

    is_differentiable = False
    higher_is_better = True

    def compute(self) -> torch.Tensor:
        """() float64 in [0, 1]."""
        return torch.tensor(metrics.auroc(self.ranking()), dtype=torch.float64)


class BestF1(RankingMetric):
    """F1 at the best single threshold over everything seen. NaN while one class is missing."""

    is_differentiable = False
    higher_is_better = True

    def compute(self) -> torch.Tensor:
        """() float64 in [0, 1]."""
        return torch.tensor(metrics.best_f1(self.ranking())[0], dtype=torch.float64)


class AUPRO(RankingMetric):
    """Area under the per-region overlap up to a false-positive rate. NaN while one class is missing."""

    is_differentiable = False
    higher_is_better = True
    sizes: list[torch.Tensor]

    def __init__(self, limit: float = metrics.FPR_LIMIT) -> None:
        super().__init__()
        self.limit = limit
        self.add_state("sizes", default=[], dist_reduce_fx="cat")

    def update(self, scores: torch.Tensor, defective: torch.Tensor) -> None:
        """Add anomaly maps and masks, (..., H, W) each; regions are found in each mask on its own.

        Raises:
            InputError: the shapes differ.
        """
        super().update(scores, defective)
        mask = defective.bool().cpu().numpy()
        for one in mask.reshape(-1, *mask.shape[-2:]):
            self.sizes.append(torch.from_numpy(metrics.region_sizes(one)).to(scores.device))

    def ranking(self) -> metrics.Ranking:
        """Of everything seen so far, with the overlap of regions."""
        return metrics.rank(_array(self.good), _array(self.defective), _array(self.sizes))

    def compute(self) -> torch.Tensor:
        """() float64 in [0, 1]."""
        return torch.tensor(metrics.aupro(self.ranking(), self.limit), dtype=torch.float64)


def _array(state: list[torch.Tensor]) -> NDArray[Any]:
    return dim_zero_cat(state).detach().cpu().numpy() if len(state) else np.empty(0, np.float32)
