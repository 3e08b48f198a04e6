"""python -m eval tables | gifs | seeds | reproduce | architecture | screenshots"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from efficientad.errors import InputError
from efficientad.memory import keep_memory

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "eval" / "results"
ASSETS = ROOT / "assets"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0, or 2 with one sentence on stderr for bad input."""
    parser = argparse.ArgumentParser(prog="python -m eval", description="Measure the pretrained models.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, run, out, summary in (
        ("tables", tables, RESULTS, "evaluate models on a dataset: categories.csv and images.csv"),
        ("gifs", gifs, ASSETS, "a GIF for every category, and the demo's examples"),
    ):
        verb = verbs.add_parser(name, help=summary)
        verb.add_argument("--data", type=Path, help="dataset: the folder that contains <category>/test")
        verb.add_argument("--categories", nargs="+", metavar="CATEGORY", help="default: all that have a model")
        verb.add_argument("--out", type=Path, default=out, help="folder to write to (default: eval/results, assets)")
        verb.add_argument("--pretrained", type=Path, help="folder of the models (default: pretrained)")
        verb.set_defaults(run=run)
    seeds_verb = verbs.add_parser("seeds", help="evaluate models of other seeds: seeds.csv")
    seeds_verb.add_argument(
        "--data", type=Path, required=True, help="dataset: the folder that contains <category>/test"
    )
    seeds_verb.add_argument("--models", type=Path, nargs="+", required=True, metavar="FILE", help="model files")
    seeds_verb.add_argument("--out", type=Path, default=RESULTS, help="folder to write to (default: eval/results)")
    seeds_verb.set_defaults(run=seeds)
    whole = verbs.add_parser("reproduce", help="train what has no model yet, then tables and gifs; resumes")
    whole.add_argument("--data", type=Path, help="dataset: the folder that contains <category>/train and test")
    whole.add_argument("--penalty", type=Path, help="folder of natural photos for training")
    whole.add_argument("--minutes", type=float, help="time budget of a training (default: the preset's)")
    whole.add_argument("--categories", nargs="+", metavar="CATEGORY", help="default: all of the dataset")
    whole.set_defaults(run=reproduce, out=None, pretrained=None)
    drawing = verbs.add_parser("architecture", help="draw the figure of the method, assets/efficientad.png")
    drawing.set_defaults(run=architecture)
    shots = verbs.add_parser("screenshots", help="photograph the demo in chromium, assets/app-*.png")
    shots.set_defaults(run=screenshots)
    args = parser.parse_args(argv)
    keep_memory()
    try:
        args.run(args)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def tables(args: argparse.Namespace) -> None:
    """Evaluate, with a progress bar on stderr."""
    models = _models(args)
    # Only now: torch takes seconds to import, too long for --help and for a mistyped option.
    from efficientad.detector import Detector
    from eval.evaluate import evaluate

    with tqdm(unit="image") as bar:
        evaluate(args.data, models, args.out, Detector.load, _advance(bar))
    _rewrite(args.out)
    print(f"Evaluated {', '.join(models)}: see {args.out / 'categories.csv'} and {args.out / 'images.csv'}.")


def seeds(args: argparse.Namespace) -> None:
    """Evaluate model files of other seeds, with a progress bar on stderr."""
    from efficientad.detector import Detector
    from eval.evaluate import evaluate_seeds

    with tqdm(unit="image") as bar:
        evaluate_seeds(args.data, args.models, args.out, Detector.load, _advance(bar))
    _rewrite(args.out)
    print(f"Evaluated {len(args.models)} models: see {args.out / 'seeds.csv'}.")


def _advance(bar: tqdm) -> Callable[[str, int, int], None]:
    def report(category: str, done: int, total: int) -> None:
        bar.total = total
        bar.set_description(category, refresh=False)
        bar.update(done - bar.n)

    return report


def _rewrite(out: Path) -> None:
    """The README shows the committed results, not those written elsewhere."""
    if out == RESULTS:
        from eval.tables import update

        update(ROOT / "README.md", RESULTS)


def gifs(args: argparse.Namespace) -> None:
    """Render, a line for every file."""
    models = _models(args)
    from eval.gallery import update
    from eval.gifs import render

    for path in render(args.data, models, args.out):
        print(path)
    if args.out == ASSETS:
        update(ROOT / "README.md", ASSETS)


def reproduce(args: argparse.Namespace) -> None:
    """Train, evaluate, render; every part keeps what it has done."""
    if args.data is None:
        raise InputError("There is no dataset to train on: pass --data with the folder of <category>/train/good.")
    from efficientad.pretrained import PRETRAINED
    from eval.reproduce import missing, train

    for category in missing(args.data, args.categories, PRETRAINED):
        train(category, args.data, args.penalty, args.minutes, PRETRAINED)
    for part, out in ((tables, RESULTS), (gifs, ASSETS)):
        part(argparse.Namespace(**{**vars(args), "out": out}))


def architecture(args: argparse.Namespace) -> None:
    """Draw the figure of the method."""
    from eval.architecture import render

    print(render(ASSETS / "efficientad.png"))


def screenshots(args: argparse.Namespace) -> None:
    """Photograph the demo, a line for every file."""
    from eval.screenshots import render

    for path in render(ASSETS):
        print(path)


def _models(args: argparse.Namespace) -> dict[str, Path]:
    if args.data is None:
        raise InputError("There is no dataset to evaluate on: pass --data with the folder of <category>/test.")
    from efficientad.pretrained import PRETRAINED
    from eval.evaluate import choose_models

    return choose_models(args.data, args.pretrained or PRETRAINED, args.categories)


if __name__ == "__main__":
    sys.exit(main())
