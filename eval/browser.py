"""The demo in a real browser: app.py as its own process, and Debian's chromium, which playwright drives."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from efficientad.errors import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
PORT = 7899
URL = f"http://127.0.0.1:{PORT}/"
FLAGS = [  # as root and without a screen; no calls home
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def served(*arguments: str) -> Iterator[float]:
    """app.py at URL, with these command-line arguments; yields the seconds until its first byte."""
    clock = time.monotonic()
    command = [sys.executable, "app.py", "--port", str(PORT), *arguments]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not _answers():
            if server.poll() is not None:
                raise InputError(f"The demo did not start on port {PORT}: see the message above.")
            time.sleep(0.05)
        yield time.monotonic() - clock
    finally:
        server.terminate()
        server.wait()


def _answers() -> bool:
    try:
        urllib.request.urlopen(URL, timeout=5).read(1)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless chromium. Raises InputError if it or playwright is not installed."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError("There is no playwright: pip install -r requirements-dev.txt") from error
    if not chromium:
        raise InputError("There is no chromium: apt-get install chromium")
    with sync_playwright() as browsers:
        yield browsers.chromium.launch(executable_path=chromium, args=FLAGS)
