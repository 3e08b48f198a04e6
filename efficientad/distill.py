"""Teacher distillation (paper, Algorithm 3): a PDN learns to describe a patch as an ImageNet backbone does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from efficientad.cache import FeatureCache
from efficientad.checkpoint import load_teacher
from efficientad.device import place
from efficientad.images import normalize
from efficientad.nets import CHANNELS, Conv, EfficientAD, Size, extend, pdn
from efficientad.optim import Optimizer
from efficientad.samples import GRID, crop
from efficientad.state import load_state, save_state


@dataclass(frozen=True)
class DistillConfig:
    """Defaults are what the teacher in `pretrained/` was made with."""

    size: Size = "S"
    backbone: str = "tf_efficientnet_lite2"  # paper: wide_resnet101_2
    views: int = 2
    steps: int = 19_000  # paper: 60,000
    batch: int = 8  # crops; paper: 16 whole images
    crop_cells: int = 16  # side of a crop on the map; 16 cells are 96 pixels
    lr: float = 1e-3
    weight_decay: float = 1e-5
    held_out: int = 100  # photos that only measure
    seed: int = 42
    init: str = ""  # SHA-256 of the teacher that this run went on from


Log = Callable[[dict[str, float]], None]
LOG_STEPS = 100
SAVE_STEPS = 1000


def distill(
    cache: FeatureCache,
    config: DistillConfig,
    state: Path,
    device: torch.device,
    log: Log,
    init: Path | None = None,
) -> nn.Sequential:
    """Train a teacher on cached features; goes on from `state` when that exists, to the same end bit for bit.

    Crops of images extended by reflection take the place of the paper's zero-padded whole images: the map at the
    border then means what it means at inference, and every step sees many photos.

    Returns:
        The teacher, (N, 3, H, W) -> (N, 384, H/4 - 8, W/4 - 8).
    """
    torch.manual_seed(config.seed)
    order = np.random.default_rng(config.seed).permutation(cache.images.shape[1])
    held_out, photos = order[: config.held_out], order[config.held_out :]
    mean, std = _channel_statistics(cache, photos)
    net = narrow(init, config, len(mean)) if init else pdn(config.size, len(mean))
    net = place(net, device)
    optimizer = Optimizer([(net, config.lr)], kind="muon", steps=config.steps, weight_decay=config.weight_decay)
    start, seconds = 0, 0.0
    if saved := load_state(state, key=dataclasses.asdict(config)):
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        start, seconds = saved["step"], saved["seconds"]

    def save(step: int) -> None:
        content = {
            "net": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "seconds": seconds,
        }
        save_state(state, content, key=dataclasses.asdict(config))

    running = 0.0
    clock = time.monotonic()
    for step in range(start, config.steps):
        rng = np.random.default_rng((config.seed, step))
        crops, target = _batch(cache, photos, config, rng)
        x = normalize(torch.from_numpy(crops).to(device))
        y = (torch.from_numpy(target).to(device).float() - mean.to(device)) / std.to(device)  # (B, h, w, C)
        loss = (net(x).permute(0, 2, 3, 1) - y).square().mean()
        loss.backward()
        optimizer.step(step)
        running += loss.item()
        if (step + 1) % LOG_STEPS == 0 or step + 1 == config.steps:
            seconds += time.monotonic() - clock
            clock = time.monotonic()
            row = {"step": step + 1, "seconds": seconds, "loss": running / (step % LOG_STEPS + 1)}
            running = 0.0
            if (step + 1) % SAVE_STEPS == 0 or step + 1 == config.steps:
                row["held_out"] = held_out_loss(net, cache, held_out, mean, std)
                save(step + 1)
            log(row)
    return widen(net, config.seed)


def held_out_loss(net: nn.Module, cache: FeatureCache, photos: np.ndarray, mean: Tensor, std: Tensor) -> float:
    """Mean squared error on whole view-0 photos, in standard deviations of the backbone's channels."""
    device = next(net.parameters()).device
    total = 0.0
    for i in photos:
        x = extend(normalize(torch.from_numpy(cache.images[0, i][None]).to(device)))
        y = (torch.from_numpy(cache.features[0, i]).to(device).float() - mean.to(device)) / std.to(device)
        with torch.no_grad():
            total += (net(x)[0].permute(1, 2, 0) - y).square().mean().item()
    return total / len(photos)


def widen(net: nn.Sequential, seed: int) -> nn.Sequential:
    """Bring the teacher from the backbone's C channels to 384 by a fixed orthonormal projection.

    The projection is linear and keeps lengths, so that training in C channels and folding it into the last
    convolution afterwards gives what training in 384 would, for less.
    """
    last = net[-1]
    assert isinstance(last, Conv)
    basis = projection(last.out_channels, CHANNELS, seed).to(last.weight)
    wide = Conv(last.in_channels, CHANNELS, last.kernel_size[0])
    with torch.no_grad():
        wide.weight.copy_(torch.einsum("ok,kchw->ochw", basis, last.weight))
        wide.bias.copy_(basis @ last.bias)
    return place(nn.Sequential(*net[:-1], wide), last.weight.device)


def narrow(path: Path, config: DistillConfig, channels: int) -> nn.Sequential:
    """The network before `widen` of the teacher in a file, to go on from."""
    model = EfficientAD(config.size)
    load_teacher(path, model)
    last = model.teacher[-1]
    assert isinstance(last, Conv)
    basis = projection(channels, CHANNELS, config.seed)
    inverse = basis.T * (channels / CHANNELS)
    net = pdn(config.size, channels)
    net.load_state_dict({
        **model.teacher.state_dict(),
        f"{len(net) - 1}.weight": torch.einsum("ko,ochw->kchw", inverse, last.weight),
        f"{len(net) - 1}.bias": inverse @ last.bias,
    })  # fmt: skip
    return net


def projection(channels: int, out_channels: int, seed: int) -> Tensor:
    """(out_channels, channels) with orthonormal columns, scaled so that unit variance stays unit variance."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.linalg.qr(torch.randn(out_channels, channels, generator=generator))[0]
    return columns * (out_channels / channels) ** 0.5


def _channel_statistics(cache: FeatureCache, photos: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every backbone channel over view 0 of all training photos, each (C,)."""
    total = np.zeros(cache.features.shape[-1])
    squares = np.zeros_like(total)
    for i in photos:
        cells = cache.features[0, i, ::4, ::4].reshape(-1, len(total)).astype(np.float64)
        total += cells.mean(axis=0)
        squares += np.square(cells).mean(axis=0)
    mean = total / len(photos)
    std = np.sqrt(squares / len(photos) - mean**2)
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float().clamp_min(1e-6)


def _batch(
    cache: FeatureCache, photos: np.ndarray, config: DistillConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random crops (B, side, side, 3) uint8 and the backbone's features of their cells (B, cells, cells, C)."""
    cells = config.crop_cells
    crops, target = [], []
    for _ in range(config.batch):
        v, i = rng.integers(cache.images.shape[0]), rng.choice(photos)
        row, column = (int(value) for value in rng.integers(0, GRID - cells + 1, size=2))
        crops.append(crop(cache.images[v, i], row, column, cells))
        target.append(cache.features[v, i, row : row + cells, column : column + cells])
    return np.stack(crops), np.stack(target)
