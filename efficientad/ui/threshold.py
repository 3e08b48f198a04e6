"""The threshold slider of the Inspect and the Batch tab; moving it never runs a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from efficientad.ui.events import QUICK

SESSION = 3600  # seconds that an inspection is kept for its session


def slider(threshold: float, top: float = 0.0) -> gr.Slider:
    """The slider back at the model's own threshold; it goes to three times that, and to `top` if that is more."""
    value = max(threshold, 1e-3)
    return gr.Slider(0, round(max(3 * value, top), 4), value=round(value, 4), step=round(value / 200, 6))


def wire(sliders: Sequence[gr.Slider], judge: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Judge again at every move of a slider."""
    # input, not release: sliders are moved by keys too. always_last: while one redraws, only the latest waits.
    gr.on([each.input for each in sliders], judge, inputs, outputs, trigger_mode="always_last", **QUICK)
