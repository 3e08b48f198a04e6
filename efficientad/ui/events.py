"""How the page's events run."""

from __future__ import annotations

from typing import Any

# Answers at once, without the network: beside the queue, not for programs.
QUICK: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
