"""The committed evaluation (eval/results), read for display: what the demo knows of how good its models are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REFERENCE = ["source", "size", "metric", "category", "value"]
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
    """`categories`: a row per category, `images`: a row per test image, with the columns of eval/evaluate.py.

    `reference`: what others report, with the columns source, size, metric, category and value (percent).
    """

    categories: pd.DataFrame
    images: pd.DataFrame
    reference: pd.DataFrame

    def comparison(self, metric: str) -> pd.DataFrame:
        """Percent of one metric, a row for us and for everyone who reports it, a column for every category of ours.

        The column "mean" is over those categories that have the official split, and empty for who lacks one.
        """
        ours = self.categories.sort_values("category")
        names = ours["category"].tolist()
        rows = [
            {"method": f"EfficientAD-{ours['size'].iloc[0]}, ours", **dict(zip(names, 100 * ours[metric], strict=True))}
        ]
        reported = self.reference[(self.reference["metric"] == metric) & self.reference["category"].isin(names)]
        for (source, size), group in reported.groupby(["source", "size"], sort=True):
            row = {"method": f"EfficientAD-{size}, {source}"}
            rows.append(row | dict(zip(group["category"], group["value"], strict=True)))
        frame = pd.DataFrame(rows, columns=["method", *names])
        standard = ours[ours["split"] == "standard"]["category"].tolist()
        frame.insert(1, "mean", frame[standard].mean(axis=1, skipna=False))
        return frame

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
    reference = folder / "reference" / "efficientad.csv"
    others = pd.read_csv(reference) if reference.is_file() else pd.DataFrame(columns=REFERENCE)
    return Results(pd.read_csv(paths[0]), pd.read_csv(paths[1]), others)
