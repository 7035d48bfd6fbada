"""Real services for the tests: a Redis, a coordinator, a worker and scorers on free ports."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import grpc

import cllm4rec

REPOSITORY = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("CLLM4REC_BIN") or REPOSITORY / "target" / "debug")
# Seconds for a process to start on a busy machine.
START_S = 60.0

TINY_JOB = {
    "backbone.random.n_embd": 32,
    "backbone.random.n_layer": 1,
    "backbone.random.n_head": 2,
    "backbone.random.n_positions": 32,
    "pretraining.documents_per_epoch": 20,
    "pretraining.epochs": 1,
    "finetuning.epochs": 4,
}
# Goes on until somebody stops it.
SLOW_JOB = {**TINY_JOB, "finetuning.epochs": 10_000, "evaluation.patience": 0}
USERS = [f"u{number}" for number in range(60)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(what: str, ask: Callable[[], Any], seconds: float = START_S) -> Any:
    """Asks again until there is an answer that is not None or False."""
    deadline = time.monotonic() + seconds
    while True:
        found = ask()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


class Process:
    """A child that ends with the test."""

    def __init__(self, command: list[Any], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


class Cluster:
    """One deployment below one folder."""

    def __init__(self, folder: Path) -> None:
        assert (BIN / "scorer").exists(), f"no binaries in {BIN}: build them or set CLLM4REC_BIN"
        self.folder = folder
        self.processes: list[Process] = []
        self.redis = free_port()
        self.coordinator = f"127.0.0.1:{free_port()}"
        self.workers = f"127.0.0.1:{free_port()}"
        self.scorer = f"127.0.0.1:{free_port()}"
        self._start_redis()
        self.coordinator_process = self.start("coordinator")
        self.start("worker")
        self.start("scorer")
        wait_for_port(self.coordinator)
        wait_for_port(self.scorer)

    def _start_redis(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed"
        command = [program, "--port", self.redis, "--save", "", "--dir", self.folder]
        self.processes.append(Process(command, {}, self.folder / "redis.log"))
        wait_for_port(f"127.0.0.1:{self.redis}")

    def environment(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for service in ("COORDINATOR", "WORKER", "SCORER", "CLLM4REC"):
            storage = f"{service}__STORAGE__"
            found[storage + "STORE"] = f"redis://127.0.0.1:{self.redis}"
            found[storage + "ALLOW_VOLATILE_STORE"] = "true"
            found[storage + "ARTIFACTS"] = str(self.folder / "artifacts")
            found[f"{service}__LOG__FILTER"] = "warn"
        found["COORDINATOR__API__ADDRESS"] = self.coordinator
        found["COORDINATOR__WORKERS__ADDRESS"] = self.workers
        found["WORKER__COORDINATOR__URL"] = f"http://{self.workers}"
        found["WORKER__BACKBONE_ROOT"] = str(self.folder / "backbones")
        found["WORKER__SCRATCH"] = str(self.folder / "scratch")
        found["WORKER__HEARTBEAT_MS"] = "200"
        found["SCORER__API__ADDRESS"] = self.scorer
        found["SCORER__FOLLOW_MS"] = "100"
        found["CLLM4REC__COORDINATOR__URL"] = f"http://{self.coordinator}"
        found["CLLM4REC__SCORER__URL"] = f"http://{self.scorer}"
        return found

    def start(self, name: str, settings: Optional[dict[str, str]] = None) -> Process:
        log = self.folder / f"{name}-{len(self.processes)}.log"
        process = Process([BIN / name], {**self.environment(), **(settings or {})}, log)
        self.processes.append(process)
        return process

    def start_scorer(self, settings: Optional[dict[str, str]] = None) -> tuple[Process, str]:
        """One more scorer, on a port of its own."""
        address = f"127.0.0.1:{free_port()}"
        own = {"SCORER__API__ADDRESS": address, **(settings or {})}
        process = self.start("scorer", own)
        wait_for_port(address)
        return process, address

    def cli(self, *arguments: Any) -> Any:
        """Runs the command line; returns the JSON of its last line."""
        command = [str(one) for one in (BIN / "cllm4rec", "--json", *arguments)]
        environment = {**os.environ, **self.environment()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()


def wait_for_port(address: str) -> None:
    """Waits until somebody listens."""
    host, _, port = address.rpartition(":")

    def listens() -> bool:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    eventually(f"a service at {address}", listens)


def wait_until_live(address: str, token: str = "") -> None:
    """Waits until a scorer serves a model as `live`."""
    with cllm4rec.Client(address, token=token) as client:

        def is_live() -> bool:
            try:
                versions = client.status().versions
            except cllm4rec.Unavailable:
                return False
            return any("live" in version.labels for version in versions)

        eventually(f"a live model at {address}", is_live)


def write_two_groups(folder: Path) -> None:
    """Thirty users and ten items in each of two groups; a user has eight of the ten items of
    their group, the last one held out for the test."""
    folder.mkdir(parents=True)
    rows = ["user_id,item_id,timestamp,split"]
    for user in range(60):
        for place in range(8):
            item = (user % 2) * 10 + (user // 2 + place) % 10
            split = {6: "valid", 7: "test"}.get(place, "train")
            rows.append(f"u{user},i{item:02},{place},{split}")
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    items = []
    for item in range(20):
        kind = "Space" if item < 10 else "Garden"
        fields = {
            "item_id": f"i{item:02}",
            "title": f"A {kind.lower()} game, part {item}",
            "categories": ["Games", kind],
            "year": 2000 + item,
        }
        items.append(json.dumps(fields))
    (folder / "items.jsonl").write_text("\n".join(items) + "\n")


def codes(errors: list[BaseException]) -> list[grpc.StatusCode]:
    return [getattr(error, "code", None) for error in errors]
