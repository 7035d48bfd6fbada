"""The examples of README.md, run as they are written, one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import TINY_JOB, Cluster, wait_until_live

import cllm4rec

README = Path(__file__).resolve().parent.parent / "README.md"
CUSTOMERS = ["anna", *(f"customer-{number}" for number in range(40))]
PRODUCTS = [f"T-{number}" for number in range(1, 21)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Cluster]:
    """Services with a live model of the exports that the repository's README begins with."""
    products = ["product_id,name,category,price"]
    products += [f"{one},Product {one},Kitchen > Tea,8.50" for one in PRODUCTS]
    (tmp_path / "products.csv").write_text("\n".join(products) + "\n")
    orders = ["order_no,customer_id,product_id,ordered_at,price"]
    for number, customer in enumerate(CUSTOMERS):
        for place in range(8):
            product = PRODUCTS[(number * 3 + place) % len(PRODUCTS)]
            orders.append(f"{len(orders)},{customer},{product},2024-05-0{1 + place}T09:30:00Z,8.50")
    (tmp_path / "orders.csv").write_text("\n".join(orders) + "\n")
    cluster = Cluster(tmp_path)
    try:
        items = f"--items={tmp_path / 'products.csv'}"
        cluster.cli("dataset", "import", tmp_path / "orders.csv", items)
        with cllm4rec.Client(cluster.scorer, cluster.coordinator) as client:
            client.train(TINY_JOB, dataset="orders.csv", labels=["live"]).wait(60)
        wait_until_live(cluster.scorer)
        yield cluster
    finally:
        cluster.end()


def test_the_examples_run_as_they_are_written(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in shop.environment().items():
        if name.startswith("CLLM4REC__"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(shop.folder)
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^1 T-\d+ Product T-\d+ ", printed, re.MULTILINE), printed[:500]
    assert re.search(r"^anna \[", printed, re.MULTILINE), "everybody got a list"
    client = names["client"]
    assert isinstance(client, cllm4rec.Client)
    client.close()
