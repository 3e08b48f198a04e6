"""Any upload becomes the same RGB; what is no image becomes one readable sentence."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageSequence

from efficientad.errors import InputError
from efficientad.images import (
    MEAN,
    SIZE,
    STD,
    grayscale,
    load_image,
    normalize,
    photometric,
    preprocess,
    shrink,
)


@pytest.fixture
def rgb() -> np.ndarray:
    """(40, 30, 3): a different smooth ramp in each channel, so that no axis or channel can be mistaken."""
    y, x = np.mgrid[0:40, 0:30]
    return np.stack([y * 6, x * 8, (y + x) * 3], axis=2).astype(np.uint8)


@pytest.fixture
def grey() -> np.ndarray:
    return np.arange(40 * 30).reshape(40, 30).astype(np.uint8)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels: a small image bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def refused(source: Any, *, mentions: str) -> str:
    with pytest.raises(InputError) as caught:
        load_image(source)
    message = str(caught.value)
    assert mentions in message
    assert "\n" not in message and message.endswith(".") and ": " in message  # a sentence with its fix
    return message


# ---- every way in gives the same pixels


def test_every_source_gives_the_same_pixels(rgb: np.ndarray, tmp_path: Path) -> None:
    data = encode(Image.fromarray(rgb))
    path = tmp_path / "image.png"
    path.write_bytes(data)
    spent = io.BytesIO(data)
    spent.read()
    with path.open("rb") as file:
        for source in (path, str(path), data, io.BytesIO(data), spent, file, Image.fromarray(rgb), rgb):
            loaded = load_image(source)
            np.testing.assert_array_equal(loaded, rgb)
            assert loaded.dtype == np.uint8 and loaded.flags.c_contiguous and loaded.flags.writeable
        assert not file.closed


def test_the_result_is_contiguous_and_not_shared(rgb: np.ndarray) -> None:
    mirrored = rgb[:, ::-1]
    loaded = load_image(mirrored)
    np.testing.assert_array_equal(loaded, mirrored)
    assert loaded.flags.c_contiguous
    assert not np.shares_memory(load_image(rgb), rgb)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG"])
def test_formats(rgb: np.ndarray, format: str) -> None:
    best: dict[str, dict[str, int]] = {"WEBP": {"lossless": 1}, "JPEG": {"quality": 100, "subsampling": 0}}
    options = best.get(format, {})
    difference = np.abs(load_image(encode(Image.fromarray(rgb), format, **options)).astype(int) - rgb)
    assert difference.mean() <= {"GIF": 12, "JPEG": 2}.get(format, 0)


# ---- modes


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"])
def test_colour_modes(mode: str) -> None:
    flat = Image.new("RGB", (5, 4), (200, 120, 60))
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.buildTransform(srgb, lab, "RGB", "LAB").apply(flat)
    else:
        image = (flat.convert("RGBA") if mode == "RGBa" else flat).convert(mode)
    assert image.mode == mode
    assert np.abs(load_image(image).astype(int) - (200, 120, 60)).max() <= 4


@pytest.mark.parametrize("mode", ["L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B"])
def test_grey_modes(grey: np.ndarray, mode: str) -> None:
    if mode.startswith("I;16"):
        wide = (grey * np.uint16(257)).astype(">u2" if mode == "I;16B" else "<u2")
        image = Image.frombytes(mode, (30, 40), wide.tobytes())
    else:
        image = (Image.fromarray(grey).convert("LA") if mode == "La" else Image.fromarray(grey)).convert(mode)
    assert image.mode == mode
    np.testing.assert_array_equal(load_image(image), np.repeat(grey[:, :, None], 3, axis=2))


def test_16_bit_png_keeps_its_range(grey: np.ndarray) -> None:
    data = encode(Image.fromarray(grey * np.uint16(257)))
    assert data[24] == 16  # the file really has 16 bits
    np.testing.assert_array_equal(load_image(data)[:, :, 0], grey)


def test_one_bit() -> None:
    image = Image.fromarray(np.eye(4, dtype=bool))
    assert image.mode == "1"
    np.testing.assert_array_equal(load_image(encode(image))[:, :, 0], np.eye(4) * 255)


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert load_image(encode(image)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert load_image(encode(image, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_opaque_alpha_is_the_same_as_none(rgb: np.ndarray) -> None:
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(load_image(opaque), rgb)
    np.testing.assert_array_equal(load_image(encode(Image.fromarray(opaque))), rgb)


def test_transparency_lies_on_white() -> None:
    rgba = np.array([[[100, 0, 0, 0], [100, 0, 0, 255], [100, 0, 0, 51]]], np.uint8)
    expected = [[[255, 255, 255], [100, 0, 0], [224, 204, 204]]]
    assert load_image(rgba).tolist() == expected
    assert load_image(encode(Image.fromarray(rgba))).tolist() == expected
    assert load_image(rgba / 255).tolist() == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(rgb: np.ndarray, orientation: int) -> None:
    upright = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, -1),
        7: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(rgb),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(load_image(encode(Image.fromarray(rgb), exif=exif.tobytes())), upright[orientation])


def test_damaged_exif_is_no_reason_to_refuse_nor_to_warn() -> None:
    data = encode(Image.new("RGB", (3, 2)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(data).shape == (2, 3, 3)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = encode(frames[0], format, save_all=True, append_images=frames[1:], duration=100, **options)
        assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 2
        assert (load_image(data) == (255, 0, 0)).all()


# ---- arrays


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "uint16", ">u2", "bool", "float16", "float64"])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_array_types_and_layouts(dtype: str, channels: int | None) -> None:
    white = {"uint16": 65535, ">u2": 65535, "bool": 1, "float16": 1, "float64": 1}.get(dtype, 255)
    values = np.full((2, 3) if channels is None else (2, 3, channels), white, dtype)
    values[0] = 0
    loaded = load_image(values)
    black = 255 if channels == 4 else 0  # alpha 0: white shows
    assert loaded.shape == (2, 3, 3) and loaded.dtype == np.uint8
    assert (loaded[0] == black).all() and (loaded[1] == 255).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 128.0, 255.0]]), [0, 128, 255]),
        (np.array([[-1e-4, 1 + 1e-4]]), [0, 255]),  # rounding of an earlier step
        (np.array([[0, 514, 257]], np.uint16), [0, 2, 1]),
        (np.array([[0, 255, 257]], np.int32), [0, 1, 1]),  # more than 8 bits, fewer than 16
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), [0, 128, 255]),
    ],
)
def test_array_scaling(values: np.ndarray, expected: list[int]) -> None:
    assert load_image(values)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "mentions"),
    [
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((3, 40, 40), np.uint8), "channels last"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros(7, np.uint8), "shape"),
        (np.array(3.0), "shape"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.array([[0, np.inf]]), "NaN or infinity"),
        (np.array([[0, 1.3]]), "1.3"),  # neither 0..1 nor plausibly 0..255
        (np.array([[-0.5, 1.0]]), "-0.5"),
        (np.array([[0, 3e5]]), "300000"),
        (np.full((4, 4), -1), "-1"),
        (np.full((4, 4), 1j), "complex"),
        (np.array([[None]]), "object"),
        (np.broadcast_to(np.uint8(0), (10_001, 10_000, 3)), "megapixels"),
    ],
)
def test_refused_arrays(values: np.ndarray, mentions: str) -> None:
    refused(values, mentions=mentions)


# ---- what is no image


def test_refused_paths_are_named(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "gone.png", mentions="gone.png")
    assert "folder" in refused(tmp_path, mentions=tmp_path.name)
    refused("a\0b.png", mentions="cannot be opened")
    contents = {
        "empty.png": b"",
        "text.png": b"this is not an image",
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "script.eps": encode(Image.new("RGB", (4, 4)), "EPS"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert "not an image" in refused(tmp_path / name, mentions=name)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9])
def test_truncated_files(format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), format)
    load_image(data)
    refused(data[: int(kept * len(data))], mentions="damaged")


def test_damaged_pixels_name_the_file(tmp_path: Path) -> None:
    data = bytearray(encode(Image.effect_noise((64, 64), 50)))
    data[len(data) // 2] ^= 255
    (tmp_path / "flip.png").write_bytes(data)
    refused(tmp_path / "flip.png", mentions="flip.png")


@pytest.mark.parametrize("source", [None, 3, [[1, 2]], torch.zeros(3, 4, 4)])
def test_refused_types(source: object) -> None:
    refused(source, mentions=type(source).__name__)


def test_an_empty_pil_image() -> None:
    refused(Image.new("RGB", (0, 3)), mentions="no pixels")


# ---- sizes


@pytest.mark.parametrize("size", [(10_001, 10_000), (100_000_001, 1), (60_000, 60_000)])
def test_image_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    refused(png_header(*size), mentions="100 megapixels")  # "damaged" would mean that it was decoded
    assert before == (Image.MAX_IMAGE_PIXELS, list(warnings.filters))


def test_100_megapixels_are_not_too_many() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor is there a warning
        refused(png_header(10_000, 10_000), mentions="damaged or incomplete")  # it went on to decode


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 2), (300, 200)])
def test_any_size_shrinks(shape: tuple[int, int]) -> None:
    small = shrink(load_image(np.full(shape, 77, np.uint8)))
    assert small.shape == (SIZE, SIZE, 3) and small.flags.c_contiguous
    assert (small == 77).all()


# ---- to the network


def test_shrink_is_antialiased() -> None:
    """Lines one pixel wide, four to a pixel of the result: their mean survives, and no pattern appears."""
    lines = np.zeros((1024, 1024, 3), np.uint8)
    lines[:, ::2] = 200
    small = shrink(lines)[:, 2:-2]
    assert np.abs(small.astype(int) - 100).max() <= 1


def test_normalize_by_hand(rgb: np.ndarray) -> None:
    batch = torch.from_numpy(np.stack([rgb, 255 - rgb]))
    result = normalize(batch)
    assert result.shape == (2, 3, 40, 30) and result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    expected = (batch.numpy() / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(result.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_normalize_wants_bytes_channels_last() -> None:
    with pytest.raises(AssertionError, match="uint8"):
        normalize(torch.zeros(1, 8, 8, 3))
    with pytest.raises(AssertionError, match="N, H, W, 3"):
        normalize(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_preprocess_is_shrink_then_normalize(rgb: np.ndarray) -> None:
    result = preprocess(rgb)
    assert result.shape == (1, 3, SIZE, SIZE)
    assert torch.equal(result, normalize(torch.from_numpy(shrink(rgb))[None]))


# ---- random changes


@pytest.fixture
def batch() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(40, 200, (60, 8, 8, 3), generator=generator, dtype=torch.uint8)


def test_photometric_makes_the_three_changes_of_the_paper(batch: torch.Tensor) -> None:
    before = batch.clone()
    result = photometric(batch, torch.Generator().manual_seed(0))
    assert torch.equal(batch, before)
    assert result.shape == batch.shape and result.dtype == torch.uint8 and result.is_contiguous()

    luma = torch.tensor([0.299, 0.587, 0.114])
    kinds = {"brightness": 0, "contrast": 0, "saturation": 0}
    for old, new in zip(batch.double(), result.double(), strict=True):
        grey = (old @ luma.double()).floor()
        fixed = {  # new = factor * old + (1 - factor) * fixed
            "brightness": torch.zeros_like(old),
            "contrast": torch.full_like(old, grey.mean().item()),
            "saturation": grey[:, :, None].expand_as(old),
        }
        errors = {}
        for kind, other in fixed.items():
            away = (old - other).flatten()
            factor = (away @ (new - other).flatten() / (away @ away)).item()
            errors[kind] = (factor * (old - other) + other - new).abs().max().item(), factor
        kind = min(errors, key=lambda kind: errors[kind][0])
        error, factor = errors[kind]
        assert error < 1.6 and 0.78 < factor < 1.22
        kinds[kind] += 1
    assert min(kinds.values()) >= 8


def test_photometric_depends_on_the_generator_alone(batch: torch.Tensor) -> None:
    def run(seed: int) -> torch.Tensor:
        return photometric(batch, torch.Generator().manual_seed(seed))

    first = run(1)
    torch.manual_seed(99)
    assert torch.equal(first, run(1))
    assert not torch.equal(first, run(2))


def test_grayscale(batch: torch.Tensor) -> None:
    before = batch.clone()
    assert torch.equal(grayscale(batch, torch.Generator().manual_seed(0), p=0.0), batch)
    grey = grayscale(batch, torch.Generator().manual_seed(0), p=1.0)
    assert (grey == grey[..., :1]).all()
    luma = batch.double() @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    assert (grey[..., 0].double() - luma).abs().max() < 1.1  # cut, and 0.2989 for 0.299

    some = grayscale(batch, torch.Generator().manual_seed(0), p=0.3)
    turned = (some == some[..., :1]).flatten(1).all(dim=1)
    assert 8 <= turned.sum() <= 30
    assert torch.equal(some[turned], grey[turned]) and torch.equal(some[~turned], batch[~turned])
    assert torch.equal(batch, before) and some.dtype == torch.uint8
