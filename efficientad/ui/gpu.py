"""The one place that runs a model for the page; on a Hugging Face ZeroGPU Space it is given a GPU for the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from efficientad.detector import Prediction
from efficientad.zoo import Own, Zoo

try:
    from spaces import GPU as gpu  # noqa: N811 - exists on Spaces only
except ImportError:
    Function = TypeVar("Function", bound=Callable[..., object])

    def gpu(function: Function) -> Function:
        """Elsewhere there is nothing to ask for."""
        return function


# ZeroGPU calls in a forked process and pickles the arguments; a Zoo has locks, and is inherited instead.
_zoos: dict[int, Zoo] = {}


def predict(zoo: Zoo, category: str, rgb: np.ndarray, own: Own | None = None) -> Prediction:
    """Inspect an (H, W, 3) uint8 image. Raises InputError for an unknown category."""
    _zoos[id(zoo)] = zoo
    return _predict(id(zoo), category, rgb, own)


@gpu
def _predict(zoo: int, category: str, rgb: np.ndarray, own: Own | None) -> Prediction:
    return _zoos[zoo].predict(category, rgb, own)
