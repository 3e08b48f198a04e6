"""assets/efficientad.png: the method in one figure, drawn from the numbers of the code."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw

from efficientad.files import write_bytes
from efficientad.images import SIZE
from efficientad.nets import CHANNELS, CONTEXT, STRIDE

SCALE = 2  # drawn larger than laid out
WIDTH, HEIGHT = 1240, 560
INK, MUTED, LINE = "#0f172a", "#475569", "#64748b"
BLUE, ORANGE, GREEN, GREY, PALE = "#dbeafe", "#ffedd5", "#dcfce7", "#e2e8f0", "#fef9c3"
GRID = SIZE // STRIDE

Box = tuple[int, int, int, int]  # left, top, width, height


class Drawing:
    """A white page with rounded boxes and arrows; Pillow's own font has ASCII only."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
        self.pen = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, text: str, size: int = 15, fill: str = INK, anchor: str = "mm") -> None:
        self.pen.multiline_text(
            (x * SCALE, y * SCALE), text, fill=fill, font_size=size * SCALE, anchor=anchor, align="center",
            spacing=4 * SCALE,
        )  # fmt: skip

    def box(self, box: Box, fill: str, title: str, note: str = "") -> None:
        left, top, width, height = box
        self.pen.rounded_rectangle(
            [left * SCALE, top * SCALE, (left + width) * SCALE, (top + height) * SCALE],
            radius=10 * SCALE, fill=fill, outline=LINE, width=SCALE,
        )  # fmt: skip
        middle = top + height / 2
        lines = note.count("\n") + 1 if note else 0
        self.text(left + width / 2, middle - 9.5 * lines, title, 17)
        if note:
            self.text(left + width / 2, middle + 12, note, 13, MUTED)

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through the points with a head at the last, which it enters from the left or vertically."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self.pen.line(scaled, fill=LINE, width=2 * SCALE, joint="curve")
        (x0, y0), (x1, y1) = scaled[-2:]
        d = 7 * SCALE
        if x1 > x0:
            head = [(x1, y1), (x1 - d, y1 - d * 0.6), (x1 - d, y1 + d * 0.6)]
        else:
            sign = 1 if y1 > y0 else -1
            head = [(x1, y1), (x1 - d * 0.6, y1 - sign * d), (x1 + d * 0.6, y1 - sign * d)]
        self.pen.polygon(head, fill=LINE)


def draw() -> Image.Image:
    """The figure."""
    page = Drawing()
    cells = f"{GRID} x {GRID}"
    page.text(WIDTH / 2, 30, "EfficientAD: where the networks disagree, the image is anomalous", 22)
    page.box((20, 225, 130, 110), GREY, "Photo", f"{SIZE} x {SIZE} x 3")
    networks: list[tuple[Box, str, str, str]] = [
        ((200, 80, 220, 100), BLUE, "Teacher", f"frozen, sees {CONTEXT} x {CONTEXT} px\n{cells} x {CHANNELS}"),
        ((200, 230, 220, 100), ORANGE, "Student", f"learns from good images\n{cells} x {2 * CHANNELS}"),
        ((200, 380, 220, 100), GREEN, "Autoencoder", f"64 numbers for the image\n{cells} x {CHANNELS}"),
    ]
    for box, fill, title, note in networks:
        page.box(box, fill, title, note)
        middle = box[1] + box[3] / 2
        page.arrow((150, 280), (175, 280), (175, middle), (200, middle)) if middle != 280 else page.arrow(
            (150, 280), (200, 280)
        )
    maps: list[tuple[Box, str, str]] = [
        ((520, 130, 220, 90), "Structural map", f"squared difference, {cells}\nscratches, dents, stains"),
        ((520, 340, 220, 90), "Logical map", f"squared difference, {cells}\nparts missing or misplaced"),
    ]
    for box, title, note in maps:
        page.box(box, PALE, title, note)
    page.arrow((420, 130), (470, 130), (470, 160), (520, 160))
    page.arrow((420, 262), (500, 262), (500, 192), (520, 192))
    page.arrow((420, 298), (500, 298), (500, 368), (520, 368))
    page.arrow((420, 430), (470, 430), (470, 402), (520, 402))
    page.text(430, 246, f"first {CHANNELS}", 12, MUTED, "lm")
    page.text(430, 314, f"last {CHANNELS}", 12, MUTED, "lm")
    page.box(
        (800, 222, 200, 116), PALE, "Anomaly map",
        "each on the scale of good\npixels (0 and 0.1 at their\nquantiles), then the mean",
    )  # fmt: skip
    page.arrow((740, 175), (900, 175), (900, 222))
    page.arrow((740, 385), (900, 385), (900, 338))
    page.box((1060, 225, 160, 110), GREY, "Verdict", "its maximum against\na threshold from\ngood images")
    page.arrow((1000, 280), (1060, 280))
    page.text(
        WIDTH / 2, 520,
        "In training the student also learns to predict the autoencoder, and must not learn the teacher on natural "
        "photos. After Batzner et al., arXiv 2303.14535.",
        13, MUTED,
    )  # fmt: skip
    return page.image


def render(path: Path) -> Path:
    """Write the figure as a PNG."""
    buffer = io.BytesIO()
    draw().quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())
    return path
