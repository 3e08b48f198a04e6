"""Example images of a category: from the user's dataset, else from the repository's figures, else none."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from efficientad.data import Sample, test_samples
from efficientad.errors import InputError
from efficientad.images import SIZE, load_image

FIGURES = Path(__file__).resolve().parents[2] / "assets" / "examples"
LIMIT = 8


@dataclass(frozen=True)
class Example:
    """One example: an image file, or a frame of a category's figure, whose leftmost panel is the input."""

    path: Path
    caption: str
    frame: int | None = None
    mask: Path | None = None

    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises InputError if the file is damaged."""
        if self.frame is None:
            return load_image(self.path)
        return self._panel(self.frame, 0)

    def truth(self) -> np.ndarray | None:
        """The ground truth, (H, W, 3) uint8, defects white; None for an image without one."""
        if self.frame is not None:
            return self._panel(self.frame, 1)
        return None if self.mask is None else load_image(self.mask)

    def _panel(self, frame: int, index: int) -> np.ndarray:
        panels = iio.imread(self.path, plugin="pillow", index=frame, mode="RGB")
        return np.ascontiguousarray(panels[:SIZE, index * SIZE : (index + 1) * SIZE])


def find(category: str, data: Path | None, figures: Path = FIGURES) -> list[Example]:
    """Up to 8 examples of a category; none is not an error.

    data: root of a dataset in the MVTec layout, or None. figures: folder of <category>.webp and <category>.json,
    as `python -m eval gifs` writes them.
    """
    if samples := _samples(category, data):
        return _of_every_type(samples)
    listing, figure = figures / f"{category}.json", figures / f"{category}.webp"
    if not (listing.is_file() and figure.is_file()):
        return []
    frames = json.loads(listing.read_text(encoding="utf-8"))["frames"]
    return [Example(figure, frame["defect_type"].replace("_", " "), i) for i, frame in enumerate(frames[:LIMIT])]


def defect_types(category: str | None, data: Path | None) -> list[str]:
    """The kinds of test images that the dataset has of a category, "good" among them; none is not an error."""
    return sorted({sample.defect_type for sample in _samples(category, data)})


def test_images(category: str | None, data: Path | None, defect_type: str | None) -> list[Example]:
    """All test images of a category and type."""
    return [
        Example(sample.path, sample.path.name, mask=sample.mask)
        for sample in _samples(category, data)
        if sample.defect_type == defect_type
    ]


def _samples(category: str | None, data: Path | None) -> list[Sample]:
    if not category or data is None:
        return []
    try:
        return test_samples(data, category)
    except InputError:
        return []  # this dataset has no such category


def _of_every_type(samples: list[Sample]) -> list[Example]:
    """The first good image and the first of each defect type, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    ranked = []
    for sample in samples:
        ranked.append((seen[sample.defect_type], sample.defective, sample))
        seen[sample.defect_type] += 1
    ranked.sort(key=lambda item: item[:2])
    return [
        Example(sample.path, sample.defect_type.replace("_", " "), mask=sample.mask) for _, _, sample in ranked[:LIMIT]
    ]
