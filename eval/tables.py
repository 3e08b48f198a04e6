"""The results section of the README: our CSVs and what others report, as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from efficientad.download import CATEGORIES
from eval import markers

METRICS = {
    "image_auroc": "Image-Level AUC",
    "pixel_auroc": "Pixel-Level AUC",
    "pixel_f1": "Pixel F1",
    "aupro": "AU-PRO",
}
SOURCES = {
    "nelson1425": "[nelson1425](https://github.com/nelson1425/EfficientAd)",
    "anomalib-readme": "[anomalib](https://github.com/open-edge-platform/anomalib) README",
    "anomalib-0.7": "[anomalib](https://github.com/open-edge-platform/anomalib) 0.7",
    "rximg": "[rximg](https://github.com/rximg/EfficientAD)",
}
EXPLANATION = """\
MVTec AD, percent. Ours: seed {seeds}, full test sets, 256 × 256 input, metrics at the masks' resolution,
nothing chosen or calibrated on test images. **Avg** is over the categories that have a model of ours, in
brackets how many, also for the others: like is compared with like. Pixel F1 takes the one threshold per
category that is best on the test pixels, as is customary: read it as an upper bound. AU-PRO is up to a false-
positive rate of 0.3. What others report comes from [their pages](eval/results/reference/README.md), not from
runs of ours: anomalib's README calibrated on the test set; anomalib's pixel AUROC and rximg's are at 256
pixels. Nobody has published the pixel F1 of EfficientAD per category, so that table shows other, larger
methods. {mark}{paper}"""
SPREAD = """\
Mean ± standard deviation over models of several seeds, each trained for the same number of steps. Seed 42 is
the committed model; docs/training.md says what else differs."""
NON_STANDARD = "¹ Not the official split (other good test images): left out of Avg.\n"


@dataclass(frozen=True)
class Row:
    """One line of a table: percent by category; absent ones show a dash."""

    label: str
    values: dict[str, float]

    def markdown(self, averaged: list[str]) -> str:
        """`averaged`: the categories that count for Avg, as far as this row has them."""
        known = [self.values[c] for c in averaged if c in self.values]
        mean = f"{np.mean(known):.1f} ({len(known)})" if known else "–"
        cells = [f"{self.values[c]:.1f}" if c in self.values else "–" for c in CATEGORIES]
        return f"| {' | '.join([self.label, mean, *cells])} |"


def section(results: Path) -> str:
    """What stands between the markers, from the CSVs in a folder such as eval/results."""
    ours = pd.read_csv(results / "categories.csv")
    reference = pd.read_csv(results / "reference" / "efficientad.csv")
    context = pd.read_csv(results / "reference" / "pixel-f1-context.csv")
    standard = ours[ours["split"] == "standard"]["category"].tolist()
    marked = sorted(set(ours["category"]) - set(standard))
    parts = []
    for metric, title in METRICS.items():
        rows = [
            Row(f"**EfficientAD-{size}, ours**", _percent(group, metric))
            for size, group in ours.groupby("size", sort=True)
        ]
        rows += [
            Row(f"EfficientAD-{size}, {SOURCES[source]}", _values(group))
            for (source, size), group in reference[
                (reference["metric"] == metric) & reference["source"].isin(list(SOURCES))
            ].groupby(["source", "size"], sort=True)
        ]
        if metric == "pixel_f1":
            rows += [
                Row(f"*{method}* (another method)", dict(zip(group["category"], group["pixel_f1"], strict=True)))
                for method, group in context.groupby("method", sort=True)
            ]
        parts.append(f"#### {title}\n\n{_table(rows, standard, marked)}")
    used = ", ".join(str(seed) for seed in sorted(ours["seed"].unique()))
    parts.append(EXPLANATION.format(seeds=used, mark=NON_STANDARD if marked else "", paper=_paper(reference)))
    seeds = results / "seeds.csv"
    if seeds.exists():
        others = pd.read_csv(seeds)
        runs = pd.concat([ours[ours["category"].isin(others["category"])], others])
        table = seed_table(runs.drop_duplicates(["category", "seed"]))
        parts.append(f"#### Several seeds\n\n{table}\n\n{SPREAD}")
    parts.append(f"#### At the threshold that comes with the model\n\n{decision_table(ours)}")
    parts.append(f"#### Each map alone\n\n{map_table(ours)}")
    return "\n\n".join(parts)


def decision_table(ours: pd.DataFrame) -> str:
    """What an inspector gets: shares of defects found and of false alarms, and how long an image takes."""
    lines = ["| category | defects found | false alarms | milliseconds an image |", "|---|---|---|---|"]
    for _, row in ours.sort_values("category").iterrows():
        found, alarms = 100 * row["image_recall"], 100 * row["image_false_positive_rate"]
        lines.append(
            f"| {_title(row['category'])} | {found:.1f} % of {row['defective_images']} | "
            f"{alarms:.1f} % of {row['good_images']} | {row['milliseconds']:.0f} |"
        )
    note = "The threshold comes from good images only. Milliseconds: median on two cores of the CPU that evaluated."
    return "\n".join([*lines, "", note])


def map_table(ours: pd.DataFrame) -> str:
    """Image AUROC in percent of the structural map, of the logical one, and of their mean, which is the score."""
    lines = ["| category | structural | logical | combined |", "|---|---|---|---|"]
    for _, row in ours.sort_values("category").iterrows():
        cells = [f"{100 * row[name]:.1f}" for name in ("structural_auroc", "logical_auroc", "image_auroc")]
        lines.append(f"| {_title(row['category'])} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Image AUROC by the maximum of one map."])


def seed_table(runs: pd.DataFrame) -> str:
    """Mean ± standard deviation over seeds (one row for each category and seed), in percent; at least two seeds."""
    lines = [f"| category | seeds | {' | '.join(METRICS.values())} |", "|---" * (2 + len(METRICS)) + "|"]
    for category, group in runs.groupby("category", sort=True):
        if len(group) < 2:
            continue
        cells = [f"{100 * group[m].mean():.1f} ± {100 * group[m].std(ddof=1):.1f}" for m in METRICS]
        seeds = ", ".join(str(seed) for seed in sorted(group["seed"]))
        lines.append(f"| {_title(str(category))} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def update(readme: Path, results: Path) -> None:
    """Write the section into the README. Raises InputError if that has no markers."""
    markers.replace(readme, "results", section(results))


def _table(rows: list[Row], standard: list[str], marked: list[str]) -> str:
    names = [_title(c) + ("¹" if c in marked else "") for c in CATEGORIES]
    head = f"| | Avg | {' | '.join(names)} |"
    return "\n".join([head, "|---" * (2 + len(names)) + "|", *(row.markdown(standard) for row in rows)])


def _percent(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    """An undefined metric is an empty cell in the CSV, and a dash in the table."""
    values = dict(zip(rows["category"], 100 * rows[metric], strict=True))
    return {category: value for category, value in values.items() if np.isfinite(value)}


def _values(rows: pd.DataFrame) -> dict[str, float]:
    return dict(zip(rows["category"], rows["value"], strict=True))


def _paper(reference: pd.DataFrame) -> str:
    rows = reference[reference["source"] == "paper"].pivot(index="metric", columns="size", values="value")
    image, aupro = rows.loc["image_auroc"], rows.loc["aupro"]
    return (
        f"The paper's own means over all 15 categories: image AUROC {image['S']} (S) and {image['M']} (M), "
        f"AU-PRO {aupro['S']} and {aupro['M']}."
    )


def _title(category: str) -> str:
    return category.replace("_", " ").title()
