"""Files between visitors and the server: the path of an upload, and of nothing else; what a visitor is given."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from numpy.typing import NDArray
from PIL import Image

from efficientad.files import write_bytes


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


def picture(pixels: NDArray[np.uint8], kind: Literal["png", "jpeg"]) -> str:
    """Path of an (H, W, 3) picture, the same for the same picture, which replaces the old file in one step.

    Gradio would write over it, also while a browser is fetching it, and compress PNG for a multiple of the time.
    """
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **({"compress_level": 1} if kind == "png" else {}))
    path = Path(get_upload_folder()) / hashlib.sha256(content.getvalue()).hexdigest() / f"image.{kind}"
    write_bytes(path, content.getvalue())
    return str(path)


def folder() -> Path:
    """A new folder for a file that a visitor is given, where gradio serves from and empties after a while."""
    parent = Path(get_upload_folder())
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))
