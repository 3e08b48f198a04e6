"""Nearest-neighbour probe: how well a network's features alone tell defects apart, without a student.

python -m eval.bench.probe --data DEVELOPMENT_DIR [--teacher FILE]

The image score is the largest distance of any cell to its nearest neighbour among the cells of good training images,
as in PatchCore without its subsampling. It bounds what a student can get from a teacher, and rises with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from efficientad.backbones import load_backbone
from efficientad.checkpoint import load_teacher
from efficientad.data import test_samples, train_images
from efficientad.images import SIZE, load_image, preprocess, shrink
from efficientad.nets import EfficientAD, extend
from efficientad.pretrained import PRETRAINED
from eval import metrics

BANK = 8000  # cells
STEP = 2  # every second cell in both directions

Features = Callable[[np.ndarray], Tensor]  # (H, W, 3) uint8 -> (cells, channels)


def probe(features: Features, data: Path, category: str, seed: int = 42) -> float:
    """Image AUROC of the nearest-neighbour distance."""
    generator = torch.Generator().manual_seed(seed)
    paths = train_images(data, category)
    cells = torch.cat([features(load_image(p))[:: max(1, len(paths) // 30)] for p in paths])
    mean, std = cells.mean(0), cells.std(0).clamp_min(1e-6)
    bank = ((cells - mean) / std)[torch.randperm(len(cells), generator=generator)[:BANK]]
    samples = test_samples(data, category)
    scores = [torch.cdist((features(load_image(s.path)) - mean) / std, bank).amin(1).max().item() for s in samples]
    truth = np.array([s.defective for s in samples])
    values = np.array(scores, np.float32)
    return metrics.auroc(metrics.rank(values[~truth], values[truth]))


def teacher_features(path: Path) -> Features:
    """Every second cell of a teacher's output."""
    model = EfficientAD("S")
    load_teacher(path, model)

    @torch.inference_mode()
    def features(rgb: np.ndarray) -> Tensor:
        return model.teacher(extend(preprocess(rgb)))[0, :, ::STEP, ::STEP].flatten(1).T

    return features


def backbone_features() -> Features:
    """Every second cell of the backbone that the teacher imitates."""
    backbone = load_backbone()

    @torch.inference_mode()
    def features(rgb: np.ndarray) -> Tensor:
        x = torch.from_numpy(shrink(rgb, 2 * SIZE)[None])
        return backbone(x)[0, :, ::STEP, ::STEP].flatten(1).T

    return features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--categories", nargs="+", default=["cookie", "magnetic_tile"])
    parser.add_argument("--teacher", type=Path, default=PRETRAINED / "teacher_s.safetensors")
    options = parser.parse_args()
    sources = {"backbone": backbone_features(), str(options.teacher): teacher_features(options.teacher)}
    for name, features in sources.items():
        for category in options.categories:
            print(f"{name}  {category}  image AUROC {probe(features, options.data, category):.4f}", flush=True)


if __name__ == "__main__":
    main()
