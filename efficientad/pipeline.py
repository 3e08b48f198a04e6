"""A category from good images to a model file: read, describe, train, calibrate, save."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from efficientad import __version__
from efficientad.calibrate import calibrate, channel_statistics
from efficientad.checkpoint import Card, load_teacher, round_to_stored, save_model, teacher_name
from efficientad.config import TrainConfig
from efficientad.data import content_hash, split_good
from efficientad.device import place
from efficientad.domain import learn, summarise
from efficientad.finish import fit_logical_head
from efficientad.images import load_image, normalize, shrink
from efficientad.nets import EfficientAD, Maps
from efficientad.pretrained import PRETRAINED
from efficientad.runlog import RunLog
from efficientad.samples import GoodImages, load_penalty, photometric_views, teacher_outputs
from efficientad.start import start_principal
from efficientad.train import Report, train

Item = TypeVar("Item")
NATURAL = 50  # photos that say how far from the good images something else lies


def train_category(
    config: TrainConfig,
    *,
    good: list[Path],
    penalty: list[Path],
    teacher: Path | None,
    run: Path,
    out: Path,
    device: torch.device,
    report: Report | None = None,
) -> Card:
    """Train on 90 % of the `good` images, calibrate on the rest, write `out`; the same call resumes a broken run.

    Without `penalty` images the student may learn to describe defects too: a warning is given and the model
    file records their number. `report` is called at every image and every step of training; what it raises ends
    the run.

    Raises:
        InputError: unreadable images, fewer than ten good ones, no teacher, or a run folder of another run.
    """
    model = EfficientAD(config.size)
    digest = load_teacher(teacher or PRETRAINED / teacher_name(config.size), model)
    if not penalty:
        warnings.warn(
            "No penalty images: pass --penalty FOLDER with natural photos, or defects may be overlooked.",
            stacklevel=2,
        )
    training, held_out = split_good(good, seed=42)
    images = read(training, "good images", report)
    model = place(model, device)
    outputs, mean, std, summaries = _describe(model, images, config, run, report)
    model.mean.copy_(mean)
    model.std.copy_(std)
    views = photometric_views(images, config.photometric_copies if outputs is not None else 0, config.seed)
    natural = elsewhere = None
    if penalty:
        natural = load_penalty(penalty, config.seed, lambda paths: _progress(paths, "penalty images", report))
        photos = read(penalty[:: -(-len(penalty) // NATURAL)], "natural photos", report)
        elsewhere = torch.stack([_summary(each) for each in teacher_outputs(model, photos)])
    if report:
        report("start", {"step": 0, "steps": 1})
    initialise(model, images, config)
    log = RunLog(run / "log.csv")
    steps = train(model, GoodImages(views, outputs, model), natural, config, run, log, report)
    if config.logical_fit_cells:
        index = np.arange(len(images))
        seen = views[index % len(views), index]  # each image in one of its views: a third of the time, as many patches
        each = max(1, config.logical_fit_cells // len(seen))
        generator = torch.Generator().manual_seed(config.seed)
        fit_logical_head(model, _progress(seen, "logical head", report), each, generator)
    round_to_stored(model)
    found = maps(model, read(held_out, "calibration", report))
    card = Card(
        category=config.category,
        size=config.size,
        calibration=calibrate(found.structural, found.logical, config.logical_weight),
        domain=learn(summaries, found.summary, elsewhere),
        config=dataclasses.asdict(config),
        data_hash=content_hash(good),
        good_images=len(good),
        penalty_images=len(penalty),
        steps=steps,
        minutes=round(log.rows[-1]["seconds"] / 60, 1),
        teacher=digest,
        code_version=__version__,
        torch_version=torch.__version__,
    )
    save_model(model, card, out)
    return card


def read(paths: list[Path], label: str, report: Report | None = None) -> NDArray[np.uint8]:
    """(N, 256, 256, 3) uint8."""
    return np.stack([shrink(load_image(path)) for path in _progress(paths, label, report)])


def maps(model: EfficientAD, images: NDArray[np.uint8]) -> Maps:
    """What the networks make of (N, 256, 256, 3) images, on the CPU.

    One image at a time, as the detector does it: rounding may differ between batch sizes.
    """
    model.eval()
    found = []
    for image in images:
        with torch.inference_mode():
            found.append(model(normalize(torch.from_numpy(image[None]).to(model.mean.device))))
    parts = zip(*((m.structural, m.logical, m.summary) for m in found), strict=True)
    return Maps(*(torch.cat(part).cpu() for part in parts))


def _describe(
    model: EfficientAD, images: NDArray[np.uint8], config: TrainConfig, run: Path, report: Report | None
) -> tuple[NDArray[np.float16] | None, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The teacher on every view, kept in `run`/teacher.npy (None with no cached copies).

    Then its channel statistics, mean and deviation, and the (N, 768) summaries of the images.
    """
    summaries: list[torch.Tensor] = []

    def noted(cells: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:  # (64, 64, 384) each
        for each in cells:
            summaries.append(_summary(each))
            yield each

    if not config.photometric_copies:
        mean, std = channel_statistics(noted(teacher_outputs(model, _progress(images, "teacher", report))))
        return None, mean, std, torch.stack(summaries)
    path = run / "teacher.npy"
    views = photometric_views(images, config.photometric_copies, config.seed)
    shape = (*views.shape[:2], 64, 64, 384)
    if not path.exists():
        run.mkdir(parents=True, exist_ok=True)
        partial = run / "teacher.part.npy"
        outputs = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        flat = views.reshape(-1, *views.shape[2:])
        for i, described in enumerate(teacher_outputs(model, _progress(flat, "teacher", report))):
            outputs[divmod(i, shape[1])] = described.half().cpu().numpy()
        outputs.flush()
        partial.rename(path)
    outputs = np.lib.format.open_memmap(path, mode="r")
    mean, std = channel_statistics(noted(torch.from_numpy(np.array(cells)) for cells in outputs[0]))
    return outputs, mean, std, torch.stack(summaries)


def _summary(cells: torch.Tensor) -> torch.Tensor:
    """(64, 64, 384) -> (768,), on the CPU."""
    return summarise(cells.permute(2, 0, 1)[None])[0].cpu()


def initialise(model: EfficientAD, images: NDArray[np.uint8], config: TrainConfig) -> None:
    """The weights that training starts from, drawn from `config.seed`; `images` are (N, 256, 256, 3) good ones."""
    torch.manual_seed(config.seed)
    for part in (model.student, model.autoencoder):
        for module in part.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.reset_parameters()
    if config.start_rank:
        start_principal(model, images, config.start_rank, torch.Generator().manual_seed(config.seed))


def _progress(items: Collection[Item], label: str, report: Report | None) -> Iterator[Item]:
    for i, item in enumerate(tqdm(items, desc=label, unit="image")):
        if report:
            report(label, {"step": i, "steps": len(items)})
        yield item
