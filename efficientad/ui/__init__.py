"""The demo: one file per tab, wiring only. Nothing but this package and app.py imports gradio."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from efficientad.results import load_results
from efficientad.ui import api, batch, dashboard, inspect, train_tab
from efficientad.ui.training import forget
from efficientad.zoo import Zoo

TITLE = "EfficientAD"
INTRODUCTION = """# EfficientAD
Finds defects in photos of industrial parts. Each model has learned from good parts only, and marks what it
has never seen there."""
QUEUE = 20  # waiting requests; further ones are told to come back later
HOUR = 3600  # seconds that an upload or a result stays on disk


def build(zoo: Zoo, *, data: Path | None = None, penalty: Path | None = None, training: bool = False) -> gr.Blocks:
    """The whole page, without loading a model.

    zoo: lists the categories and runs their models. data: dataset in the MVTec layout, for examples. penalty: folder
    of natural photos for training. training: whether visitors may train models.
    """
    results = load_results()

    def categories() -> list[str]:
        return zoo.categories()

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(HOUR // 6, HOUR)) as demo:
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        own = gr.State({}, delete_callback=forget)  # models that this session has trained: category -> file
        with gr.Tabs():
            with gr.Tab("Inspect", id="inspect"):
                inspect.layout(demo, zoo, data, own, results)
            with gr.Tab("Batch", id="batch"):
                batch.layout(demo, zoo, own)
            with gr.Tab("Results", id="results"):
                dashboard.layout(demo, data, results)
            if training:
                with gr.Tab("Train your own", id="train"):
                    train_tab.layout(demo, zoo, penalty, own)
            with gr.Tab("API", id="api"):
                api.layout(demo, zoo, training)
        gr.api(categories, api_name="categories", api_description="The categories that have a model.")
    return demo.queue(max_size=QUEUE)
