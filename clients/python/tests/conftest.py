from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from services import TINY_JOB, Cluster, wait_until_live, write_two_groups  # noqa: E402

import cllm4rec  # noqa: E402


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A coordinator, a worker and a scorer on a Redis."""
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture(scope="session")
def client(cluster: Cluster) -> Iterator[cllm4rec.Client]:
    with cllm4rec.Client(cluster.scorer, cluster.coordinator, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def dataset(cluster: Cluster) -> str:
    """The id of the data set of two groups, with the histories recorded."""
    folder = cluster.folder / "two-groups"
    write_two_groups(folder)
    imported = cluster.cli("dataset", "import", folder, "--seed-histories=train,valid")
    return str(imported["dataset"])


@pytest.fixture(scope="session")
def trained(cluster: Cluster, client: cllm4rec.Client, dataset: str) -> cllm4rec.Job:
    """A job that has succeeded, whose model is live."""
    job = client.train(TINY_JOB, dataset=dataset, labels=["live"])
    job.wait(timeout=120)
    wait_until_live(cluster.scorer)
    return job
