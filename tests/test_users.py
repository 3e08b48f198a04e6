"""Twenty people at once: everyone gets the answer to their own image, and knows their place in the queue."""

from __future__ import annotations

import app  # noqa: F401 - first: it sets the environment flags that gradio reads when it is imported

# isort: split
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

from efficientad.detector import Detector
from efficientad.ui import build
from efficientad.zoo import Zoo

from .conftest import TinyWorld, dots

USERS = 20


def test_twenty_users_get_their_own_answers(tiny: TinyWorld, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(tiny.teacher, models)
    for name in ("dots", "spots"):
        shutil.copy(tiny.model, models / f"{name}.safetensors")
    rng = np.random.default_rng(1)
    photos = [tmp_path / f"{i}.png" for i in range(USERS)]
    for i, path in enumerate(photos):
        picture = (dots(rng, 128) * (0.3 + 0.03 * i)).astype(np.uint8)  # everyone's is another
        Image.fromarray(picture).save(path)
    detector = Detector.load(models / "dots.safetensors")
    expected = [round(detector.predict(path).score, 4) for path in photos]
    assert len(set(expected)) == USERS

    demo = build(Zoo(pretrained_dir=models))
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_name="127.0.0.1")
    try:
        clients = [Client(address, verbose=False, analytics_enabled=False) for _ in photos]

        def inspect(i: int) -> tuple[dict[str, Any], int]:
            category = ("dots", "spots")[i % 2]
            job = clients[i].submit(image=handle_file(photos[i]), category=category, api_name="/inspect")
            rank = 0
            while not job.done():
                rank = max(rank, job.status().rank or 0)
                time.sleep(0.05)
            return job.result()[0], rank

        with ThreadPoolExecutor(USERS) as pool:
            answers = list(pool.map(inspect, range(USERS)))
    finally:
        demo.close()
    assert [decision["score"] for decision, _ in answers] == expected
    assert max(rank for _, rank in answers) >= 2  # those who waited were told how many were before them
