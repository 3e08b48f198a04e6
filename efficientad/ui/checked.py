"""What a session keeps of its last batch, so that another threshold needs no second look: small, whatever came in."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from efficientad.batch import as_csv, unused
from efficientad.detector import Prediction
from efficientad.domain import Fit
from efficientad.images import SIZE
from efficientad.nets import STRIDE
from efficientad.plots import overlay
from efficientad.resample import CENTRE, to_pixels

THUMBNAIL = 256  # longest side of what is kept of a photo, in pixels
OPACITY = 0.5  # of the heat on the small pictures
README = f"""predictions.csv and predictions.json have a row for every image.
overlays/ has a small picture of every image that could be read, at most {THUMBNAIL} pixels wide and high; the command
python -m efficientad predict writes them at the resolution of the images.
"""


@dataclass(frozen=True)
class Checked:
    """One image of a batch, in 10 to 50 kB whatever its size; with `error`, and no more, if it could not be read.

    Attributes:
        photo: JPEG with sides of at most 256 pixels. cells: (64, 64) float16 anomaly map, as the network has it.
    """

    name: str
    error: str = ""
    score: float = math.nan
    milliseconds: float = math.nan
    fit: Fit | None = None
    photo: bytes = b""
    cells: NDArray[np.float16] | None = None

    @classmethod
    def of(cls, name: str, rgb: NDArray[np.uint8], found: Prediction, fit: Fit) -> Checked:
        """rgb: (H, W, 3) uint8; the map of `found` is (H, W)."""
        return cls(name, "", found.score, found.milliseconds, fit, _small(rgb), _cells(found))

    def overlay(self, model_threshold: float, threshold: float) -> NDArray[np.uint8]:
        """(h, w, 3) uint8: the small photo with heat on the model's scale, and the outline at `threshold`."""
        assert self.cells is not None, "nothing was seen of this image"
        photo = np.array(Image.open(io.BytesIO(self.photo)))
        anomaly_map = to_pixels(torch.from_numpy(self.cells), (photo.shape[0], photo.shape[1]))
        return overlay(photo, anomaly_map, model_threshold, OPACITY, outline=threshold)


@dataclass
class Batch:
    """What a session keeps of its last batch. threshold: the model's own. total: of images, checked or not yet."""

    category: str
    threshold: float
    total: int
    checked: list[Checked] = field(default_factory=list)

    @property
    def seen(self) -> list[Checked]:
        """The images that could be read, highest score first."""
        return sorted((each for each in self.checked if not each.error), key=lambda each: -each.score)

    @property
    def failed(self) -> list[Checked]:
        return [each for each in self.checked if each.error]

    def rows(self, threshold: float) -> list[dict[str, Any]]:
        """The table of efficientad/batch.py, in the order of the upload."""
        return [
            {"path": each.name, "category": self.category}
            | dict.fromkeys(("score", "threshold", "defective", "milliseconds"))
            | ({} if each.error else _decision(each, threshold, 6))
            | {"error": each.error}
            for each in self.checked
        ]

    def report(self) -> list[dict[str, Any]]:
        """The first value of the endpoint /batch, in the order of the upload."""
        return [
            {"file": each.name}
            | dict.fromkeys(("score", "threshold", "defective", "milliseconds"))
            | ({} if each.error else _decision(each, self.threshold, 4))
            | {"fits_category": each.fit and each.fit.fits, "error": each.error}
            for each in self.checked
        ]

    def archive(self, threshold: float, path: Path) -> None:
        """Write a zip: the table as CSV and as JSON, small overlays, and a README that says how small."""
        rows = self.rows(threshold)
        taken: set[str] = set()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("README.txt", README)
            archive.writestr("predictions.csv", as_csv(rows))
            archive.writestr("predictions.json", json.dumps(rows, indent=2) + "\n")
            for each in self.checked:
                if not each.error:
                    picture = io.BytesIO()
                    Image.fromarray(each.overlay(self.threshold, threshold)).save(picture, "PNG", compress_level=1)
                    name = unused(Path(each.name).stem, taken)
                    archive.writestr(f"overlays/{name}.png", picture.getvalue())


def _decision(each: Checked, threshold: float, digits: int) -> dict[str, Any]:
    return {
        "score": round(float(each.score), digits),
        "threshold": round(float(threshold), digits),
        "defective": bool(each.score > threshold),
        "milliseconds": round(float(each.milliseconds), 1),
    }


def _small(rgb: NDArray[np.uint8]) -> bytes:
    photo = Image.fromarray(rgb)
    photo.thumbnail((THUMBNAIL, THUMBNAIL), reducing_gap=2)
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=90)
    return content.getvalue()


def _cells(found: Prediction) -> NDArray[np.float16]:
    """What `to_pixels` made the map from: its values at the centres of the cells. The highest cell is the score."""
    centres = CENTRE + STRIDE * np.arange(SIZE // STRIDE) + 0.5  # in pixels of 256
    rows, columns = (
        np.rint(centres * length / SIZE - 0.5).astype(int).clip(0, length - 1) for length in found.anomaly_map.shape
    )
    cells = found.anomaly_map[np.ix_(rows, columns)]  # a copy: the map itself goes
    cells.flat[cells.argmax()] = found.score
    return cells.clip(-6e4, 6e4).astype(np.float16)
