"""Pictures of a decision: one absolute colour scale, heat over the image, the outline of what was found."""

from __future__ import annotations

import numpy as np

VMAX = 2.0  # the colour scale of an anomaly map runs from 0 to VMAX times the threshold
CONTOUR = (0, 255, 255)  # cyan: far from every colour of the scale, for colour-blind eyes too

# Perceptually uniform, safe for colour-blind eyes, readable in grey; plotly has the same scale as "Inferno".
INFERNO = (
    (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96),
    (207, 68, 70), (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164),
)  # fmt: skip


def colorize(values: np.ndarray, lo: float = 0.0, hi: float = 1.0) -> np.ndarray:
    """(H, W) finite numbers -> (H, W, 3) uint8; lo and all below is black, hi and all above pale yellow.

    The scale is absolute: the same value has the same colour in every image.
    """
    assert hi > lo, "an empty colour scale"
    levels = np.linspace(0, 1, 256)
    knots = np.linspace(0, 1, len(INFERNO))
    table = np.stack([np.interp(levels, knots, channel) for channel in zip(*INFERNO, strict=True)], axis=1)
    fraction = ((values - lo) / (hi - lo)).clip(0, 1)
    return np.rint(table).astype(np.uint8)[np.rint(fraction * 255).astype(np.uint8)]


def contours(mask: np.ndarray) -> np.ndarray:
    """Outline of (H, W) bool as (H, W) bool: its outermost pixels, closed at the image border.

    1 pixel thick up to 767 pixels of the longer side, 2 at 1024, and on in proportion.
    """
    inside = mask
    for _ in range(max(1, (max(mask.shape) + 256) // 512)):
        padded = np.pad(inside, 1)  # beyond the border is outside
        inside = (
            padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )  # fmt: skip
    return mask & ~inside


def overlay(
    rgb: np.ndarray, anomaly_map: np.ndarray, threshold: float, opacity: float = 0.5, *, outline: float | None = None
) -> np.ndarray:
    """Heat over an image and the outline of anomaly_map > outline, which is the threshold if not given.

    rgb: (H, W, 3) uint8; anomaly_map: (H, W) float; opacity in [0, 1]; result: (H, W, 3) uint8. Colours as
    in `colorize(anomaly_map, 0, VMAX * threshold)`. Below half the threshold the image stays as it is; from
    there to the threshold the heat fades in, so that what is normal does not draw the eye.
    """
    assert rgb.shape[:2] == anomaly_map.shape, "the image and its map differ in size"
    full = max(threshold, 1e-6)  # a threshold of 0 or below: the scale shrinks to a step
    fade = full / 2
    picture = rgb.copy()
    warm = anomaly_map > fade
    values = anomaly_map[warm]  # (K,), mostly few of the pixels
    weight = (opacity * ((values - fade) / (full - fade)).clip(0, 1))[:, None]
    heat = colorize(values, 0, VMAX * full)
    picture[warm] = np.rint(picture[warm] * (1 - weight) + heat * weight).astype(np.uint8)
    picture[contours(anomaly_map > (threshold if outline is None else outline))] = CONTOUR
    return picture
