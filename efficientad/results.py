"""The committed evaluation (eval/results), read for display: what the demo knows of how good its models are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESULTS = Path(__file__).resolve().parent.parent / "eval" / "results"


@dataclass(frozen=True)
class Scores:
    """Image scores of one category's test images, sorted."""

    good: NDArray[np.float64]
    defective: NDArray[np.float64]

    def rates(self, threshold: float) -> tuple[float, float]:
        """(true positive rate, false positive rate) of `score > threshold`; NaN without such images."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.float64((self.defective > threshold).sum()) / len(self.defective)
            alarms = np.float64((self.good > threshold).sum()) / len(self.good)
        return float(found), float(alarms)


@dataclass(frozen=True)
class Results:
    """`categories`: a row per category, `images`: a row per test image, with the columns of eval/evaluate.py."""

    categories: pd.DataFrame
    images: pd.DataFrame

    def scores(self, category: str) -> Scores | None:
        """None for a category that was not evaluated."""
        rows = self.images[self.images["category"] == category]
        if rows.empty:
            return None
        values = rows["score"].to_numpy(np.float64)
        defective = rows["defective"].to_numpy(bool)
        return Scores(np.sort(values[~defective]), np.sort(values[defective]))


def load_results(folder: Path = RESULTS) -> Results | None:
    """What `python -m eval tables` wrote to a folder; None if it has not run."""
    paths = [folder / "categories.csv", folder / "images.csv"]
    if not all(path.is_file() for path in paths):
        return None
    return Results(*(pd.read_csv(path, keep_default_na=True) for path in paths))
