"""The results table of the README, from eval/results/categories.csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from efficientad.errors import InputError
from efficientad.files import write_bytes

BEGIN, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "pixel_f1": "pixel F1",
    "aupro": "AU-PRO",
    "image_recall": "defects found",
    "image_false_positive_rate": "false alarms",
}


def table(rows: list[dict[str, str]]) -> str:
    """Markdown, in percent; the mean leaves out categories whose split is not the official one."""
    lines = [f"| category | {' | '.join(COLUMNS.values())} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for row in rows:
        mark = "" if row["split"] == "standard" else " (non-standard split)"
        lines.append(f"| {row['category']}{mark} | {' | '.join(_percent([row], c) for c in COLUMNS)} |")
    standard = [row for row in rows if row["split"] == "standard"]
    if len(standard) > 1:
        lines.append(f"| **mean of {len(standard)}** | {' | '.join(_percent(standard, c) for c in COLUMNS)} |")
    seeds = ", ".join(sorted({row["seed"] for row in rows}))
    sizes = ", ".join(sorted({row["size"] for row in rows}))
    note = (
        f"MVTec AD, full test sets, percent. EfficientAD-{sizes}, seed {seeds}, 256 × 256 input, metrics at the masks' "
        "resolution. Defects found and false alarms are at the threshold that comes with the model."
    )
    return "\n".join([*lines, "", note])


def update(readme: Path, categories: Path) -> None:
    """Replace what stands between the markers, atomically.

    Raises:
        InputError: the README has no markers.
    """
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise InputError(f"{readme} has no markers {BEGIN} and {END}; put them round the results table.")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    rows = list(csv.DictReader(io.StringIO(categories.read_text(encoding="utf-8"))))
    write_bytes(readme, f"{before}{BEGIN}\n{table(rows)}\n{END}{after}".encode())


def _percent(rows: list[dict[str, str]], column: str) -> str:
    values = [float(row[column]) for row in rows if row[column]]
    return f"{100 * sum(values) / len(values):.1f}" if values else "–"
