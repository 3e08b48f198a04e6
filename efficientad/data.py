"""Folders in the layout of MVTec AD: what there is, which images train, which mask belongs to which image.

    <root>/<category>/train/good/*                          good images only
    <root>/<category>/test/<good or defect type>/*
    <root>/<category>/ground_truth/<defect type>/<stem>_mask.png

Hidden files and folders are ignored. An image may be of any type in SUFFIXES.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efficientad.errors import InputError
from efficientad.images import load_image

GOOD = "good"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MIN_GOOD = 10  # fewer would leave nothing to calibrate with


@dataclass(frozen=True)
class Sample:
    """One test image. mask is None for a good image."""

    path: Path
    category: str
    defect_type: str
    mask: Path | None

    @property
    def defective(self) -> bool:
        return self.defect_type != GOOD


def categories(root: Path) -> list[str]:
    """Names of the categories in root, sorted. Raises InputError if there are none."""
    found = [path.name for path in _folders(root) if (path / "train").is_dir() or (path / "test").is_dir()]
    if not found:
        raise InputError(f"{root} holds no category: pass the folder that contains <category>/train/good.")
    return found


def train_images(root: Path, category: str) -> list[Path]:
    """Good training images of a category, sorted. Raises InputError if there are none."""
    return image_files(_category(root, category) / "train" / GOOD, recursive=False)


def test_samples(root: Path, category: str) -> list[Sample]:
    """Test images of a category, sorted by defect type and name.

    Raises InputError if there are none, or if a defective image has no mask.
    """
    folder = _category(root, category)
    types = _folders(folder / "test")
    if not types:
        raise InputError(f"{folder / 'test'} is empty: add images as test/good/* and test/<defect type>/*.")
    return [
        Sample(path, category, kind.name, _mask(folder, kind.name, path))
        for kind in types
        for path in image_files(kind, recursive=False)
    ]


def load_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Mask as (H, W) bool: True where the file is not black. shape: (H, W) of its image.

    Raises InputError if the mask cannot be read or has another size.
    """
    mask = load_image(path).max(axis=2) > 0
    if mask.shape != tuple(shape):
        raise InputError(
            f"{path} is {mask.shape[1]}x{mask.shape[0]} pixels but its image {shape[1]}x{shape[0]}: "
            "export the mask at the size of the image."
        )
    return mask


def image_files(folder: Path, recursive: bool = True) -> list[Path]:
    """Images in a folder (by suffix, not hidden), sorted. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: check the path, or create it and put the images there.")
    found = sorted(
        path
        for path in (folder.rglob("*") if recursive else folder.iterdir())
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise InputError(f"{folder} contains no images: add some ({', '.join(SUFFIXES)}).")
    return found


def split_good(paths: Iterable[Path], seed: int = 42, fraction: float = 0.1) -> tuple[list[Path], list[Path]]:
    """Good images -> (training, calibration), both sorted; depends on seed and names, not on the order given.

    Raises InputError for fewer than 10 images.
    """
    ordered = sorted(paths)
    if len(ordered) < MIN_GOOD:
        raise InputError(f"{len(ordered)} good images are too few: put {MIN_GOOD} or more in train/good.")
    count = max(1, round(fraction * len(ordered)))
    chosen = set(np.random.default_rng(seed).permutation(len(ordered))[:count].tolist())
    training = [path for i, path in enumerate(ordered) if i not in chosen]
    return training, [ordered[i] for i in sorted(chosen)]


def content_hash(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and bytes of files, the same wherever their folder lies.

    Raises InputError if a file cannot be read.
    """
    total = hashlib.sha256()
    for name, digest in sorted((path.name, _file_hash(path)) for path in paths):
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path} cannot be read: check the path and its permissions.") from error
    return digest.hexdigest()


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise InputError(f"{parent} is not a folder: check the path of the dataset.")
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _category(root: Path, category: str) -> Path:
    known = categories(root)
    if category not in known:
        raise InputError(f"{root} has no category {category!r}: choose one of {', '.join(known)}.")
    return root / category


def _mask(folder: Path, defect_type: str, image: Path) -> Path | None:
    if defect_type == GOOD:
        return None
    mask = folder / "ground_truth" / defect_type / f"{image.stem}_mask.png"
    if not mask.is_file():
        raise InputError(f"{image} is defective but has no mask: put one at {mask}.")
    return mask
