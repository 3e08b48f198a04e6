"""Any upload -> RGB array -> network input; and the random changes of Algorithm 1 and 3.

Every step of the project (distillation, training, calibration, evaluation, export, demo) goes through
`shrink` and `normalize`: another resize filter would change the scores.
"""

from __future__ import annotations

import math
import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps

from efficientad.errors import InputError

SIZE = 256  # side of the network input, in pixels
MAX_PIXELS = 100_000_000  # larger images are refused before they are decoded
MEAN = (0.485, 0.456, 0.406)  # ImageNet, RGB in [0, 1]
STD = (0.229, 0.224, 0.225)

Source = str | Path | bytes | BinaryIO | Image.Image | np.ndarray  # what `load_image` takes


def load_image(source: Source) -> np.ndarray:
    """Read an image of any kind: (H, W, 3) uint8 RGB, C-contiguous, writable, not shared with the source.

    source: path, encoded bytes, binary file, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
    Files are turned upright by their EXIF orientation; of an animation the first frame counts; transparent
    pixels lie on white. To 8 bits go: bool as 0 and 255; uint16 divided by 257; other integers from the
    smallest of 8, 16 and 32 bits that holds the largest value; floats from 0..1 if they fit, else 0..255.

    Raises InputError if there is no such image, it is damaged, or has more than 100 megapixels.
    """
    if isinstance(source, np.ndarray):
        _check_size(source.shape[:2], "The array")
        return _to_rgb(np.array(source, order="C"), "The array")
    if isinstance(source, Image.Image):
        return _decode(source, str(getattr(source, "filename", "") or "The image"))
    if isinstance(source, bytes):
        return _read(BytesIO(source), "The image")
    if isinstance(source, (str, os.PathLike)):
        with _open(source) as stream:
            return _read(stream, str(source))
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return _read(source, name if isinstance(name, str) else "The image")
    raise InputError(
        f"An image cannot be read from {type(source).__name__}: pass a path, bytes, a binary file, "
        "a PIL image or a numpy array."
    )


def shrink(rgb: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (size, size, 3) uint8 with PIL's antialiased bilinear filter."""
    return np.array(Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR))


