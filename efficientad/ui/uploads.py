"""Files between visitors and the server: the path of an upload, and of nothing else; what a visitor is given."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from numpy.typing import NDArray
from PIL import Image


def path_of(payload: dict[str, Any] | None) -> str | None:
    """Path of the file in the raw value of a gr.Image or gr.File; None if there is none.

    Raises gr.Error if the file was not uploaded. Gradio 6.31 forgets this check for a gr.Image whose value
    has no "meta", and so would let any client read the images of the server.
    """
    if not payload or not payload.get("path"):
        return None
    path = Path(payload["path"]).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise gr.Error("This file is not an upload: send the image itself.", print_exception=False)
    return str(path)


def paths_of(files: list[dict[str, Any]] | None) -> list[Path]:
    """The paths in the raw value of a gr.File for many. Raises gr.Error if a file was not uploaded."""
    return [Path(path) for path in map(path_of, files or []) if path]


def png(pixels: NDArray[np.uint8]) -> str:
    """Path of an (H, W, 3) picture as PNG, hardly compressed: gradio would take a multiple of the time for it."""
    path = folder() / "image.png"
    Image.fromarray(pixels).save(path, compress_level=1)
    return str(path)


def folder() -> Path:
    """A new folder for a file that a visitor is given, where gradio serves from and empties after a while."""
    parent = Path(get_upload_folder())
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))
