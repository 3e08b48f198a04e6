"""Backbone features of photos, computed once: the slow half of a distillation step becomes a read from disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from efficientad.backbones import Backbone
from efficientad.files import write_json
from efficientad.images import SIZE, load_image, shrink

Report = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True)
class FeatureCache:
    """Views of photos and what the backbone sees in them; V views of N photos.

    Attributes:
        images: (V, N, 256, 256, 3) uint8, what the teacher sees.
        features: (V, N, 64, 64, C) float16, the backbone's features of the same view at twice the resolution.
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float16]


def view(photo: NDArray[np.uint8], index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """View 0 is the whole photo, the others are flipped random crops; any of them is grey with probability 0.1.

    The paper's distillation (Algorithm 3) sees whole photos, grey with p = 0.1. It has a million of them; we
    have few, so that further views of each are the next best thing.
    """
    if index:
        height, width = photo.shape[:2]
        area, aspect = rng.uniform(0.35, 1.0), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        crop_width = min(width, max(1, round(width * (area * aspect) ** 0.5)))
        crop_height = min(height, max(1, round(height * (area / aspect) ** 0.5)))
        top, left = rng.integers(0, height - crop_height + 1), rng.integers(0, width - crop_width + 1)
        photo = photo[top : top + crop_height, left : left + crop_width][:, ::-1]
    if rng.random() < 0.1:
        luma = (photo @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
        photo = np.repeat(luma[..., None], 3, axis=2)
    return np.ascontiguousarray(photo)


def build_cache(
    folder: Path, photos: list[Path], backbone: Backbone, name: str, views: int, seed: int, report: Report
) -> FeatureCache:
    """Fill the cache in `folder`, or go on where it was broken off. Photo i of view v depends on (seed, v, i) only."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = hashlib.sha256("\n".join(p.name for p in photos).encode()).hexdigest()
    grid = SIZE // 4
    shapes = {
        "images": (views, len(photos), SIZE, SIZE, 3),
        "features": (views, len(photos), grid, grid, backbone.channels),
    }
    key = {"backbone": name, "seed": seed, "photos": listing, "count": len(photos), "views": views}
    progress = folder / "progress.json"
    state = json.loads(progress.read_text()) if progress.exists() else {}
    fresh = state.get("key") != key
    images = _array(folder / "images.npy", np.uint8, shapes["images"], fresh)
    features = _array(folder / "features.npy", np.float16, shapes["features"], fresh)
    done: int = 0 if fresh else state["done"]
    total = views * len(photos)
    device = backbone.mean.device
    while done < total:
        v, i = divmod(done, len(photos))
        photo = view(load_image(photos[i]), v, np.random.default_rng((seed, v, i)))
        images[v, i] = shrink(photo)
        x = torch.from_numpy(shrink(photo, 2 * SIZE))[None].to(device)  # (1, 512, 512, 3)
        features[v, i] = backbone(x)[0].permute(1, 2, 0).half().cpu().numpy()  # (64, 64, C)
        done += 1
        if done % 50 == 0 or done == total:
            images.flush()
            features.flush()
            write_json(progress, {"key": key, "done": done})
            report(done, total)
    return FeatureCache(images, features)


def _array(path: Path, dtype: type, shape: tuple[int, ...], fresh: bool) -> np.memmap:
    if fresh or not path.exists():
        return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    return np.lib.format.open_memmap(path, mode="r+")
