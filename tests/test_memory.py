"""Freed memory is kept: the next tensor touches pages that the process has already."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

TENSORS, PAGES = 10, 64 * 2**20 // 4096  # of 64 MiB each
PROGRAM = f"""
import resource, sys, torch
from efficientad.memory import keep_memory
kept = sys.argv[1] == "kept" and keep_memory()
for _ in range(2 * {TENSORS}):  # glibc's small caches fill first: until then every tensor gets new pages
    torch.ones(16 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({TENSORS}):
    torch.ones(16 * 2**20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keep_memory does something on glibc only")
def test_a_freed_tensor_leaves_its_pages_to_the_next() -> None:
    faults = {}
    for kind, kept in (("system", "False"), ("kept", "True")):
        run = subprocess.run([sys.executable, "-c", PROGRAM, kind], check=True, capture_output=True, text=True)
        answer, count = run.stdout.split()
        assert answer == kept
        faults[kind] = int(count)
    assert faults["kept"] < PAGES < faults["system"]
