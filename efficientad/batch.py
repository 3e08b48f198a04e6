"""Many images through one detector: an overlay each, and one table as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from efficientad.detector import Detector
from efficientad.errors import InputError
from efficientad.files import write_bytes
from efficientad.images import load_image
from efficientad.plots import overlay

COLUMNS = ("path", "category", "score", "threshold", "defective", "milliseconds", "error")


def inspect_files(detector: Detector, paths: Iterable[Path], out: Path) -> list[dict[str, Any]]:
    """Write `<name>.png` overlays, predictions.csv and predictions.json to `out`; returns the table's rows.

    An unreadable image gets a row with its error and empty results; the others are not held up by it.
    """
    rows = []
    taken: set[str] = set()
    for path in paths:
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"path": str(path), "category": detector.category, "error": ""}
        try:
            rgb = load_image(path)
            prediction = detector.predict(rgb)
        except InputError as error:
            row["error"] = str(error)
        else:
            row["score"], row["threshold"] = round(prediction.score, 6), round(prediction.threshold, 6)
            row["defective"], row["milliseconds"] = prediction.defective, round(prediction.milliseconds, 1)
            picture = overlay(rgb, prediction.anomaly_map, prediction.threshold)
            write_bytes(out / f"{unused(path.stem, taken)}.png", _png(picture))
        rows.append(row)
    write_bytes(out / "predictions.csv", as_csv(rows).encode())
    write_bytes(out / "predictions.json", (json.dumps(rows, indent=2) + "\n").encode())
    return rows


def unused(stem: str, taken: set[str]) -> str:
    """`stem`, or with a number where images of several folders share a name."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def as_csv(rows: list[dict[str, Any]]) -> str:
    """A table with COLUMNS: what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
