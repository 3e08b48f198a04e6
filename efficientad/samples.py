"""What a training step looks at: whole good images for the autoencoder, crops for the student, penalty crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from efficientad.config import TrainConfig
from efficientad.images import SIZE, grayscale, load_image, normalize, photometric, shrink
from efficientad.nets import CONTEXT, PAD_BEFORE, STRIDE, EfficientAD, extend

GRID = SIZE // STRIDE


@dataclass(frozen=True)
class GoodImages:
    """Good training images and the teacher's raw output on them.

    Attributes:
        images: (V, N, 256, 256, 3) uint8; view 0 is the image itself, the others photometric copies.
        teacher: (V, N, 64, 64, 384) float16, or None where it is computed at every step.
        model: whose teacher that is.
    """

    images: NDArray[np.uint8]
    teacher: NDArray[np.float16] | None
    model: EfficientAD


@dataclass(frozen=True)
class PenaltyImages:
    """(P, 256, 256, 3) uint8 natural images, on which the student must not learn the teacher (section 3.2)."""

    images: NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """One step. B crops of c x c cells, W whole images, L of the crops lie in a whole image and train the logical head.

    Attributes:
        crops: (B, 3, s, s) with s = 4c + 29; `crop_teacher`: (B, 384, c, c).
        for_structure, for_logic: which of the crops train which head.
        logic_places: (whole image, row, column) of every crop in `for_logic`, in cells.
        whole: (W, 3, 256, 256); `whole_teacher`: (W, 384, 64, 64).
        penalty: (P, 3, s, s) or None.
    """

    crops: Tensor
    crop_teacher: Tensor
    for_structure: slice
    for_logic: slice
    logic_places: list[tuple[int, int, int]]
    whole: Tensor
    whole_teacher: Tensor
    penalty: Tensor | None


def photometric_views(images: NDArray[np.uint8], copies: int, seed: int) -> NDArray[np.uint8]:
    """(N, 256, 256, 3) -> (1 + copies, N, 256, 256, 3): the images and `copies` augmentations of each."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.from_numpy(images)
    return np.stack([images, *(photometric(source, generator).numpy() for _ in range(copies))])


def teacher_outputs(model: EfficientAD, images: Iterable[NDArray[np.uint8]]) -> Iterator[Tensor]:
    """The teacher's raw output on (256, 256, 3) images, one (64, 64, 384) tensor each."""
    for image in images:
        with torch.inference_mode():
            x = extend(normalize(torch.from_numpy(image[None]).to(model.mean.device)))
            yield model.teacher(x)[0].permute(1, 2, 0)


def load_penalty(
    paths: list[Path], seed: int, progress: Callable[[list[Path]], Iterator[Path]] = iter
) -> PenaltyImages:
    """Algorithm 1, lines 15 to 17: resize to 512x512, grey with probability 0.3, the central 256x256."""
    images = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    margin = SIZE // 2
    for i, path in enumerate(progress(paths)):
        images[i] = shrink(load_image(path), 2 * SIZE)[margin : margin + SIZE, margin : margin + SIZE]
    generator = torch.Generator().manual_seed(seed)
    return PenaltyImages(grayscale(torch.from_numpy(images), generator, 0.3).numpy())


def draw(
    good: GoodImages,
    penalty: PenaltyImages | None,
    config: TrainConfig,
    rng: np.random.Generator,
    device: torch.device,
) -> Batch:
    """The random batch of one step."""
    views, count = good.images.shape[:2]
    if good.teacher is None:
        return _draw_fresh(good, penalty, config, rng, device)
    chosen = [(int(rng.integers(views)), int(rng.integers(count))) for _ in range(config.crops)]
    cells = config.crop_cells
    # The first `whole_images` pictures are seen whole; crops go round them as far as `logic_crops`.
    places = []
    for i in range(config.crops):
        row, column = _place(rng, cells)
        places.append((i % config.whole_images if i < config.logic_crops else i, row, column))
    crops = np.stack([crop(good.images[chosen[i]], row, column, cells) for i, row, column in places])
    described = np.stack(
        [good.teacher[chosen[i]][row : row + cells, column : column + cells] for i, row, column in places]
    )
    whole = np.stack([good.images[v] for v in chosen[: config.whole_images]])
    whole_described = np.stack([good.teacher[v] for v in chosen[: config.whole_images]])
    return Batch(
        crops=_pixels(crops, device),
        crop_teacher=_standardise(torch.from_numpy(described).to(device).permute(0, 3, 1, 2), good.model),
        for_structure=slice(0, config.crops),
        for_logic=slice(0, config.logic_crops),
        logic_places=places[: config.logic_crops],
        whole=_pixels(whole, device),
        whole_teacher=_standardise(torch.from_numpy(whole_described).to(device).permute(0, 3, 1, 2), good.model),
        penalty=_penalty_crops(penalty, config, rng, device),
    )


def _draw_fresh(
    good: GoodImages,
    penalty: PenaltyImages | None,
    config: TrainConfig,
    rng: np.random.Generator,
    device: torch.device,
) -> Batch:
    """As the paper does it: whole images, a new augmentation at every step, the teacher run on both."""
    index = rng.integers(good.images.shape[1], size=config.whole_images)
    images = torch.from_numpy(good.images[0, index])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    both = torch.cat((images, photometric(images, generator))).to(device)
    x = normalize(both)
    extended = extend(x).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        described = good.model.describe(extended)
    n = config.whole_images
    return Batch(
        crops=extended,
        crop_teacher=described,
        for_structure=slice(0, n),
        for_logic=slice(n, 2 * n),
        logic_places=[(i, 0, 0) for i in range(n)],
        whole=x[n:],
        whole_teacher=described[n:],
        penalty=_penalty_crops(penalty, config, rng, device),
    )


def crop(image: NDArray[np.uint8], row: int, column: int, cells: int) -> NDArray[np.uint8]:
    """The pixels that `cells` x `cells` cells from (row, column) see: (256, 256, 3) -> (4c + 29, 4c + 29, 3).

    Beyond the edge the image is reflected, as `nets.extend` does.
    """
    rows, columns = _reflected(row, cells), _reflected(column, cells)
    return image[rows[:, None], columns]


def _place(rng: np.random.Generator, cells: int) -> tuple[int, int]:
    """First row and column of a random crop inside the map; places beyond its edges are moved to them.

    So a corner is as likely to be seen as the middle. With places drawn uniformly inside it would be seen two hundred
    times less often, and stay unlearned.
    """
    row, column = rng.integers(1 - cells, GRID, size=2).clip(0, GRID - cells)
    return int(row), int(column)


def _reflected(first: int, cells: int) -> NDArray[np.int64]:
    index = np.abs(np.arange((cells - 1) * STRIDE + CONTEXT) + first * STRIDE - PAD_BEFORE)
    return np.where(index >= SIZE, 2 * (SIZE - 1) - index, index)


def _penalty_crops(
    penalty: PenaltyImages | None, config: TrainConfig, rng: np.random.Generator, device: torch.device
) -> Tensor | None:
    if penalty is None:
        return None
    crops = []
    for _ in range(config.penalty_crops):
        row, column = _place(rng, config.crop_cells)
        crops.append(crop(penalty.images[rng.integers(len(penalty.images))], row, column, config.crop_cells))
    return _pixels(np.stack(crops), device)


def _pixels(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    return normalize(torch.from_numpy(images).to(device))


def _standardise(described: Tensor, model: EfficientAD) -> Tensor:
    return (described.float() - model.mean) / model.std
