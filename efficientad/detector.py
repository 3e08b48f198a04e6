"""A trained category that inspects images: load it, then predict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from efficientad.calibrate import combine, normalize
from efficientad.checkpoint import Card, load_model
from efficientad.device import pick_device, place
from efficientad.images import Source, load_image, preprocess
from efficientad.nets import EfficientAD
from efficientad.pretrained import find
from efficientad.resample import to_pixels


@dataclass(frozen=True)
class Prediction:
    """What a detector says of one image. Maps are (H, W) float32 at the image's own resolution.

    On their scale the 0.9 quantile of good pixels is 0 and the 0.995 quantile 0.1; `score` is the anomaly map's
    maximum over the network's cells, and `defective` means that it exceeds `threshold`. `summary` (768,) says
    what kind of image it is (domain.py).
    """

    category: str
    score: float
    threshold: float
    defective: bool
    anomaly_map: NDArray[np.float32]
    structural_map: NDArray[np.float32]
    logical_map: NDArray[np.float32]
    summary: Tensor
    milliseconds: float


class Detector:
    """`Detector.load("pill").predict("photo.png")`."""

    def __init__(self, model: EfficientAD, card: Card, device: torch.device) -> None:
        self.model = place(model.eval(), device)
        self.card = card
        self.device = device
        self.category = card.category
        self.threshold = card.calibration.threshold
        self.size = card.size
        self.config: dict[str, Any] = card.config

    @classmethod
    def load(cls, name_or_path: str | Path, device: str | None = None) -> Detector:
        """A detector from `pretrained/` by category, or from a model file by path; on the GPU if there is one.

        Raises:
            InputError: unknown category, or a file that is not such a model.
        """
        model, card = load_model(find(name_or_path))
        return cls(model, card, pick_device(device))

    def predict(self, source: Source) -> Prediction:
        """Inspect one image: a path, encoded bytes, a binary file, a PIL image or an array.

        Raises:
            InputError: not an image, damaged, or larger than 100 megapixels.
        """
        rgb = load_image(source)
        start = time.perf_counter()
        with torch.inference_mode():
            raw = self.model(preprocess(rgb).to(self.device))
            structural, logical, summary = raw.structural.cpu(), raw.logical.cpu(), raw.summary[0].cpu()
        calibration = self.card.calibration
        anomaly = combine(structural, logical, calibration)[0]  # (64, 64)
        score = float(anomaly.max())
        shape = (rgb.shape[0], rgb.shape[1])
        return Prediction(
            category=self.category,
            score=score,
            threshold=self.threshold,
            defective=score > self.threshold,
            anomaly_map=to_pixels(anomaly, shape),
            structural_map=to_pixels(normalize(structural[0], calibration.structural), shape),
            logical_map=to_pixels(normalize(logical[0], calibration.logical), shape),
            summary=summary,
            milliseconds=1000 * (time.perf_counter() - start),
        )
