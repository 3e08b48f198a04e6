"""The demo. python app.py [--host H] [--port P] [--data DIR]"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported, or it calls out
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from efficientad.data import categories
from efficientad.errors import InputError
from efficientad.ui import build
from efficientad.ui.style import CSS, theme
from efficientad.zoo import Zoo


def configured() -> Path | None:
    """The dataset named by the environment."""
    return Path(os.environ["EFFICIENTAD_DATA"]) if os.environ.get("EFFICIENTAD_DATA") else None


demo = build(Zoo(), data=configured())  # lists the models, loads none


def main() -> None:
    parser = argparse.ArgumentParser(description="EfficientAD in the browser.")
    parser.add_argument("--host", help="default: this machine only; 0.0.0.0: reachable from others")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument(
        "--data", type=Path, default=configured(),
        help="dataset in the layout of MVTec AD, for example images (default: $EFFICIENTAD_DATA)",
    )  # fmt: skip
    args = parser.parse_args()
    if args.data is not None:
        try:
            categories(args.data)
        except InputError as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    page = demo if args.data == configured() else build(Zoo(), data=args.data)
    page.launch(
        server_name=args.host, server_port=args.port, theme=theme(), css=CSS, ssr_mode=False,
        max_file_size="20mb", footer_links=["api", "settings"], run_history=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
