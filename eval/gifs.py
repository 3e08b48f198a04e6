"""Moving figures of predictions: input, ground truth, anomaly map, overlay, one frame for every defect type.

assets/<category>.gif is for the README. assets/examples/<category>.webp has the same frames without loss and with
panels of the network's input size: the demo takes its examples from there, and gets the score that the caption names.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from efficientad.data import Sample, load_mask, test_samples
from efficientad.detector import Detector, Prediction
from efficientad.errors import InputError
from efficientad.files import write_bytes, write_json
from efficientad.images import SIZE, load_image, shrink
from efficientad.plots import VMAX, colorize, overlay

MVTEC = "MVTec AD, © MVTec Software GmbH, CC BY-NC-SA 4.0"
MILLISECONDS = 1200  # that a frame stays
GIF_PANEL = 192
GIF_BYTES = 1_000_000
TITLES = ("input", "ground truth", "anomaly map", "overlay")


@dataclass(frozen=True)
class Frame:
    """One test image and what the model said of it; a line of assets/examples/<category>.json."""

    path: str  # in the dataset
    defect_type: str
    score: float
    threshold: float
    defective: bool


def first_of_every_type(samples: list[Sample]) -> list[Sample]:
    """The first test image of every defect type and the first good one: not chosen by how well they turn out."""
    found: dict[str, Sample] = {}
    for sample in samples:
        found.setdefault(sample.defect_type, sample)
    return list(found.values())


def render(root: Path, models: dict[str, Path], out: Path, attribution: str = MVTEC) -> Iterator[Path]:
    """Write `out`/<category>.gif, `out`/examples/<category>.webp and .json for every model; yields what is written.

    Raises:
        InputError: a model, an image or a mask cannot be used, or a GIF exceeds a megabyte.
    """
    for category, path in models.items():
        detector = Detector.load(path)
        samples = first_of_every_type(test_samples(root, category))
        predictions = [detector.predict(sample.path) for sample in samples]
        pairs = list(zip(samples, predictions, strict=True))
        figure = out / "examples" / f"{category}.webp"
        write_bytes(figure, webp([picture(*pair, SIZE, attribution) for pair in pairs]))
        yield figure
        listing = figure.with_suffix(".json")
        write_json(listing, {"frames": [asdict(frame(root, *pair)) for pair in pairs], "attribution": attribution})
        yield listing
        data = gif([picture(*pair, GIF_PANEL, attribution) for pair in pairs])
        if len(data) > GIF_BYTES:
            raise InputError(f"The GIF of {category} has {len(data)} bytes: lower GIF_PANEL in eval/gifs.py.")
        write_bytes(out / f"{category}.gif", data)
        yield out / f"{category}.gif"


def frame(root: Path, sample: Sample, prediction: Prediction) -> Frame:
    """The record of one frame."""
    return Frame(
        path=sample.path.relative_to(root).as_posix(),
        defect_type=sample.defect_type,
        score=round(prediction.score, 4),
        threshold=round(prediction.threshold, 4),
        defective=prediction.defective,
    )


def picture(sample: Sample, prediction: Prediction, side: int, attribution: str) -> Image.Image:
    """Four panels of side x side pixels, titles above, verdict, colour scale and attribution below."""
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
    line = round(side / 10)
    canvas = Image.new("RGB", (4 * side, side + 4 * line), "white")
    drawing = ImageDraw.Draw(canvas)
    for i, (panel, title) in enumerate(zip(panels, TITLES, strict=True)):
        canvas.paste(Image.fromarray(shrink(panel, side)), (i * side, 0))
        drawing.text((i * side + line / 4, side + line / 8), title, fill="dimgrey", font_size=0.6 * line)
    ramp = colorize(np.repeat(np.linspace(0, 1, side - line)[None], line // 2, axis=0))
    canvas.paste(Image.fromarray(ramp), (2 * side + line // 2, side + line))
    _scale(drawing, prediction.threshold, 2 * side, side, line)
    verdict = "defective" if prediction.defective else "good"
    truth_text = f"{sample.category.replace('_', ' ')}, {sample.defect_type.replace('_', ' ')}"
    drawing.text((line / 4, side + 1.1 * line), truth_text, fill="black", font_size=0.8 * line)
    judged = f"judged {verdict}: score {prediction.score:.3f}, threshold {prediction.threshold:.3f}"
    colour = "#B4380A" if prediction.defective else "#0F766E"
    drawing.text((line / 4, side + 2.1 * line), judged, fill=colour, font_size=0.8 * line)
    drawing.text((line / 4, side + 3.2 * line), f"Image: {attribution}", fill="dimgrey", font_size=0.55 * line)
    return canvas


def _scale(drawing: ImageDraw.ImageDraw, threshold: float, left: int, side: int, line: int) -> None:
    """Ends and middle of the colour scale; the threshold lies in the middle, for VMAX is two thresholds."""
    top, middle = side + line, left + side / 2
    drawing.line([(middle, top - line / 6), (middle, top + 0.7 * line)], fill="black", width=max(1, line // 10))
    for text, x, anchor in (
        ("0", left + line / 2, "la"),
        (f"threshold {threshold:.2f}", middle, "ma"),
        (f"{VMAX * threshold:.2f}", left + side - line / 2, "ra"),
    ):
        drawing.text((x, top + 0.75 * line), text, fill="dimgrey", font_size=0.55 * line, anchor=anchor)


def webp(frames: list[Image.Image]) -> bytes:
    """An animation that keeps every pixel."""
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, lossless=True,
        quality=80, method=4,
    )  # fmt: skip
    return buffer.getvalue()


def gif(frames: list[Image.Image]) -> bytes:
    """An animation with a palette of its own for every frame, without dithering."""
    buffer = io.BytesIO()
    reduced = [f.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for f in frames]
    reduced[0].save(
        buffer, "GIF", save_all=True, append_images=reduced[1:], duration=MILLISECONDS, loop=0, optimize=False
    )
    return buffer.getvalue()
