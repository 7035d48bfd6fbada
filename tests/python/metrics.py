"""Prometheus scrapes `cllm4rec up` during a training and a load: all expressions of the rules find data, `promtool` takes the metrics."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from services import ROOT, Services, free_ports, until

PATIENCE_S = 300
SERVICES = ("scorer", "coordinator", "worker")


def text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def expressions(rules: str) -> list[str]:
    """The metrics that the rules ask for, each with its labels, as selectors of their own."""
    names = r"(?:cllm4rec_|process_|up\b)\w*"
    return sorted(set(re.findall(names + r"(?:\{[^}]*\})?", rules)))


class Prometheus:
    """Debian's Prometheus on a free port, with the project's rules."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        (self.port,) = free_ports(1)
        config = (ROOT / "k8s/monitoring/prometheus.yml").read_text()
        for service, known in zip(SERVICES, (9470, 9471, 9472)):
            config = config.replace(f"127.0.0.1:{known}", f"127.0.0.1:{ports[service]}")
        config = config.replace("5s", "1s").replace("rules.yaml", str(ROOT / "k8s/monitoring/rules.yaml"))
        path = folder / "prometheus.yml"
        path.write_text(config)
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def ask(self, expression: str) -> list:
        query = urllib.parse.urlencode({"query": expression})
        answer = json.loads(text(f"http://127.0.0.1:{self.port}/api/v1/query?{query}"))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def sees(self, services: tuple[str, ...]) -> bool:
        try:
            up = {it["metric"]["job"] for it in self.ask("up == 1")}
        except OSError:
            return False
        return up >= set(services)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/cllm4rec")
    arguments = parser.parse_args()
    ports = dict(zip(SERVICES, free_ports(3)))
    settings = {f"{service.upper()}__METRICS__ADDRESS": f"127.0.0.1:{port}" for service, port in ports.items()}
    wrong = []
    with tempfile.TemporaryDirectory() as folder, \
            Services(arguments.binary.resolve(), Path(folder), settings) as services:
        prometheus = Prometheus(Path(folder), ports)
        try:
            until("Prometheus sees all three", PATIENCE_S, lambda: prometheus.sees(SERVICES))
            training = services.start(
                "train", "submit", "--data", str(ROOT / "examples/games"), "--set", "finetuning.epochs=4",
                "--set", "pretraining.content_epochs=1", "--set", "labels=[\"live\"]")
            assert training.wait(PATIENCE_S) == 0, training.stderr.read()
            until("the scorer serves", 60, lambda: services.serves("player-10"))
            end = time.monotonic() + 10
            while time.monotonic() < end:
                services.serves("player-10")
            for service, port in ports.items():
                scraped = text(f"http://127.0.0.1:{port}/metrics")
                checked = subprocess.run(
                    ["promtool", "check", "metrics"], input=scraped.replace("# EOF\n", ""),
                    text=True, capture_output=True)
                # Notes on names that Prometheus itself has (process_threads) are no faults.
                if checked.returncode not in (0, 3):
                    wrong.append(f"{service}: promtool: {checked.stderr}")
            rules = (ROOT / "k8s/monitoring/rules.yaml").read_text()
            # What went wrong is there once it has: its selectors find nothing in a healthy deployment.
            unhealthy = ("code!~", "RESOURCE_EXHAUSTED", "degraded.")
            for expression in expressions(rules):
                if any(part in expression for part in unhealthy):
                    expression = expression.split("{")[0]
                if not prometheus.ask(expression):
                    wrong.append(f"{expression} finds nothing")
            firing = [it["metric"]["alertname"] for it in prometheus.ask('ALERTS{alertstate="firing"}')]
            if firing:
                wrong.append(f"alerts in a healthy deployment: {firing}")
            rate = float(prometheus.ask("cllm4rec:recommend:rate1m")[0]["value"][1])
            if rate <= 0:
                wrong.append(f"a load of some calls a second is {rate}")
        finally:
            prometheus.process.terminate()
            prometheus.process.wait(30)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"metrics: {len(expressions(rules))} selectors of the rules, {len(wrong)} things wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
