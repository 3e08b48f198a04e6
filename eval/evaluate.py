"""Models x dataset -> one row per image and one per category, in two CSV files: the source of every table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from efficientad.data import Sample, categories, load_mask, test_samples
from efficientad.detector import Detector
from efficientad.errors import InputError
from efficientad.files import write_bytes
from efficientad.pretrained import available
from eval import metrics

Report = Callable[[str, int, int], None]  # (category, images done, images in total)
Load = Callable[[Path], Detector]


@dataclass(frozen=True)
class CategoryRow:
    """A line of categories.csv. Metrics are fractions; an undefined one is NaN, an empty cell in the file.

    All are over all test images of the category, the pixels at the masks' own resolution. pixel_f1 is the
    best that one threshold can reach, and pixel_f1_threshold is chosen on these very pixels: an upper bound.
    image_f1 to image_false_positive_rate are at image_threshold, which comes with the model and never saw a
    test image.
    """

    category: str
    size: str  # of the model, "S" or "M"
    seed: int
    split: str  # "standard", or "non-standard" where the model's configuration says so: left out of means
    good_images: int
    defective_images: int
    image_auroc: float
    structural_auroc: float  # of images too, by the maximum of the structural map alone
    logical_auroc: float  # and of the logical map alone
    pixel_auroc: float
    pixel_f1: float
    pixel_f1_threshold: float
    aupro: float  # up to a false-positive rate of 0.3, normalised
    image_threshold: float
    image_f1: float
    image_precision: float
    image_recall: float
    image_accuracy: float
    image_false_positive_rate: float
    milliseconds: float  # median over the images


@dataclass(frozen=True)
class ImageRow:
    """A line of images.csv."""

    category: str
    path: str  # relative to the dataset, with forward slashes
    defect_type: str
    defective: bool
    score: float
    structural: float  # the maximum of the structural map, and of the logical one
    logical: float
    threshold: float
    decision: str  # "good" or "defective"
    milliseconds: float


def choose_models(root: Path, pretrained: Path, wanted: Sequence[str] | None = None) -> dict[str, Path]:
    """Category -> model file, sorted: the wanted ones, or all that have both a model and a folder in root.

    Raises:
        InputError: root is not a dataset, there is no model for it, or for one that is wanted.
    """
    hint = "pass --data with the folder that contains <category>/test"
    try:
        folders = categories(root)
    except InputError as error:
        raise InputError(f"There is no dataset in {root}: {hint}.") from error
    models = available(pretrained)
    if not models:
        raise InputError(f"There is no model in {pretrained}: pass --pretrained with a folder of *.safetensors.")
    for category in wanted or ():
        if category not in models:
            raise InputError(f"{pretrained} has no model for {category!r}: choose from {', '.join(models)}.")
        if category not in folders:
            raise InputError(f"{root} has no folder {category!r}: choose from {', '.join(folders)}.")
    chosen = sorted(set(wanted or set(models) & set(folders)))
    if not chosen:
        raise InputError(f"{root} has no folder for a model ({', '.join(models)}): {hint} of one of these.")
    return {category: pretrained / f"{category}.safetensors" for category in chosen}


def evaluate(root: Path, models: dict[str, Path], out: Path, load: Load, report: Report) -> None:
    """Evaluate each model and put its rows into out/categories.csv and out/images.csv as soon as it is done.

    The rows of other categories stay. Everything that can be checked is checked before the first image.

    Raises:
        InputError: a test folder, a mask, an image, a model or an existing CSV file is not usable.
    """
    samples = {category: test_samples(root, category) for category in models}
    for name, kind in (("categories.csv", CategoryRow), ("images.csv", ImageRow)):
        _read(out / name, _columns(kind))
    total, done = sum(map(len, samples.values())), 0

    def count() -> None:
        nonlocal done
        done += 1
        report(category, done, total)

    for category, path in models.items():
        row, images = evaluate_category(load(path), root, samples[category], count)
        merge_rows(out / "images.csv", images)
        merge_rows(out / "categories.csv", [row])


def evaluate_category(
    detector: Detector, root: Path, samples: Sequence[Sample], count: Callable[[], None]
) -> tuple[CategoryRow, list[ImageRow]]:
    """Run one detector over the test images of its category.

    Args:
        detector: of the category.
        root: the dataset; paths are noted relative to it.
        samples: the test images, at least one, all of one category.
        count: called after every image.

    Raises:
        InputError: an image or a mask cannot be used.
    """
    category = samples[0].category
    rows: list[ImageRow] = []
    good: list[np.ndarray] = []  # of each image: (pixels,) float32 scores
    defective: list[np.ndarray] = []
    sizes: list[np.ndarray] = []  # (defective pixels,) int32
    for sample in samples:
        prediction = detector.predict(sample.path)
        scores = prediction.anomaly_map.astype(np.float32, copy=False)  # (H, W)
        if sample.mask is None:
            good.append(scores.ravel())
        else:
            mask = load_mask(sample.mask, (scores.shape[0], scores.shape[1]))
            good.append(scores[~mask])
            defective.append(scores[mask])
            sizes.append(metrics.region_sizes(mask))
        rows.append(
            ImageRow(
                category=category,
                path=sample.path.relative_to(root).as_posix(),
                defect_type=sample.defect_type,
                defective=sample.defective,
                score=prediction.score,
                structural=float(prediction.structural_map.max()),
                logical=float(prediction.logical_map.max()),
                threshold=prediction.threshold,
                decision="defective" if prediction.defective else "good",
                milliseconds=prediction.milliseconds,
            )
        )
        count()

    truth = np.array([row.defective for row in rows])

    def image_auroc(scores: list[float]) -> float:
        values = np.array(scores)
        return metrics.auroc(metrics.rank(values[~truth], values[truth]))

    decided = metrics.decisions([row.decision == "defective" for row in rows], truth)
    pixels = metrics.rank(_join(good), _join(defective), _join(sizes))
    pixel_f1, pixel_f1_threshold = metrics.best_f1(pixels)
    summary = CategoryRow(
        category=category,
        size=detector.size,
        seed=detector.config["seed"],
        split="standard" if detector.config["standard_split"] else "non-standard",
        good_images=int((~truth).sum()),
        defective_images=int(truth.sum()),
        image_auroc=image_auroc([row.score for row in rows]),
        structural_auroc=image_auroc([row.structural for row in rows]),
        logical_auroc=image_auroc([row.logical for row in rows]),
        pixel_auroc=metrics.auroc(pixels),
        pixel_f1=pixel_f1,
        pixel_f1_threshold=pixel_f1_threshold,
        aupro=metrics.aupro(pixels),
        image_threshold=detector.threshold,
        image_f1=decided.f1,
        image_precision=decided.precision,
        image_recall=decided.recall,
        image_accuracy=decided.accuracy,
        image_false_positive_rate=decided.false_positive_rate,
        milliseconds=float(np.median([row.milliseconds for row in rows])),
    )
    return summary, rows


def evaluate_seeds(root: Path, models: Sequence[Path], out: Path, load: Load, report: Report) -> None:
    """Evaluate model files of any category and seed, a row each in out/seeds.csv.

    Raises:
        InputError: a model or its category's test images are not usable.
    """
    _read(out / "seeds.csv", _columns(CategoryRow))
    detectors = [load(path) for path in models]
    samples = [test_samples(root, detector.category) for detector in detectors]
    total, done = sum(map(len, samples)), 0

    def count() -> None:
        nonlocal done
        done += 1
        report(detector.category, done, total)

    for detector, images in zip(detectors, samples, strict=True):
        row, _ = evaluate_category(detector, root, images, count)
        merge_rows(out / "seeds.csv", [row], key=("category", "seed"))


def merge_rows(
    path: Path, rows: Sequence[CategoryRow] | Sequence[ImageRow], key: tuple[str, ...] = ("category",)
) -> None:
    """Replace the rows whose key occurs in `rows` (not empty), keep the others; sorted, atomic.

    Raises:
        InputError: the file has other columns than these rows.
    """
    columns = _columns(type(rows[0]))
    new = [dict(zip(columns, map(_cell, columns, astuple(row)), strict=True)) for row in rows]
    replaced = {tuple(row[name] for name in key) for row in new}
    merged = [row for row in _read(path, columns) if tuple(row[name] for name in key) not in replaced] + new
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(merged, key=lambda row: (row["category"], row.get("path") or row["seed"])))
    write_bytes(path, text.getvalue().encode())


def _read(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Rows as they stand in the file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != columns:
            raise InputError(f"{path} has columns of another version: delete it or pass another --out.")
        return list(reader)


def _columns(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]


def _cell(column: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        return "" if math.isnan(value) else f"{value:.{3 if column == 'milliseconds' else 6}f}"
    return str(value)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate and let go of the parts: with 168 million pixels in a category a third copy would show."""
    joined = np.concatenate(parts) if parts else np.empty(0, np.float32)
    parts.clear()
    return joined
