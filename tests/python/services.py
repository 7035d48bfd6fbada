"""`cllm4rec up` on free ports in a folder of its own, for programs that try it from outside."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for it in sockets:
        it.bind(("127.0.0.1", 0))
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return ports


class Services:
    """`cllm4rec up` in a folder of its own, and a command line that finds it."""

    def __init__(self, binary: Path, folder: Path, settings: dict[str, str] | None = None) -> None:
        api, workers, scorer, self.port = free_ports(4)
        self.api, self.scorer = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{scorer}"
        self.binary, self.folder = binary, folder
        self.environment = dict(
            os.environ,
            COORDINATOR__API__ADDRESS=f"127.0.0.1:{api}",
            COORDINATOR__WORKERS__ADDRESS=f"127.0.0.1:{workers}",
            SCORER__API__ADDRESS=f"127.0.0.1:{scorer}",
            CONSOLE__PAGES__ADDRESS=f"127.0.0.1:{self.port}",
            CLLM4REC__COORDINATOR__URL=self.api,
            CLLM4REC__SCORER__URL=self.scorer,
            **(settings or {}),
        )
        self.process = subprocess.Popen(
            [binary, "up"], cwd=folder, env=self.environment, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "Services":
        until("the console answers", 60, lambda: self.answers())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.console, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.binary, "--json", *arguments],
            cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def get(self, path: str) -> dict:
        """What the coordinator says over HTTP."""
        with urllib.request.urlopen(f"{self.api}{path}", timeout=10) as answer:
            return json.load(answer)

    def serves(self, user: str) -> bool:
        """Whether the scorer has a list for a user."""
        body = json.dumps({"user_id": user, "k": 1}).encode()
        request = urllib.request.Request(
            f"{self.scorer}/v1/recommend", body, {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return len(json.load(answer)["items"]) == 1
        except (urllib.error.URLError, OSError):
            return False


def until(what: str, seconds: float, check) -> None:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
