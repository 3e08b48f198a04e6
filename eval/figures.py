"""Figures of predictions on test images: input, ground truth, anomaly map, overlay side by side, with attribution.

The demo shows the input panel of these figures as its examples where no dataset is at hand. It is the network's
input to the pixel, so that the demo gives the score that the caption names.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from efficientad.data import Sample, load_mask, test_samples
from efficientad.detector import Detector, Prediction
from efficientad.files import write_bytes
from efficientad.images import SIZE, load_image, shrink
from efficientad.plots import VMAX, colorize, overlay

CAPTION = 40
ATTRIBUTION = "Image: MVTec AD, © MVTec Software GmbH, CC BY-NC-SA 4.0"


def first_of_every_type(samples: list[Sample]) -> list[Sample]:
    """The first test image of every defect type and the first good one: not chosen by how well they turn out."""
    found: dict[str, Sample] = {}
    for sample in samples:
        found.setdefault(sample.defect_type, sample)
    return list(found.values())


def strip(sample: Sample, prediction: Prediction) -> Image.Image:
    """Four 256x256 panels and a caption below: (296, 1024) RGB."""
    rgb = load_image(sample.path)
    truth = np.zeros(rgb.shape[:2], bool)
    if sample.mask is not None:
        truth = load_mask(sample.mask, (rgb.shape[0], rgb.shape[1]))
    panels = [
        rgb,
        np.repeat(truth[..., None] * np.uint8(255), 3, axis=2),
        colorize(prediction.anomaly_map, 0, VMAX * prediction.threshold),
        overlay(rgb, prediction.anomaly_map, prediction.threshold),
    ]
    picture = Image.new("RGB", (4 * SIZE, SIZE + CAPTION), "white")
    for i, panel in enumerate(panels):
        picture.paste(Image.fromarray(shrink(panel)), (i * SIZE, 0))
    verdict = "defective" if prediction.defective else "good"
    drawing = ImageDraw.Draw(picture)
    text = (
        f"{sample.category} / {sample.defect_type}: judged {verdict}, "
        f"score {prediction.score:.3f}, threshold {prediction.threshold:.3f}"
    )
    drawing.text((6, SIZE + 3), text, fill="black", font_size=14)
    drawing.text(
        (6, SIZE + 22), f"input, ground truth, anomaly map, overlay. {ATTRIBUTION}", fill="dimgrey", font_size=12
    )
    return picture


def render(root: Path, models: dict[str, Path], out: Path) -> Iterator[Path]:
    """Write `out`/<category>/<defect type>.webp for every model; yields the files as they are written.

    Raises:
        InputError: a model, an image or a mask cannot be used.
    """
    for category, path in models.items():
        detector = Detector.load(path)
        for sample in first_of_every_type(test_samples(root, category)):
            buffer = io.BytesIO()
            strip(sample, detector.predict(sample.path)).save(buffer, "WEBP", lossless=True)
            target = out / category / f"{sample.defect_type}.webp"
            write_bytes(target, buffer.getvalue())
            yield target
