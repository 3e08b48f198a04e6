"""Training variants against each other at equal time, on the development sets: the source of docs/training.md.

python -m eval.bench.presets --data DIR --penalty DIR --minutes 3 --variant principal --variant random:start_rank=0
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
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


def evaluate(model: EfficientAD, calibration: Calibration, samples: list[Sample]) -> dict[str, float]:
    """Image and pixel AUROC of the structural, the logical and the combined map; masks and maps at 256x256."""
    scores: dict[str, list[float]] = {"structural": [], "logical": [], "combined": []}
    pixels: dict[str, list[np.ndarray]] = {name: [] for name in scores}
    masks = []
    for sample in tqdm(samples, desc="evaluate", unit="image"):
        rgb = load_image(sample.path)
        with torch.inference_mode():
            raw = model(preprocess(rgb))
        maps = {
            "structural": normalize(raw.structural, calibration.structural),
            "logical": normalize(raw.logical, calibration.logical),
            "combined": combine(raw.structural, raw.logical, calibration),
        }
        height, width = rgb.shape[0], rgb.shape[1]
        mask = np.zeros((height, width), bool)
        if sample.mask is not None:
            mask = load_mask(sample.mask, (height, width))
        rows, columns = np.arange(SIZE) * height // SIZE, np.arange(SIZE) * width // SIZE
        masks.append(mask[rows[:, None], columns])
        for name, cells in maps.items():
            scores[name].append(float(cells.max()))
            pixels[name].append(to_pixels(cells[0], (SIZE, SIZE)))
    truth, pixel_truth = np.array([s.defective for s in samples]), np.stack(masks)
    found: dict[str, float] = {}
    for name in scores:
        values = np.array(scores[name], np.float32)
        found[f"{name}_image"] = metrics.auroc(metrics.rank(values[~truth], values[truth]))
        stacked = np.stack(pixels[name])
        found[f"{name}_pixel"] = metrics.auroc(metrics.rank(stacked[~pixel_truth], stacked[pixel_truth]))
    return found


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
            found = evaluate(model, card.calibration, test_samples(options.data, category))
            last = pd.read_csv(run / "log.csv").iloc[-1]
            rows.append({"category": category, "variant": name, "steps": card.steps, "hard": last["hard"], **found})
            print(pd.DataFrame(rows).to_string(index=False, float_format="%.3f"), flush=True)


if __name__ == "__main__":
    main()
