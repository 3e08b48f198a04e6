"""The decision in words: as JSON, as a card of HTML, as a sentence on what a threshold means. No server needed."""

from __future__ import annotations

from html import escape

import numpy as np

from efficientad.checkpoint import Card
from efficientad.domain import Fit
from efficientad.plots import VMAX, colorize
from efficientad.results import Scores

IDLE = '<p class="verdict idle">The verdict appears here once an image is inspected.</p>'


def report(
    category: str, score: float, threshold: float, milliseconds: float, fit: Fit
) -> dict[str, str | float | bool]:
    """The decision as JSON: the first value of the endpoint /inspect."""
    return {
        "category": category,
        "score": round(float(score), 4),
        "threshold": round(float(threshold), 4),
        "defective": bool(score > threshold),
        "milliseconds": round(float(milliseconds), 1),
        "fits_category": fit.fits,
        "best_category": fit.best,
    }


def verdict(category: str, score: float, threshold: float, milliseconds: float, fit: Fit) -> str:
    """The decision in words, as HTML; colour and icon only repeat what the words say."""
    warning = "" if fit.fits else f'<p class="doubt">{escape(doubt(category, fit))}</p>'
    kind, icon, relation = ("defective", "✕", "above") if score > threshold else ("good", "✓", "not above")
    shown, limit = _distinct(score, threshold)
    return (
        f'{warning}<div class="verdict {kind}">'
        f'<p class="word"><span aria-hidden="true">{icon}</span> {kind.capitalize()}</p>'
        f"<p>This {escape(category.replace('_', ' '))} is {kind}: "
        f"its score {shown} is {relation} the threshold {limit}.</p>"
        f"<dl><div><dt>Score</dt><dd>{shown}</dd></div><div><dt>Threshold</dt><dd>{limit}</dd></div>"
        f"<div><dt>Margin</dt><dd>{score - threshold:+.3f}</dd></div>"
        f"<div><dt>Time on this device</dt><dd>{milliseconds:.0f} ms</dd></div></dl></div>"
    )


def doubt(category: str, fit: Fit) -> str:
    """What is to be said of an image that is not of the category."""
    asked, best = (name.replace("_", " ") for name in (category, fit.best))
    better = f" It looks more like {best}: choose that category." if best != asked else ""
    return (
        f"Is this {asked}? The image lies {fit.distance / fit.limit:.1f} times as far from the model's good images as "
        f"an image of them may, so that its score means little.{better}"
    )


def legend(score: float, threshold: float, top: float) -> str:
    """The colour scale of the maps from 0 to `top`, with the threshold and this image's score, as HTML."""
    colours = ", ".join(f"rgb({r} {g} {b})" for r, g, b in colorize(np.linspace(0, 1, 17)[None])[0])
    shown, limit = _distinct(score, threshold)
    at, mark = (100 * min(max(value / top, 0.0), 1.0) for value in (score, threshold))
    return (
        f'<div class="legend" role="img" aria-label="Colour scale from 0 (black) to {top:.3g} (pale yellow); '
        f'threshold {limit}, score of this image {shown}"><div class="bar" '
        f'style="background: linear-gradient(to right, {colours})">'
        f'<i style="left: {at:.1f}%"></i><b style="left: {mark:.1f}%"></b></div>'
        f'<div class="ticks"><span>0</span><span>threshold {limit}</span><span>{top:.3g}</span></div></div>'
    )


def top_of_scale(threshold: float) -> float:
    """Where the colour scale of a category ends; `threshold` is the model's own, so that the scale stays put."""
    return VMAX * max(threshold, 1e-6)


def meaning(threshold: float, scores: Scores | None) -> str:
    """What a threshold does to the test images, in one sentence."""
    if scores is None:
        return "This model has no stored evaluation, so that nobody knows yet how often this threshold errs."
    found, alarms = scores.rates(threshold)
    return (
        f"At this threshold **{100 * found:.1f} %** of {len(scores.defective)} defective test images are found "
        f"(true positives), and **{100 * alarms:.1f} %** of {len(scores.good)} good ones are called defective "
        "(false positives)."
    )


def model_line(card: Card) -> str:
    """How the model was made, in one line of Markdown."""
    penalty = f"{card.penalty_images} penalty images" if card.penalty_images else "**no penalty images**"
    return (
        f"EfficientAD-{card.size}, trained on {card.good_images} good images and {penalty}: {card.steps} steps in "
        f"{card.minutes:.0f} minutes, seed {card.config['seed']}, torch {card.torch_version}."
    )


def _distinct(score: float, threshold: float) -> tuple[str, str]:
    """Both with as many digits, at least 3, as it takes to tell them apart."""
    digits = next((n for n in range(3, 7) if f"{score:.{n}f}" != f"{threshold:.{n}f}"), 6)
    return f"{score:.{digits}f}", f"{threshold:.{digits}f}"
