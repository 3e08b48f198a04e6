"""The demo as a Hugging Face Space runs it: the front matter of the README, and a start without network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

# Loaded by Python at its start: every look-up or connection beyond this machine is noted and fails.
NO_NETWORK = """
import os, socket

def outside(host):
    return host not in (None, "", "localhost", "127.0.0.1", "0.0.0.0", "::1", b"localhost", b"127.0.0.1")

def refuse(host):
    with open(os.environ["NETWORK_LOG"], "a") as log:
        log.write(f"{host}\\n")
    raise OSError(f"no network: {host}")

look_up, connect = socket.getaddrinfo, socket.socket.connect

def getaddrinfo(host, *args, **kwargs):
    return refuse(host) if outside(host) else look_up(host, *args, **kwargs)

def connected(self, address):
    return refuse(address[0]) if isinstance(address, tuple) and outside(address[0]) else connect(self, address)

socket.getaddrinfo, socket.socket.connect = getaddrinfo, connected
"""


def front_matter() -> dict[str, str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_front_matter_agrees_with_the_requirements() -> None:
    matter = front_matter()
    assert matter["sdk"] == "gradio" and (ROOT / matter["app_file"]).is_file()
    assert matter["python_version"] == "3.12"  # of what ZeroGPU offers, the newer one
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    requirements = {r.name: r for r in map(Requirement, filter(None, lines))}
    assert requirements["gradio"].specifier.contains(matter["sdk_version"])
    assert requirements["torch"].specifier.contains("2.8.0")  # the oldest that ZeroGPU has


def test_a_space_starts_offline(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "network.log"
    environment = {
        **os.environ,
        "SPACE_ID": "somebody/efficientad",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "NETWORK_LOG": str(log),
    }
    output = tmp_path / "output"
    with output.open("w") as stream:
        command = [sys.executable, str(ROOT / front_matter()["app_file"])]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=stream, stderr=subprocess.STDOUT)
    try:
        answer = _wait(f"http://127.0.0.1:{port}/", process, output)
        assert "EfficientAD" in answer
        config = httpx.get(f"http://127.0.0.1:{port}/config", timeout=60).json()
        assert config["space_id"] == "somebody/efficientad" and not config["analytics_enabled"]
    finally:
        process.terminate()
        process.wait(30)
    assert not log.exists(), f"the app called out: {log.read_text()}"


def _wait(url: str, process: subprocess.Popen[bytes], output: Path, seconds: float = 300) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()
        try:
            return httpx.get(url, timeout=60).raise_for_status().text
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"no answer after {seconds} s: {output.read_text()}")
