"""Reads what `cllm4rec train export` wrote, with the packages that it is for: TensorBoard's own reader and a real MLflow server.

Starts `cllm4rec up` and an MLflow server, trains, exports twice, and compares with the job's record. Run by tests/tracking.sh.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import mlflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from services import ROOT, Services, free_ports, until

JOB = ["finetuning.epochs=3", "pretraining.content_epochs=1", "pretraining.epochs=1", "backbone.random.n_embd=32"]


def checked(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def expected(job: dict) -> dict[tuple[str, int], float]:
    """Each metric with its step, from the job's record."""
    points = {}
    for place, epoch in enumerate(job["progress"]["epochs"]):
        points[f"loss/{epoch['stage']}", epoch["epoch"]] = epoch["loss"]
        if "valid_ndcg_100" in epoch:
            points["validation/ndcg@100", place + 1] = epoch["valid_ndcg_100"]
    for name, value in job["metrics"].items():
        points[f"test/{name}", 0] = value
    return points


def check_tensorboard(folder: Path, points: dict) -> None:
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    read = {}
    for tag in reader.Tags()["scalars"]:
        for event in reader.Scalars(tag):
            assert (tag, event.step) not in read, f"{tag} {event.step} is there twice"
            read[tag, event.step] = event.value
            assert abs(event.wall_time - time.time()) < 3_600, event
    assert read.keys() == points.keys(), read.keys() ^ points.keys()
    for key, value in points.items():
        assert abs(read[key] - value) <= 1e-6 * max(1.0, abs(value)), (key, read[key], value)


def check_mlflow(url: str, job: dict, points: dict) -> None:
    client = mlflow.MlflowClient(url)
    experiment = client.get_experiment_by_name("shop")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1, f"{len(runs)} runs of one job"
    run = runs[0]
    assert run.info.status == "FINISHED", run.info
    assert run.data.tags["cllm4rec.model_version"] == job["model_version"]
    assert run.data.params["finetuning.epochs"] == "3", run.data.params
    read = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            assert (name, metric.step) not in read, f"{name} {metric.step} is there twice"
            read[name, metric.step] = metric.value
    wanted = {(name.replace("@", "_at_"), step): value for (name, step), value in points.items()}
    assert read == wanted, (read, wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/cllm4rec")
    arguments = parser.parse_args()
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, MLFLOW_TRACKING_URI="")
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", f"{folder}/artifacts"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with Services(arguments.binary.resolve(), Path(folder)) as services:
                walk(services, Path(folder), url)
        finally:
            server.terminate()
            server.wait(30)
    print("tracking: TensorBoard and MLflow read what was exported")


def walk(services: Services, folder: Path, url: str) -> None:
    options = [part for field in JOB for part in ("--set", field)]
    checked(services.start("train", "submit", "--data", str(ROOT / "examples/games"), *options))
    job = services.get("/v1/jobs")["jobs"][0]
    until("MLflow answers", 120, lambda: answers(f"{url}/health"))
    export = ["train", "export", "--tensorboard", "runs", "--mlflow", url, "--experiment", "shop"]
    points = expected(job)
    # The second time there is nothing new.
    for _ in range(2):
        told = json.loads(checked(services.start(*export)))
        assert told == {"n_jobs": 1}, told
        check_tensorboard(folder / "runs" / job["name"].removeprefix("jobs/"), points)
        check_mlflow(url, job, points)
    away = services.start("train", "export", "--mlflow", "http://127.0.0.1:1")
    _, err = away.communicate(timeout=60)
    assert away.returncode == 1 and "127.0.0.1:1" in err, err


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
