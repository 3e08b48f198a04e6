"""The verbs of the command line: options in, files out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from efficientad.errors import InputError
from efficientad.pretrained import PRETRAINED


def distill(options: argparse.Namespace) -> None:
    """Cache the backbone's features, distil, write the teacher and its loss curve."""
    from efficientad import distill as recipe
    from efficientad.backbones import OFFLINE_BACKBONE, load_backbone
    from efficientad.cache import build_cache
    from efficientad.checkpoint import save_teacher, sha256, teacher_name
    from efficientad.data import image_files
    from efficientad.device import pick_device
    from efficientad.runlog import RunLog

    device = pick_device(options.device)
    config = recipe.DistillConfig(
        size=options.size,
        backbone=options.backbone or OFFLINE_BACKBONE,
        seed=options.seed,
        init=sha256(options.init) if options.init else "",
    )
    config = dataclasses.replace(config, steps=options.steps or config.steps)
    photos = image_files(options.photos)
    with tqdm(total=config.views * len(photos), desc="backbone features", unit="view") as bar:
        backbone = load_backbone(config.backbone).to(device)
        folder = options.folder / "cache"
        cache = build_cache(folder, photos, backbone, config.backbone, config.views, config.seed, _advance(bar))
    log = RunLog(options.folder / "log.csv", config.steps)
    teacher = recipe.distill(cache, config, options.folder / "state.pt", device, log, init=options.init)
    out = options.out or PRETRAINED / teacher_name(config.size)
    meta = {**dataclasses.asdict(config), "photos": len(photos), "held_out_loss": log.rows[-1]["held_out"]}
    digest = save_teacher(teacher, out, meta)
    log.copy(out.with_suffix(".csv"))
    print(f"{out}  held-out loss {log.rows[-1]['held_out']:.4f}  sha256 {digest}")
    _reindex(out)


def _advance(bar: tqdm) -> Callable[[int, int], None]:
    def report(done: int, _total: int) -> None:
        bar.update(done - bar.n)

    return report


def train(options: argparse.Namespace) -> None:
    """Train one category on the good images of a folder, calibrate it, write the model file."""
    from efficientad.config import load_config
    from efficientad.data import image_files, train_images
    from efficientad.device import pick_device
    from efficientad.pipeline import train_category

    device = pick_device(options.device)
    config = load_config(options.config, device.type, minutes=options.minutes, steps=options.steps, seed=options.seed)
    out = options.out or PRETRAINED / f"{config.category}.safetensors"
    card = train_category(
        config,
        good=train_images(options.data, config.category),
        penalty=image_files(options.penalty) if options.penalty else [],
        teacher=options.teacher,
        run=options.folder or Path("runs") / f"{config.category}-{config.seed}",
        out=out,
        device=device,
    )
    print(f"{out}  threshold {card.calibration.threshold:.4f}  {card.steps} steps in {card.minutes:.1f} minutes")
    _reindex(out)


def _reindex(out: Path) -> None:
    """Bring pretrained/index.json up to date if `out` lies there; another file's fault does not make a run fail."""
    from efficientad.index import write_index

    if out.resolve().parent == PRETRAINED.resolve():
        try:
            write_index(PRETRAINED)
        except InputError as error:
            print(f"warning: the index of {PRETRAINED} is out of date: {error}", file=sys.stderr)


def index(options: argparse.Namespace) -> None:
    """Write the index of the pretrained models."""
    from efficientad.index import write_index

    print(write_index(PRETRAINED))


def data(options: argparse.Namespace) -> None:
    """Get categories of MVTec AD, unless they are there, and say what to run next."""
    from efficientad import download

    wanted = sorted(set(options.category or download.CATEGORIES))
    missing = download.missing(options.root, wanted)
    for name in wanted:
        if name not in missing:
            print(f"{options.root / name} is already there")
    if missing:
        download.agree(options.accept_licence)
        download.get(options.root, missing, options.archive)
    print("Next:")
    for name in wanted:
        print(f"  python -m efficientad train --config efficientad/configs/{name}.yaml --data {options.root}")
    print(f"  python -m eval tables --data {options.root}")


def predict(options: argparse.Namespace) -> None:
    """Inspect images one by one; a bad image becomes a row with an error, and exit code 2 at the end."""
    from efficientad.batch import inspect_files
    from efficientad.data import image_files
    from efficientad.detector import Detector

    detector = Detector.load(options.category, options.device)
    paths = [f for path in options.images for f in (image_files(path) if path.is_dir() else [path])]
    rows = inspect_files(detector, tqdm(paths, unit="image"), options.out)
    defective = sum(row["defective"] is True for row in rows)
    failed = sum(bool(row["error"]) for row in rows)
    print(f"{len(rows)} images, {defective} defective, {failed} unreadable; {options.out}")
    if failed:
        table = options.out / "predictions.csv"
        raise InputError(f"{failed} of {len(rows)} images could not be read; see the error column in {table}.")
