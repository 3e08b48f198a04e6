"""The state of a long run on disk, so that kill -9 costs minutes: written whole, refused if it is of another run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from efficientad.errors import InputError
from efficientad.files import write_bytes


def save_state(path: Path, content: dict[str, Any], key: dict[str, Any]) -> None:
    """Write tensors and numbers atomically, with the configuration they belong to."""
    buffer = io.BytesIO()
    torch.save({**content, "key": key}, buffer)
    write_bytes(path, buffer.getvalue())


def load_state(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """What `save_state` wrote, or None if there is nothing yet.

    Raises:
        InputError: the state belongs to another configuration.
    """
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["key"] != key:
        changed = sorted(name for name in key if state["key"].get(name) != key[name])
        raise InputError(
            f"{path} holds a run with another configuration ({', '.join(changed)}); "
            "repeat the old command, or choose another --run folder."
        )
    return state
