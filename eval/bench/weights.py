"""How much the logical map should count: AUROC by its share of the anomaly map. A source of docs/training.md.

python -m eval.bench.weights --data DIR --models runs/presets/cookie-fit/cookie.safetensors ...

For models of the development sets, such as `eval.bench.presets` leaves behind.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pandas as pd

from efficientad.calibrate import combine
from efficientad.checkpoint import load_model
from efficientad.data import test_samples
from efficientad.pretrained import PRETRAINED
from eval.bench.presets import auroc, look

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--teacher", type=Path, default=PRETRAINED / "teacher_s.safetensors")
    options = parser.parse_args()
    rows = []
    for path in options.models:
        model, card = load_model(path, options.teacher)
        seen = look(model, test_samples(options.data, card.category))
        for share in SHARES:
            calibration = dataclasses.replace(card.calibration, logical_weight=share)
            found = auroc(combine(seen.structural, seen.logical, calibration), seen)
            rows.append({"category": card.category, "share": share, **found})
    frame = pd.DataFrame(rows)
    print(frame.to_string(index=False, float_format="%.3f"))
    print(frame.groupby("share")[["image", "pixel"]].mean().to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
