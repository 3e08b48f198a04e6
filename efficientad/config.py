"""What a training run is made of: the presets, and a category's YAML file on top of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from efficientad.errors import InputError
from efficientad.nets import Size

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults are the paper's (section 4 and Algorithm 1); CPU holds what differs on a CPU."""

    category: str
    size: Size = "S"
    seed: int = 42
    steps: int | None = 70_000
    minutes: float | None = None  # instead of steps: as many as fit, measured at the start
    optimizer: Literal["adam", "muon"] = "adam"
    lr: float = 1e-4
    autoencoder_lr: float = 1e-4
    weight_decay: float = 1e-5
    hard_quantile: float = 0.999
    start_rank: int = 0  # principal components the student starts with (start.py); 0 starts it at random
    logical_fit_cells: int = 0  # that the logical head is fitted to at the end (finish.py); 0 leaves it as trained
    logical_weight: float = 0.5  # the logical map's share of the anomaly map
    crop_cells: int = 64  # side of a training crop on the map; 64 is the whole image
    whole_images: int = 1  # a step's images for the autoencoder
    crops: int = 1  # a step's crops for the student
    logic_crops: int = 1  # how many of them lie in the whole images and train the logical head too
    penalty_crops: int = 1  # a step's crops of natural images
    photometric_copies: int = 0  # cached augmented copies of each image; 0 draws a new one at every step
    standard_split: bool = True  # False marks a category whose data deviates from the official split


CPU: dict[str, Any] = {
    "steps": None,
    "minutes": 60.0,
    "optimizer": "muon",
    "lr": 1e-3,
    "autoencoder_lr": 2e-3,
    "start_rank": 256,
    "logical_fit_cells": 80_000,
    "logical_weight": 0.3,
    "crop_cells": 16,
    "whole_images": 2,
    "crops": 8,
    "logic_crops": 4,
    "penalty_crops": 2,
    "photometric_copies": 2,
}


def load_config(path: Path, device: str, **overrides: Any) -> TrainConfig:
    """The preset of the device, then the file, then `overrides` that are not None.

    Raises:
        InputError: no such file, not YAML, an unknown or missing setting, or a value of the wrong type.
    """
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise InputError(f"There is no configuration {path}; efficientad/configs has {known}.")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML ({str(error).splitlines()[0]}); correct it.") from error
    if not isinstance(content, dict) or "category" not in content:
        raise InputError(f"{path} must hold at least the line 'category: NAME'.")
    return make_config(str(path), device, {**content, **{k: v for k, v in overrides.items() if v is not None}})


def make_config(origin: str, device: str, settings: dict[str, Any]) -> TrainConfig:
    """A TrainConfig from the device's preset and `settings`; `origin` names them in an error."""
    types = {field.name: field.type for field in dataclasses.fields(TrainConfig)}
    merged = {**({} if device == "cuda" else CPU), **settings}
    if "steps" in settings and settings["steps"] is not None:
        merged["minutes"] = None
    elif settings.get("minutes") is not None:
        merged["steps"] = None
    for name, value in merged.items():
        if name not in types:
            raise InputError(f"{origin}: there is no setting {name!r}; known are {', '.join(types)}.")
        if not _fits(value, types[name]):
            raise InputError(f"{origin}: {name} cannot be {value!r}; it takes {types[name]}.")
    return TrainConfig(**merged)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether `value` is of a field's type, which `from __future__ import annotations` leaves as text."""
    text = str(annotation)
    if value is None:
        return "None" in text
    if isinstance(value, bool):
        return text == "bool"
    if isinstance(value, (int, float)):
        return value >= 0 and (text.startswith("float") or (text.startswith("int") and isinstance(value, int)))
    if text == "Size":
        return value in ("S", "M")
    if text.startswith("Literal"):
        return value in [part.strip("\"' ") for part in text[8:-1].split(",")]
    return isinstance(value, str) and text == "str"
