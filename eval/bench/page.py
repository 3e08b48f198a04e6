"""What a visitor waits for: the first byte of a cold start, a click on an example, a move of the threshold.

python -m eval.bench.page [--rounds 9]

Starts app.py as its own process and drives it with Debian's chromium through playwright. Medians; the time of the
network is the one that the page reports for the same click.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from typing import TYPE_CHECKING

from eval.browser import URL, browser, served

if TYPE_CHECKING:
    from playwright.sync_api import Page

MILLISECONDS = re.compile(r"(\d+) ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with served() as first_byte, browser() as chromium:
        print(f"cold start to first byte: {first_byte:.1f} s")
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        page.goto(URL)
        page.get_by_label(re.compile("^Thumbnail 2 of")).first.wait_for()
        verdict = page.locator("#verdict")
        waited, network, moved = [], [], []
        for i in range(rounds + 1):  # the first loads the model
            page.wait_for_timeout(1000)
            mark(page)
            clock = time.monotonic()
            page.locator("#examples button").nth(i % 2).click()
            changed(page)
            waited.append(time.monotonic() - clock)
            found = MILLISECONDS.search(verdict.inner_text())
            assert found, "the verdict names the time"
            network.append(int(found[1]) / 1000)
        slider = page.locator("#threshold input[type=range]")
        slider.focus()
        for _ in range(rounds):
            page.wait_for_timeout(500)
            mark(page)
            clock = time.monotonic()
            page.keyboard.press("ArrowRight")
            changed(page)
            moved.append(time.monotonic() - clock)
    rest = [a - b for a, b in zip(waited, network, strict=True)]
    print(f"click on an example to verdict: first {waited[0]:.2f} s, then {statistics.median(waited[1:]):.2f} s,")
    print(f"  of which the network takes {statistics.median(network[1:]):.2f} s", end=", ")
    print(f"the rest {statistics.median(rest[1:]):.2f} s")
    print(f"move of the threshold to verdict: {statistics.median(moved):.2f} s")


def mark(page: Page) -> None:
    """Remember the verdict in view."""
    page.evaluate("window.before = document.querySelector('#verdict .verdict')?.innerText")


def changed(page: Page) -> None:
    """Until another verdict is in view; the overlay comes with it."""
    page.wait_for_function(
        "() => { const now = document.querySelector('#verdict .verdict')?.innerText;"
        " return now && now.includes('Threshold') && now != window.before }"
    )


if __name__ == "__main__":
    main()
