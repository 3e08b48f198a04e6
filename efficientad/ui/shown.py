"""What a session keeps of its last inspection, so that another threshold or opacity needs no second look."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from efficientad.detector import Prediction
from efficientad.domain import Fit
from efficientad.plots import overlay
from efficientad.ui import verdict

PHOTO = 1024  # longest sides, in pixels, of the photo that goes to the browser
MAP = 128  # and of the maps, which come from 64 x 64 cells and whose values all go there


@dataclass(frozen=True)
class Shown:
    """One inspected image.

    Attributes:
        photo: (h, w, 3) uint8, h, w <= 1024. anomaly_map: (h, w) float32 of the same pixels.
        combined, structural, logical: the maps with sides of at most 128.
        threshold: the model's own. fit: whether the photo is of the category at all.
    """

    category: str
    score: float
    threshold: float
    milliseconds: float
    photo: NDArray[np.uint8]
    anomaly_map: NDArray[np.float32]
    combined: NDArray[np.float32]
    structural: NDArray[np.float32]
    logical: NDArray[np.float32]
    fit: Fit

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], prediction: Prediction, fit: Fit) -> Shown:
        """rgb: (H, W, 3) uint8, the inspected image; the maps of `prediction` are (H, W)."""
        return cls(
            category=prediction.category,
            score=prediction.score,
            threshold=prediction.threshold,
            milliseconds=prediction.milliseconds,
            photo=np.ascontiguousarray(_thin(rgb, PHOTO)),
            anomaly_map=_thin(prediction.anomaly_map, PHOTO),
            combined=_thin(prediction.anomaly_map, MAP),
            structural=_thin(prediction.structural_map, MAP),
            logical=_thin(prediction.logical_map, MAP),
            fit=fit,
        )

    def report(self, threshold: float) -> dict[str, str | float | bool]:
        """The decision at a threshold."""
        return verdict.report(self.category, self.score, threshold, self.milliseconds, self.fit)

    def overlay(self, threshold: float, opacity: float) -> NDArray[np.uint8]:
        """The photo with heat on the model's own scale and the outline of what exceeds `threshold`."""
        return overlay(self.photo, self.anomaly_map, self.threshold, opacity, outline=threshold)

    def archive(self, threshold: float, opacity: float) -> bytes:
        """A zip: overlay.png, the anomaly map as .npy (float32) and as 16-bit PNG, decision.json."""
        top = verdict.top_of_scale(self.threshold)
        deep = np.rint((self.anomaly_map / top).clip(0, 1) * 65535).astype(np.uint16)
        facts = {
            **self.report(threshold),
            "model_threshold": round(self.threshold, 4),
            "anomaly_map.png": f"16 bits; 65535 is {top:.6g} and above, 0 is 0 and below",
        }
        values = io.BytesIO()
        np.save(values, self.anomaly_map)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("overlay.png", _png(self.overlay(threshold, opacity)))
            archive.writestr("anomaly_map.npy", values.getvalue())
            archive.writestr("anomaly_map.png", _png(deep))
            archive.writestr("decision.json", json.dumps(facts, indent=2) + "\n")
        return content.getvalue()


def _thin(values: np.ndarray, longest: int) -> np.ndarray:
    """Every n-th row and column, so that neither side is longer than that."""
    step = -(-max(values.shape[:2]) // longest)
    return values[::step, ::step]


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
