"""The log of a long run: a CSV that survives a restart, and one line with an ETA on the screen."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from efficientad.files import write_bytes


class RunLog:
    """Call it with a row that has "step" and "seconds"; steps repeated after a restart replace their old rows."""

    def __init__(self, path: Path, steps: int | None = None) -> None:
        self.path, self.steps = path, steps
        self.rows: list[dict[str, float]] = []
        if path.exists():
            with path.open(newline="") as file:
                self.rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    def __call__(self, row: dict[str, float]) -> None:
        row = dict(row)
        steps = int(row.pop("steps", self.steps or 0))
        self.rows = [old for old in self.rows if old["step"] < row["step"]] + [row]
        names = list(dict.fromkeys(name for old in self.rows for name in old))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for old in self.rows:
            writer.writerow({k: int(v) if k == "step" else f"{v:.6g}" for k, v in old.items()})
        write_bytes(self.path, text.getvalue().encode())
        left = row["seconds"] / row["step"] * (steps - row["step"])
        values = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in ("step", "seconds"))
        print(f"{int(row['step'])}/{steps}  {values}  ETA {clock(left)}", file=sys.stderr, flush=True)

    def copy(self, path: Path) -> None:
        """The log as it stands, to another file."""
        write_bytes(path, self.path.read_bytes())


def clock(seconds: float) -> str:
    """4000 -> '1:06:40'."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
