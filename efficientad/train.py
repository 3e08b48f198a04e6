"""Training per category (paper, Algorithm 1): the student learns the teacher, and the autoencoder, on good images."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from efficientad.config import TrainConfig
from efficientad.nets import CHANNELS, Conv, EfficientAD, convolve
from efficientad.optim import Optimizer
from efficientad.samples import Batch, GoodImages, PenaltyImages, draw
from efficientad.state import load_state, save_state

Log = Callable[[dict[str, float]], None]
Report = Callable[[str, dict[str, float]], None]  # what is being done; "step" and "steps" of it, and more
TIMED_STEPS = 8  # that `steps_for` runs to learn how long one takes
LOG_STEPS = 50
SAVE_SECONDS = 60


def train(
    model: EfficientAD,
    good: GoodImages,
    penalty: PenaltyImages | None,
    config: TrainConfig,
    run: Path,
    log: Log,
    report: Report | None = None,
) -> int:
    """Train the student and autoencoder of `model`, whose teacher and statistics are set, in place.

    Goes on from `run`/state.pt when that exists, and ends with the same weights as a run that was not broken off.
    `log` gets the losses every 50 steps; `report` is called at every step, and may end the run by raising.

    Returns:
        The number of steps of the schedule.
    """
    device = model.mean.device
    path, key = run / "state.pt", dataclasses.asdict(config)
    saved = load_state(path, key)
    steps = saved["steps"] if saved else config.steps or steps_for(model, good, penalty, config)
    optimizer = make_optimizer(model, config, steps)
    start, seconds = 0, 0.0
    if saved:
        model.student.load_state_dict(saved["student"])
        model.autoencoder.load_state_dict(saved["autoencoder"])
        optimizer.load_state_dict(saved["optimizer"])
        start, seconds = saved["step"], saved["seconds"]

    def save(step: int) -> None:
        content = {
            "student": model.student.state_dict(),
            "autoencoder": model.autoencoder.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "steps": steps,
            "seconds": seconds,
        }
        save_state(path, content, key)

    if not saved:
        save(0)  # fixes the number of steps, which was measured
    model.train()
    sums: dict[str, Tensor] = {}
    clock = saved_at = time.monotonic()
    for step in range(start, steps):
        # Dropout takes no generator; seeding by step makes a resumed run draw what an unbroken one would.
        torch.manual_seed(config.seed * 1_000_003 + step)
        batch = draw(good, penalty, config, np.random.default_rng((config.seed, step)), device)
        parts = losses(model, batch, config.hard_quantile)
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step(step)
        sums = {name: sums.get(name, torch.zeros((), device=device)) + value.detach() for name, value in parts.items()}
        now = time.monotonic()
        seconds, clock = seconds + now - clock, now
        row: dict[str, float] = {"step": step + 1, "steps": steps, "seconds": seconds}
        if (step + 1) % LOG_STEPS == 0 or step + 1 == steps:
            count = step % LOG_STEPS + 1
            row |= {k: v.item() / count for k, v in sums.items()}
            log(row)
            sums = {}
            if now - saved_at > SAVE_SECONDS or step + 1 == steps:
                save(step + 1)
                saved_at = now
        if report:
            report("training", row)
    model.eval()
    return steps


def losses(model: EfficientAD, batch: Batch, quantile: float) -> dict[str, Tensor]:
    """The four parts of the loss (Algorithm 1, lines 12 to 24), each a scalar.

    All crops go through the student's shared layers as one batch; each of its two heads is computed only for
    the crops that need it.
    """
    trunk, head = model.student[:-1], model.student[-1]
    assert isinstance(head, Conv)
    weight, bias = head.weight, head.bias
    hidden = trunk(torch.cat([part for part in (batch.crops, batch.penalty) if part is not None]))
    count = len(batch.crops)
    predicted = convolve(hidden, weight[:CHANNELS], bias[:CHANNELS])
    distance = (batch.crop_teacher[batch.for_structure] - predicted[:count][batch.for_structure]).square()
    parts = {"hard": hard_loss(distance, quantile)}
    if batch.penalty is not None:
        parts["penalty"] = predicted[count:].square().mean()
    rebuilt = model.autoencoder(batch.whole)  # (W, 384, 64, 64)
    parts["autoencoder"] = (batch.whole_teacher - rebuilt).square().mean()
    logical = convolve(hidden[:count][batch.for_logic], weight[CHANNELS:], bias[CHANNELS:])
    target = torch.stack([
        rebuilt[i, :, row : row + logical.shape[2], column : column + logical.shape[3]]
        for i, row, column in batch.logic_places
    ])  # fmt: skip
    parts["logical"] = (target - logical).square().mean()
    return parts


def hard_loss(distance: Tensor, quantile: float) -> Tensor:
    """Mean of the squared distances at or above their `quantile` (section 3.2); topk is 7 times faster than a sort."""
    flat = distance.flatten()
    keep = flat.numel() - math.ceil(quantile * (flat.numel() - 1))
    return flat.topk(keep, sorted=False).values.mean()


def make_optimizer(model: EfficientAD, config: TrainConfig, steps: int) -> Optimizer:
    """Of both networks, with the learning rate of each."""
    parts = [(model.student, config.lr), (model.autoencoder, config.autoencoder_lr)]
    return Optimizer(parts, kind=config.optimizer, steps=steps, weight_decay=config.weight_decay)


def steps_for(model: EfficientAD, good: GoodImages, penalty: PenaltyImages | None, config: TrainConfig) -> int:
    """How many steps fit into `config.minutes` on this machine; leaves the weights as they are."""
    assert config.minutes is not None
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, config, steps=TIMED_STEPS)
    times = []
    for step in range(TIMED_STEPS):
        clock = time.monotonic()
        batch = draw(good, penalty, config, np.random.default_rng(step), model.mean.device)
        torch.stack(list(losses(model, batch, config.hard_quantile).values())).sum().backward()
        optimizer.step(step)
        times.append(time.monotonic() - clock)
    model.load_state_dict(before)
    return max(1, round(config.minutes * 60 / float(np.median(times))))
