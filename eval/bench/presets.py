"""Training variants against each other at equal time, on the development sets: the source of docs/training.md.

python -m eval.bench.presets --data DIR --penalty DIR --minutes 3 --variant principal --variant random:start_rank=0
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from efficientad.calibrate import Calibration, combine, normalize
from efficientad.checkpoint import load_model
from efficientad.config import make_config
from efficientad.data import Sample, image_files, load_mask, test_samples, train_images
from efficientad.images import SIZE, load_image, preprocess
from efficientad.nets import EfficientAD
from efficientad.pipeline import train_category
from efficientad.pretrained import PRETRAINED
from efficientad.resample import to_pixels
from eval import metrics


@dataclass(frozen=True)
class Seen:
    """What a model makes of N test images: raw maps (N, 64, 64), masks (N, 256, 256), whether defective (N,)."""

    structural: torch.Tensor
    logical: torch.Tensor
    masks: NDArray[np.bool_]
    defective: NDArray[np.bool_]


def look(model: EfficientAD, samples: list[Sample]) -> Seen:
    """Run a model over the test images of its category."""
    structural, logical, masks = [], [], []
    for sample in tqdm(samples, desc="evaluate", unit="image"):
        rgb = load_image(sample.path)
        with torch.inference_mode():
            raw = model(preprocess(rgb))
        structural.append(raw.structural)
        logical.append(raw.logical)
        height, width = rgb.shape[0], rgb.shape[1]
        mask = np.zeros((height, width), bool)
        if sample.mask is not None:
            mask = load_mask(sample.mask, (height, width))
        rows, columns = np.arange(SIZE) * height // SIZE, np.arange(SIZE) * width // SIZE
        masks.append(mask[rows[:, None], columns])
    truth = np.array([s.defective for s in samples])
    return Seen(torch.cat(structural), torch.cat(logical), np.stack(masks), truth)


def auroc(cells: torch.Tensor, seen: Seen) -> dict[str, float]:
    """Image and pixel AUROC of (N, 64, 64) anomaly maps, masks and maps at 256x256."""
    scores = cells.amax(dim=(1, 2)).numpy()
    pixels = np.stack([to_pixels(each, (SIZE, SIZE)) for each in cells])
    return {
        "image": metrics.auroc(metrics.rank(scores[~seen.defective], scores[seen.defective])),
        "pixel": metrics.auroc(metrics.rank(pixels[~seen.masks], pixels[seen.masks])),
    }


def evaluate(calibration: Calibration, seen: Seen) -> dict[str, float]:
    """Image and pixel AUROC of the structural, the logical and the combined map."""
    maps = {
        "structural": normalize(seen.structural, calibration.structural),
        "logical": normalize(seen.logical, calibration.logical),
        "combined": combine(seen.structural, seen.logical, calibration),
    }
    return {f"{name}_{kind}": value for name, cells in maps.items() for kind, value in auroc(cells, seen).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--categories", nargs="+", default=["cookie", "magnetic_tile"])
    parser.add_argument("--penalty", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--teacher", type=Path, default=PRETRAINED / "teacher_s.safetensors")
    parser.add_argument("--run", type=Path, default=Path("runs/presets"))
    parser.add_argument("--variant", action="append", required=True, help="NAME or NAME:setting=value,setting=value")
    options = parser.parse_args()
    rows = []
    for category in options.categories:
        for text in options.variant:
            name, _, settings = text.partition(":")
            changes: dict[str, Any] = {"category": category, "minutes": options.minutes}
            changes |= {k: yaml.safe_load(v) for k, v in (part.split("=") for part in settings.split(",") if part)}
            config = make_config(text, "cpu", changes)
            run = options.run / f"{category}-{name}"
            shared = options.run / f"{category}-{config.photometric_copies}.npy"  # the teacher is the same for all
            run.mkdir(parents=True, exist_ok=True)
            if shared.exists() and not (run / "teacher.npy").exists():
                os.link(shared, run / "teacher.npy")
            card = train_category(
                config,
                good=train_images(options.data, category),
                penalty=image_files(options.penalty)[::5],
                teacher=options.teacher,
                run=run,
                out=run / f"{category}.safetensors",
                device=torch.device("cpu"),
            )
            if not shared.exists():
                os.link(run / "teacher.npy", shared)
            model, _ = load_model(run / f"{category}.safetensors", options.teacher)
            found = evaluate(card.calibration, look(model, test_samples(options.data, category)))
            last = pd.read_csv(run / "log.csv").iloc[-1]
            rows.append({"category": category, "variant": name, "steps": card.steps, "hard": last["hard"], **found})
            print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f"), flush=True)


if __name__ == "__main__":
    main()
