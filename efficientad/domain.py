"""Is an image of the kind that a model was trained on? A model of pills has nothing to say about a cat.

An image is summarised by mean and deviation of the teacher's channels over its cells: what is in it, not where.
Good images of a category scatter about their mean summary, mostly along a few directions; whatever lies much
farther from it is something else. The distance is Mahalanobis's under probabilistic PCA (Tipping and Bishop, 1999).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

DIRECTIONS = 8  # and the rest: chosen on good images and natural photos alone (eval/bench/domain.py)
MARGIN = 1.5
# A large defect takes an image far, but not nearer to another category. Where no other fits better, it may lie this
# share of the way to the nearest natural photo; without such photos, this many times as far as `limit`.
SHARE = 0.6
LENIENCE = 2.5


@dataclass(frozen=True)
class Domain:
    """What good images of a category look like to the teacher.

    Attributes:
        centre: (D,) mean summary.
        noise: variance in all directions but the main ones.
        allowance: (K, D), the main directions, scaled by how much more is normal along them.
        limit: an image at a greater distance is not of the category if it suits another one better.
        outer: an image at a greater distance is not of the category, whatever it suits.
    """

    centre: Tensor
    noise: float
    allowance: Tensor
    limit: float
    outer: float

    def distance(self, summary: Tensor) -> float:
        """Of a (D,) summary; about 1 for a good image."""
        offset = summary - self.centre
        square = offset.square().sum() / self.noise - (self.allowance @ offset).square().sum()
        return float((square / len(offset)).clamp_min(0).sqrt())


@dataclass(frozen=True)
class Fit:
    """Whether an image is of a category (`distance` <= `limit`, inner or outer), and which of all it suits best."""

    fits: bool
    distance: float
    limit: float
    best: str


def summarise(described: Tensor) -> Tensor:
    """A teacher's output, (N, C, H, W), -> (N, 2C): mean and deviation of every channel."""
    deviation, mean = torch.std_mean(described.float(), dim=(2, 3), correction=0)
    return torch.cat((mean, deviation), dim=1)


def learn(training: Tensor, held_out: Tensor, natural: Tensor | None = None) -> Domain:
    """The domain of a category from summaries of its good images: (N, D) that trained, (M, D) that did not.

    The limit is MARGIN times the largest distance of the held-out ones. `natural` photos, (P, D), set the outer one.
    """
    count, width = training.shape
    centre = training.mean(dim=0)
    _, singular, directions = torch.linalg.svd(training - centre, full_matrices=False)
    variance = singular.square() / count
    kept = min(DIRECTIONS, count // 3)
    noise = max(float(variance[kept:].sum()) / (width - kept), 1e-8)
    scale = (1 / noise - 1 / (variance[:kept] + noise)).sqrt()
    draft = Domain(centre, noise, scale[:, None] * directions[:kept], 0.0, 0.0)
    limit = MARGIN * max(draft.distance(summary) for summary in held_out)
    outer = LENIENCE * limit
    if natural is not None:
        outer = max(limit, SHARE * min(draft.distance(summary) for summary in natural))
    return dataclasses.replace(draft, limit=limit, outer=outer)


def judge(category: str, summary: Tensor, domains: Mapping[str, Domain]) -> Fit:
    """How an image with this (D,) summary suits a category; all of `domains` are of the same teacher."""
    distances = {name: domain.distance(summary) for name, domain in domains.items()}
    best = min(domains, key=lambda name: distances[name] / domains[name].limit)
    limit = domains[category].outer if best == category else domains[category].limit
    return Fit(distances[category] <= limit, distances[category], limit, best)
