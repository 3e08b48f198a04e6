"""The demo: one file per tab, wiring only. Nothing but this package and app.py imports gradio."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from efficientad.ui import inspect
from efficientad.zoo import Zoo

TITLE = "EfficientAD"
INTRODUCTION = """# EfficientAD
Finds defects in photos of industrial parts. Each model has learned from good parts only, and marks what it
has never seen there."""
QUEUE = 20  # waiting requests; further ones are told to come back later
HOUR = 3600  # seconds that an upload or a result stays on disk


def build(zoo: Zoo, *, data: Path | None = None) -> gr.Blocks:
    """The whole page, without loading a model.

    zoo: lists the categories and runs their models. data: dataset in the MVTec layout, for examples.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(HOUR // 6, HOUR)) as demo:
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        inspect.layout(demo, zoo, data)
        gr.api(zoo.categories, api_name="categories", api_description="The categories that have a model.")
    return demo.queue(max_size=QUEUE)