def normalize(batch: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 with ImageNet's mean and std, in channels_last memory."""
    assert batch.dtype == torch.uint8, f"expected uint8, got {batch.dtype}"
    assert batch.ndim == 4 and batch.shape[3] == 3, f"expected (N, H, W, 3), got {tuple(batch.shape)}"
    mean = torch.tensor(MEAN, device=batch.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=batch.device).view(1, 3, 1, 1)
    unit = batch.permute(0, 3, 1, 2).to(torch.float32) / 255  # (N, 3, H, W) in [0, 1]
    return ((unit - mean) / std).contiguous(memory_format=torch.channels_last)


def preprocess(rgb: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, 256, 256) float32: the input of every network."""
    return normalize(torch.from_numpy(shrink(rgb))[None])


def photometric(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """I_aug of Algorithm 1: brightness, contrast or saturation of each image times U(0.8, 1.2).

    batch: (N, H, W, 3) uint8; the result has the same shape and type. generator: on the CPU.
    """
    from torchvision.transforms.v2 import functional  # slow to import, and only training needs it

    changes = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)
    choices = torch.randint(len(changes), (len(batch),), generator=generator).tolist()
    factors = torch.empty(len(batch)).uniform_(0.8, 1.2, generator=generator).tolist()
    images = batch.permute(0, 3, 1, 2)  # (N, 3, H, W)
    changed = [changes[i](image, factor) for image, i, factor in zip(images, choices, factors, strict=True)]
    return torch.stack(changed).permute(0, 2, 3, 1).contiguous()


def grayscale(batch: torch.Tensor, generator: torch.Generator, p: float) -> torch.Tensor:
    """Turn each image of (N, H, W, 3) uint8 grey (ITU-R 601) with probability p. generator: on the CPU."""
    from torchvision.transforms.v2 import functional

    grey = functional.rgb_to_grayscale(batch.permute(0, 3, 1, 2), num_output_channels=3).permute(0, 2, 3, 1)
    chosen = torch.rand(len(batch), generator=generator) < p
    return torch.where(chosen.to(batch.device)[:, None, None, None], grey, batch).contiguous()


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist: check the path of the image.") from error
    except IsADirectoryError as error:
        raise InputError(f"'{path}' is a folder: pass the path of one image in it.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise InputError(f"'{path}' cannot be opened: check the path and its permissions.") from error


def _read(stream: BinaryIO, name: str) -> np.ndarray:
    """Header first: `_decode` refuses by size before any pixel is decoded."""
    with warnings.catch_warnings():
        # PIL warns from 89 megapixels on, where the limit here is MAX_PIXELS, and of damaged metadata.
        warnings.filterwarnings("ignore", module="PIL")
        try:
            image = Image.open(stream)
        except Image.DecompressionBombError as error:
            raise InputError(_too_large(name)) from error
        except Exception as error:  # plugins raise anything on a damaged header
            raise InputError(_unreadable(name)) from error
        if image.format == "EPS":  # a program, which PIL would have Ghostscript run
            raise InputError(_unreadable(name))
        return _decode(image, name)


def _decode(image: Image.Image, name: str) -> np.ndarray:
    _check_size((image.height, image.width), name)
    try:
        pixels = _pixels(image)
    except Exception as error:  # codecs raise OSError, SyntaxError, struct.error, EOFError, ...
        raise InputError(f"{name} is damaged or incomplete: export or download it again.") from error
    return _to_rgb(pixels, name)


def _pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; or (H, W) of the file's own type where it has more than 8 bits."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):  # PIL's own conversion saturates at 255
        return np.array(image)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
    if image.mode == "La":  # premultiplied; PIL converts it to nothing else
        image = image.convert("LA")
    if image.has_transparency_data:
        image = _on_white(image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _on_white(rgba: Image.Image) -> Image.Image:
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba)
    return white


def _to_rgb(values: np.ndarray, name: str) -> np.ndarray:
    """Any of the array layouts and types that `load_image` documents -> (H, W, 3) uint8."""
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise InputError(
            f"{name} has the shape {values.shape}: pass (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels last."
        )
    pixels = _to_uint8(values, name)
    if pixels.shape[2] == 4:
        return np.array(_on_white(Image.fromarray(pixels)))
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _to_uint8(values: np.ndarray, name: str) -> np.ndarray:
    kind, width = values.dtype.kind, values.dtype.itemsize
    if kind == "u" and width == 1:
        return values
    if kind not in "buif":
        raise InputError(f"{name} has the type {values.dtype}: convert it to uint8 first.")
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(low + high):
        raise InputError(f"{name} contains NaN or infinity: replace these values first.")
    if kind == "b":
        tops, slack = [1], 0.0
    elif kind == "f":
        tops, slack = [1, 255], 1e-3  # slack: rounding of an earlier step
    else:
        tops, slack = [65535] if kind == "u" and width == 2 else [255, 65535, 2**32 - 1], 0.0
    top = next((top for top in tops if high <= top * (1 + slack)), None)
    # A float image that ends just above 1 was meant as 0..1: read as 0..255 it would silently turn black.
    unclear = kind == "f" and top == 255 and high < 2
    if top is None or unclear or low < -slack * top:
        raise InputError(f"{name} has values from {low:g} to {high:g}: scale it to 0..255 as uint8 first.")
    return np.rint(values.astype(np.float32).clip(0, top) * (255 / top)).astype(np.uint8)


def _check_size(shape: tuple[int, ...], name: str) -> None:
    if 0 in shape:
        raise InputError(f"{name} has no pixels: pass an image of at least 1x1.")
    if math.prod(shape) > MAX_PIXELS:
        raise InputError(_too_large(name))


def _too_large(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS // 1_000_000} megapixels: crop it or scale it down first."


def _unreadable(name: str) -> str:
    return f"{name} is empty, damaged or not an image: save it as PNG, JPEG, WebP, BMP or TIFF and try again."
