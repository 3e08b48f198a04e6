"""python -m efficientad data | distill | train | predict | index"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from efficientad import commands
from efficientad.errors import InputError
from efficientad.memory import keep_memory


def parser() -> argparse.ArgumentParser:
    """The command line; every verb sets `run`, the function that carries it out."""
    main = argparse.ArgumentParser(
        prog="python -m efficientad", description="EfficientAD: learn from good images only."
    )
    verbs = main.add_subparsers(dest="verb", required=True)

    data = verbs.add_parser("data", help="get MVTec AD (5 GB, CC BY-NC-SA 4.0)")
    data.add_argument(
        "--category", nargs="+", action="extend", default=None, metavar="NAME", help="default: all fifteen"
    )
    data.add_argument("--root", type=Path, required=True, help="the dataset's folder; the archive is kept there too")
    data.add_argument("--archive", type=Path, default=None, help="mvtec_anomaly_detection.tar.xz, if you have it")
    data.add_argument("--accept-licence", action="store_true", help="do not ask whether you accept the licence")
    data.set_defaults(run=commands.data)

    distill = verbs.add_parser("distill", help="make a teacher from an ImageNet backbone and natural photos")
    distill.add_argument("--photos", type=Path, required=True, help="folder of natural photos")
    distill.add_argument("--backbone", default=None, help="any timm model; tf_efficientnet_lite2 works offline")
    distill.add_argument("--size", choices=("S", "M"), default="S")
    distill.add_argument("--steps", type=int, default=None)
    distill.add_argument("--init", type=Path, default=None, help="go on from this teacher instead of random weights")
    distill.add_argument("--seed", type=int, default=42)
    distill.add_argument("--run", dest="folder", type=Path, default=Path("runs/teacher"), help="state of the run")
    distill.add_argument("--out", type=Path, default=None, help="default: pretrained/teacher_<size>.safetensors")
    distill.add_argument("--device", default=None)
    distill.set_defaults(run=commands.distill)

    train = verbs.add_parser("train", help="train a category on a folder of good images")
    train.add_argument(
        "--config", "--yaml_config", type=Path, required=True, help="efficientad/configs/<category>.yaml"
    )
    train.add_argument("--data", type=Path, required=True, help="folder with <category>/train/good")
    train.add_argument("--penalty", type=Path, default=None, help="folder of natural photos (ImageNet in the paper)")
    train.add_argument("--minutes", type=float, default=None, help="time budget; on a CPU 60 by default")
    train.add_argument("--steps", type=int, default=None, help="number of steps instead of a time budget")
    train.add_argument("--seed", type=int, default=None)
    train.add_argument("--teacher", type=Path, default=None, help="default: pretrained/teacher_<size>.safetensors")
    train.add_argument("--run", dest="folder", type=Path, default=None, help="default: runs/<category>-<seed>")
    train.add_argument("--out", type=Path, default=None, help="default: pretrained/<category>.safetensors")
    train.add_argument("--device", default=None)
    train.set_defaults(run=commands.train)

    predict = verbs.add_parser("predict", help="inspect images")
    predict.add_argument("images", type=Path, nargs="+", help="images or folders")
    predict.add_argument("--category", required=True, help="a pretrained category or the path of a model file")
    predict.add_argument("--out", type=Path, required=True, help="folder for overlays, predictions.csv and .json")
    predict.add_argument("--device", default=None)
    predict.set_defaults(run=commands.predict)

    index = verbs.add_parser("index", help="write pretrained/index.json, the list of the model files there")
    index.set_defaults(run=commands.index)
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code, 2 for bad input."""
    options = parser().parse_args(arguments)
    keep_memory()
    try:
        options.run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
