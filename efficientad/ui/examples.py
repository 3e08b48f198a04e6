"""Example images of a category: from the user's dataset, else from the repository's figures, else none."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from efficientad.data import test_samples
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

    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises InputError if the file is damaged."""
        if self.frame is None:
            return load_image(self.path)
        frames = iio.imread(self.path, plugin="pillow", index=self.frame, mode="RGB")
        return np.ascontiguousarray(frames[:SIZE, :SIZE])


def find(category: str, data: Path | None, figures: Path = FIGURES) -> list[Example]:
    """Up to 8 examples of a category; none is not an error.

    data: root of a dataset in the MVTec layout, or None. figures: folder of <category>.webp and <category>.json,
    as `python -m eval gifs` writes them.
    """
    if data is not None:
        try:
            return _of_every_type(data, category)
        except InputError:
            pass  # this dataset has no such category: the figure may
    listing, figure = figures / f"{category}.json", figures / f"{category}.webp"
    if not (listing.is_file() and figure.is_file()):
        return []
    frames = json.loads(listing.read_text(encoding="utf-8"))["frames"]
    return [Example(figure, frame["defect_type"].replace("_", " "), i) for i, frame in enumerate(frames[:LIMIT])]


def _of_every_type(data: Path, category: str) -> list[Example]:
    """The first good image and the first of each defect type, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    ranked = []
    for sample in test_samples(data, category):
        ranked.append((seen[sample.defect_type], sample.defective, sample))
        seen[sample.defect_type] += 1
    ranked.sort(key=lambda item: item[:2])
    return [Example(sample.path, sample.defect_type.replace("_", " ")) for _, _, sample in ranked[:LIMIT]]
