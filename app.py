"""The demo. python app.py [--host H] [--port P] [--data DIR] [--allow-training [--penalty DIR]]"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported, or it calls out
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from efficientad.data import categories, image_files
from efficientad.errors import InputError
from efficientad.memory import keep_memory
from efficientad.ui import build
from efficientad.ui.style import CSS, theme
from efficientad.zoo import Zoo


def configured() -> dict[str, Any]:
    """What the environment says of the page: arguments of `build`."""
    folders = {name: os.environ.get(f"EFFICIENTAD_{name.upper()}") for name in ("data", "penalty")}
    return {
        **{name: Path(folder) if folder else None for name, folder in folders.items()},
        "training": os.environ.get("EFFICIENTAD_TRAINING") == "1",
    }


demo = build(Zoo(), **configured())  # lists the models, loads none


def main() -> None:
    environment = configured()
    parser = argparse.ArgumentParser(description="EfficientAD in the browser.")
    parser.add_argument("--host", help="default: this machine only; 0.0.0.0: reachable from others")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument(
        "--data", type=Path, default=environment["data"],
        help="dataset in the layout of MVTec AD, for example images (default: $EFFICIENTAD_DATA)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-training", action="store_true", default=environment["training"],
        help="visitors may train models, which keeps the machine busy (default: if $EFFICIENTAD_TRAINING is 1)",
    )  # fmt: skip
    parser.add_argument(
        "--penalty", type=Path, default=environment["penalty"],
        help="folder of natural photos, for training (default: $EFFICIENTAD_PENALTY)",
    )  # fmt: skip
    args = parser.parse_args()
    wanted = {"data": args.data, "penalty": args.penalty, "training": args.allow_training}
    try:
        if args.data is not None:
            categories(args.data)
        if args.penalty is not None:
            image_files(args.penalty)
        if args.allow_training and not environment["training"] and os.environ.get("SPACE_ID"):
            raise InputError("On a public Space --allow-training is not enough: set EFFICIENTAD_TRAINING=1 as well.")
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    keep_memory()
    page = demo if wanted == environment else build(Zoo(), **wanted)
    page.launch(
        server_name=args.host, server_port=args.port, theme=theme(), css=CSS, ssr_mode=False,
        max_file_size="100mb", footer_links=["api", "settings"], run_history=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
