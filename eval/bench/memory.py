"""What keeping freed memory saves (efficientad/memory.py): an inspection and a training step, without and with it.

python -m eval.bench.memory [--rounds N]

Processes of both kinds take turns: an allocator cannot be set back.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import pandas as pd
import torch

from efficientad.detector import Detector
from efficientad.memory import keep_memory
from efficientad.pretrained import available

REPEATS = 7
CROPS = 10  # of a training step on a CPU: eight of good images and two of penalty images


def measure(keep: bool) -> dict[str, float]:
    """Median milliseconds of both, page faults of each, and the largest size of this process in MiB."""
    if keep:
        keep_memory()
    model = Detector.load(available()[0], "cpu").model
    image = torch.randn(1, 3, 256, 256)
    crops = torch.randn(CROPS, 3, 93, 93).contiguous(memory_format=torch.channels_last)

    def inspect() -> None:
        with torch.inference_mode():
            model(image)

    def step() -> None:
        model.student(crops).square().mean().backward()

    row: dict[str, float] = {}
    for name, work in (("inspection", inspect), ("step", step)):
        work()
        faults, times = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, []
        for _ in range(REPEATS):
            clock = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - clock))
        row[f"{name} ms"] = statistics.median(times)
        row[f"{name} faults"] = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / REPEATS
    return row | {"MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=("system", "kept"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure == "kept")))
        return
    rows = []
    for _ in range(options.rounds):
        for kind in ("system", "kept"):
            command = [sys.executable, "-m", "eval.bench.memory", "--measure", kind]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append({"memory": kind, **json.loads(out)})
    frame = pd.DataFrame(rows).groupby("memory", sort=False).median()
    print(frame.to_string(float_format="%.0f"))
    for name in ("inspection ms", "step ms"):
        print(f"{name.split()[0]}: ratio {frame.loc['system', name] / frame.loc['kept', name]:.2f}")


if __name__ == "__main__":
    main()
