"""Rows of small pictures to choose from: categories, examples, the dataset's test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from efficientad.ui import examples

THUMBNAIL = 192  # longest side, in pixels
PAGE = 24  # test images that the browser shows at a time


def offer(category: str | None, data: Path | None) -> Any:
    """The row of examples of a category; hidden if there are none."""
    found = examples.find(category, data) if category else []
    return gr.Gallery(
        [(_thumbnail(item.image()), item.caption) for item in found], visible=bool(found), selected_index=None
    )


def tiles(categories: list[str], data: Path | None) -> list[tuple[Image.Image, str]]:
    """A thumbnail for every category: its first example, or a plain tile."""
    found = ((name, examples.find(name, data)) for name in categories)
    plain = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "#64748b")
    return [(_thumbnail(each[0].image()) if each else plain, name.replace("_", " ")) for name, each in found]


def browse(category: str | None, data: Path | None, defect_type: str | None, page: float) -> Any:
    """A page of the dataset's test images of one type."""
    found = examples.test_images(category, data, defect_type)[int(page - 1) * PAGE :][:PAGE]
    return gr.Gallery([(_thumbnail(item.image()), item.caption) for item in found], selected_index=None)


def shelves(category: str | None, data: Path | None) -> tuple[Any, ...]:
    """The browser over the dataset: hidden without a dataset, empty until it is opened."""
    types = examples.defect_types(category, data)
    first = next((t for t in types if t != "good"), next(iter(types), None))
    return gr.Accordion(visible=bool(types), open=False), gr.Dropdown(types, value=first), gr.skip(), None


def first_page(category: str | None, data: Path | None, defect_type: str | None) -> tuple[Any, ...]:
    """The page slider and the first page of one type."""
    pages = -(-len(examples.test_images(category, data, defect_type)) // PAGE)
    return gr.Slider(1, max(2, pages), value=1, visible=pages > 1), browse(category, data, defect_type, 1)


def _thumbnail(rgb: np.ndarray) -> Image.Image:
    picture = Image.fromarray(rgb)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture
