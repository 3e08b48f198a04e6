"""The colour scale is absolute, the outline closed and thin, and a normal image stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from efficientad.plots import CONTOUR, INFERNO, VMAX, colorize, contours, overlay


def relative_luminance(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 10, rgb / 3294, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def test_colorize_hits_the_anchors_and_saturates() -> None:
    values = np.array([[-5.0, 0.0, 1 / 3, 1.0, 7.0]], np.float32)
    colours = colorize(values)
    assert colours.shape == (1, 5, 3) and colours.dtype == np.uint8
    low, third, high = INFERNO[0], INFERNO[3], INFERNO[-1]
    assert [tuple(colour) for colour in colours[0].tolist()] == [low, low, third, high, high]


def test_colorize_is_absolute() -> None:
    value = np.array([[0.2]])
    among_others = np.array([[0.2, 0.9, -2.0]])
    assert (colorize(value)[0, 0] == colorize(among_others)[0, 0]).all()
    assert (colorize(value * 4 + 1, 1, 5) == colorize(value)).all()


def test_colours_can_be_told_apart_without_hue() -> None:
    lightness = relative_luminance(colorize(np.linspace(0, 1, 256)[None])[0].astype(float))
    assert (np.diff(lightness) >= 0).all() and lightness[0] < 0.01 and lightness[-1] > 0.9


def test_colorize_refuses_an_empty_scale() -> None:
    with pytest.raises(AssertionError, match="empty colour scale"):
        colorize(np.zeros((2, 2)), 1.0, 1.0)


def test_contours_of_a_rectangle() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:12, 8:20] = True
    outline = np.zeros_like(mask)
    outline[5:12, 8:20] = True
    outline[6:11, 9:19] = False
    np.testing.assert_array_equal(contours(mask), outline)


def test_contours_at_the_border_are_closed() -> None:
    full = np.ones((6, 9), bool)
    outline = contours(full)
    assert outline[0].all() and outline[-1].all() and outline[:, 0].all() and outline[:, -1].all()
    assert not outline[1:-1, 1:-1].any()


def test_contours_of_nothing_and_of_one_pixel() -> None:
    mask = np.zeros((8, 8), bool)
    assert not contours(mask).any()
    mask[3, 4] = True
    np.testing.assert_array_equal(contours(mask), mask)
    assert contours(np.ones((1, 40), bool)).all()


@pytest.mark.parametrize(("side", "thickness"), [(100, 1), (256, 1), (700, 1), (1024, 2), (2048, 4)])
def test_contour_thickness_follows_the_size(side: int, thickness: int) -> None:
    mask = np.zeros((60, side), bool)
    mask[20:40, 10:90] = True
    assert contours(mask)[:, 50].sum() == 2 * thickness


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_a_normal_image_is_left_alone(rgb: np.ndarray) -> None:
    calm = np.random.default_rng(1).uniform(-0.3, 0.2, (32, 48)).astype(np.float32)
    result = overlay(rgb, calm, threshold=0.4)
    np.testing.assert_array_equal(result, rgb)
    assert not np.shares_memory(result, rgb)


def test_overlay_blends_heat_and_outlines_it(rgb: np.ndarray) -> None:
    before = rgb.copy()
    heat = np.zeros((32, 48), np.float32)
    heat[8:20, 10:30] = 0.6
    result = overlay(rgb, heat, threshold=0.4, opacity=0.25)
    assert result.shape == rgb.shape and result.dtype == np.uint8
    np.testing.assert_array_equal(rgb, before)

    outline = contours(heat > 0.4)
    assert (result[outline] == CONTOUR).all()
    inside = (heat > 0) & ~outline
    colour = colorize(heat, 0, VMAX * 0.4)[inside].astype(float)
    expected = 0.75 * rgb[inside] + 0.25 * colour
    np.testing.assert_allclose(result[inside], expected, atol=0.51)
    np.testing.assert_array_equal(result[heat == 0], rgb[heat == 0])


def test_heat_fades_in_between_half_the_threshold_and_the_threshold() -> None:
    grey = np.full((1, 5, 3), 128, np.uint8)
    heat = np.array([[0.1, 0.2, 0.25, 0.3, 0.4]], np.float32)
    result = overlay(grey, heat, threshold=0.4, opacity=1.0).astype(int)
    distance = np.abs(result - 128).sum(axis=2)[0]
    assert distance[0] == distance[1] == 0
    assert 0 < distance[2] < distance[3]
    assert result[0, 4].tolist() == colorize(heat, 0, VMAX * 0.4)[0, 4].tolist()  # at, not above: no outline


def test_overlay_without_opacity_keeps_only_the_outline(rgb: np.ndarray) -> None:
    heat = np.zeros((32, 48), np.float32)
    heat[8:20, 10:30] = 3
    result = overlay(rgb, heat, threshold=0.4, opacity=0.0)
    changed = (result != rgb).any(axis=2)
    assert changed.any() and not (changed & ~contours(heat > 0.4)).any()


@pytest.mark.parametrize("threshold", [0.0, -0.5])
def test_a_threshold_of_zero_or_less_still_draws(rgb: np.ndarray, threshold: float) -> None:
    heat = np.full((32, 48), -1, np.float32)
    heat[4:9, 4:9] = 1
    result = overlay(rgb, heat, threshold)
    assert (result[4, 4] == CONTOUR).all() and (result[20, 20] == rgb[20, 20]).all()


def test_overlay_wants_a_map_of_the_same_size(rgb: np.ndarray) -> None:
    with pytest.raises(AssertionError, match="differ in size"):
        overlay(rgb, np.zeros((16, 24)), 0.4)
