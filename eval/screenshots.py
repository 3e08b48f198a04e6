"""Pictures of the demo for the README: every tab, wide and narrow, light and dark, with the repository's own models."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from efficientad.ui.examples import find
from eval.browser import URL, browser, served

if TYPE_CHECKING:
    from playwright.sync_api import Page

CATEGORY = "bottle"
WIDE, NARROW = 1440, 390
INSPECTED = {  # file -> width, theme
    "app-inspect": (WIDE, "light"),
    "app-inspect-dark": (WIDE, "dark"),
    "app-inspect-narrow": (NARROW, "light"),
    "app-inspect-narrow-dark": (NARROW, "dark"),
}


def render(out: Path) -> Iterator[Path]:
    """Write `out`/app-*.png; yields what is written. Raises InputError if there is no browser."""
    out.mkdir(parents=True, exist_ok=True)
    with served("--allow-training"), browser() as chromium:
        for name, (width, theme) in INSPECTED.items():
            page = chromium.new_page(viewport={"width": width, "height": 900})
            _open(page, theme)
            _inspect(page)
            yield _shoot(page, out / f"{name}.png")
        page = chromium.new_page(viewport={"width": WIDE, "height": 900})
        _open(page, "light")
        _batch(page)
        yield _shoot(page, out / "app-batch.png")
        page.get_by_role("tab", name="Results").click()
        page.locator("#comparison").get_by_text("EfficientAD-S, ours").first.wait_for()
        page.locator(".gifs img").first.wait_for()
        yield _shoot(page, out / "app-results.png")
        page.get_by_role("tab", name="Train your own").click()
        page.locator("#train-name").wait_for()
        yield _shoot(page, out / "app-train.png")


def _open(page: Page, theme: str) -> None:
    page.set_default_timeout(120_000)
    page.goto(f"{URL}?__theme={theme}")
    page.get_by_label(re.compile("^Thumbnail 2 of")).first.wait_for()


def _inspect(page: Page) -> None:
    """The second example, whose defect is small."""
    page.locator("#examples button").nth(1).click()
    page.locator("#verdict .word").wait_for()
    page.locator("#logical .js-plotly-plot").wait_for()


def _batch(page: Page) -> None:
    """All examples of the category, which lie in one figure: as files with the names of their defect types."""
    files, stem = [], ""
    for example in find(CATEGORY, None):
        content = io.BytesIO()
        Image.fromarray(example.image()).save(content, "PNG")
        stem = example.caption.replace(" ", "_")
        files.append({"name": f"{stem}.png", "mimeType": "image/png", "buffer": content.getvalue()})
    page.get_by_role("tab", name="Batch").click()
    page.set_input_files("#batch-files input[type=file]", files)  # type: ignore[arg-type]
    page.locator("#batch-files").get_by_text(stem).wait_for()
    page.locator("#batch-run").click()
    page.get_by_text(re.compile(rf"of {len(files)} images of {CATEGORY} are defective")).wait_for()
    page.locator("#batch-csv").wait_for()


def _shoot(page: Page, path: Path) -> Path:
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # figures and toasts fade in and out
    page.screenshot(path=path, full_page=True)
    return path
