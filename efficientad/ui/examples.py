"""Example images of a category: from the user's dataset, else from the repository's figures, else none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efficientad.data import test_samples
from efficientad.errors import InputError
from efficientad.images import SIZE, load_image

FIGURES = Path(__file__).resolve().parents[2] / "assets" / "examples"
LIMIT = 8


@dataclass(frozen=True)
class Example:
    """One example. A figure is a strip of 256x256 panels, the input leftmost, maybe with a caption below."""

    path: Path
    caption: str
    figure: bool = False

    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises InputError if the file is damaged."""
        rgb = load_image(self.path)
        return rgb[:SIZE, :SIZE] if self.figure else rgb


def find(category: str, data: Path | None, figures: Path = FIGURES) -> list[Example]:
    """Up to 8 examples of a category; none is not an error.

    data: root of a dataset in the MVTec layout, or None. figures: folder of <category>/<defect type>.webp.
    """
    if data is not None:
        try:
            return _of_every_type(data, category)
        except InputError:
            pass  # this dataset has no such category: the figure may
    strips = sorted((figures / category).glob("*.webp"))[:LIMIT]
    return [Example(path, path.stem.replace("_", " "), figure=True) for path in strips]


def _of_every_type(data: Path, category: str) -> list[Example]:
    """The first good image and the first of each defect type, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    ranked = []
    for sample in test_samples(data, category):
        ranked.append((seen[sample.defect_type], sample.defective, sample))
        seen[sample.defect_type] += 1
    ranked.sort(key=lambda item: item[:2])
    return [Example(sample.path, sample.defect_type.replace("_", " ")) for _, _, sample in ranked[:LIMIT]]
