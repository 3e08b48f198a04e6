"""The one place that runs a model for the page; on a Hugging Face ZeroGPU Space it is given a GPU for the call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from efficientad.detector import Prediction
from efficientad.device import pick_device
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


def training_device() -> torch.device:
    """Where a training runs: on a ZeroGPU Space the CPU, for the GPU is lent for seconds, and only to `predict`."""
    lent = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as the package `spaces` reads it
    return pick_device("cpu" if lent else None)
