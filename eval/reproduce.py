"""The whole benchmark: train what has no model yet, then evaluate, and render the figures."""

from __future__ import annotations

from pathlib import Path

from efficientad.__main__ import parser
from efficientad.config import CONFIGS
from efficientad.data import categories
from efficientad.errors import InputError


def missing(root: Path, wanted: list[str] | None, pretrained: Path) -> list[str]:
    """The categories of a dataset that have no model file yet.

    Raises:
        InputError: no dataset, or one of the wanted categories is not in it.
    """
    known = categories(root)
    for category in wanted or []:
        if category not in known:
            raise InputError(f"{root} has no category {category!r}: choose one of {', '.join(known)}.")
    return [name for name in wanted or known if not (pretrained / f"{name}.safetensors").is_file()]


def train(category: str, root: Path, penalty: Path | None, minutes: float | None, pretrained: Path) -> None:
    """What `python -m efficientad train` does with a category's own configuration; goes on where it was broken off."""
    command = ["train", "--config", str(CONFIGS / f"{category}.yaml"), "--data", str(root)]
    command += ["--out", str(pretrained / f"{category}.safetensors")]
    command += ["--penalty", str(penalty)] if penalty else []
    command += ["--minutes", str(minutes)] if minutes else []
    options = parser().parse_args(command)
    options.run(options)
