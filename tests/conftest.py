"""A tiny trained category, made once per test session; no test needs data or models from outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from efficientad.checkpoint import save_teacher
from efficientad.config import TrainConfig
from efficientad.nets import CHANNELS, pdn
from efficientad.pipeline import train_category

os.environ.setdefault("OMP_NUM_THREADS", "2")

TINY = TrainConfig(
    category="dots",
    steps=4,
    optimizer="muon",
    lr=1e-3,
    crop_cells=4,
    whole_images=1,
    crops=2,
    logic_crops=1,
    penalty_crops=1,
    photometric_copies=1,
)


def dots(rng: np.random.Generator, size: int = 96) -> np.ndarray:
    """A grey plate with a bright disc: (size, size, 3) uint8."""
    y, x = np.mgrid[:size, :size]
    disc = (y - size / 2) ** 2 + (x - size / 2) ** 2 < (size / 4) ** 2
    return np.clip(80 + 100 * disc[..., None] + rng.normal(0, 6, (size, size, 3)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class TinyWorld:
    """A folder with ten good images and two natural ones, a random teacher, and a model trained for four steps."""

    data: Path
    penalty: Path
    teacher: Path
    model: Path

    @property
    def good(self) -> list[Path]:
        return sorted((self.data / "dots" / "train" / "good").iterdir())

    @property
    def natural(self) -> list[Path]:
        return sorted(self.penalty.iterdir())

    def train(self, config: TrainConfig, run: Path, out: Path) -> None:
        """Train on this world's images."""
        train_category(
            config,
            good=self.good,
            penalty=self.natural,
            teacher=self.teacher,
            run=run,
            out=out,
            device=torch.device("cpu"),
        )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    good, natural = root / "data" / "dots" / "train" / "good", root / "natural"
    good.mkdir(parents=True)
    natural.mkdir()
    for i in range(10):
        Image.fromarray(dots(rng)).save(good / f"{i:03d}.png")
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(natural / f"{i}.png")
    torch.manual_seed(0)
    world = TinyWorld(root / "data", natural, root / "teacher_s.safetensors", root / "dots.safetensors")
    save_teacher(pdn("S", CHANNELS), world.teacher, {"size": "S"})
    world.train(TINY, root / "run", world.model)
    return world
