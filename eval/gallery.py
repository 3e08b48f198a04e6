"""The gallery of the README: a GIF for every category of MVTec AD that has one, and how to make the others."""

from __future__ import annotations

from pathlib import Path

from efficientad.download import CATEGORIES
from eval import markers
from eval.gifs import MVTEC

HOW = """No GIF yet: {missing}. Their images are not at hand here.
`python -m efficientad data --category {first} --root DIR` gets them,
`python -m efficientad train --config efficientad/configs/{first}.yaml --data DIR` trains a model, and
`python -m eval gifs --data DIR` renders the GIF."""


def section(assets: Path) -> str:
    """Markdown; the paths are relative to the repository."""
    done = [c for c in CATEGORIES if (assets / f"{c}.gif").is_file()]
    missing = [c for c in CATEGORIES if c not in done]
    parts = [
        f"**{_title(c)}**\n\n![{_title(c)}: input, ground truth, anomaly map, overlay](assets/{c}.gif)" for c in done
    ]
    parts.append(
        "One test image of every defect type, the first by name, and the first good one. The colour scale is the "
        f"same in every frame of a category: black is 0, pale yellow twice the threshold. Images: {MVTEC}."
    )
    if missing:
        parts.append(HOW.format(missing=", ".join(map(_title, missing)), first=missing[0]))
    return "\n\n".join(parts)


def update(readme: Path, assets: Path) -> None:
    """Write the section into the README. Raises InputError if that has no markers."""
    markers.replace(readme, "gifs", section(assets))


def _title(category: str) -> str:
    return category.replace("_", " ").title()
