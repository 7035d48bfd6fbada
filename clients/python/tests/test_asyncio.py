"""The asyncio client, against the same services: what it shares with `Client` is tested there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from services import SLOW_JOB, TINY_JOB, USERS, Cluster, wait_until_live

import cllm4rec
from cllm4rec import AsyncClient, Job

pytestmark = pytest.mark.usefixtures("trained")
Body = Callable[[AsyncClient], Awaitable[None]]


def run(address: str, coordinator: str, body: Body) -> None:
    async def whole() -> None:
        async with AsyncClient(address, coordinator, timeout=20) as client:
            await asyncio.wait_for(body(client), 60)

    asyncio.run(whole())


def test_calls_go_on_side_by_side(cluster: Cluster) -> None:
    async def body(client: AsyncClient) -> None:
        lists = await asyncio.gather(*(client.recommend(user, k=3) for user in USERS[:8]))
        assert [len(found) for found in lists] == [3] * 8
        assert (await client.score("u0", ["i01"])).scores[0].score is not None
        assert len(await client.similar("i01", k=2)) == 2
        assert (await client.record([("async", "i01", 1_600_000_000)])).n_recorded == 1
        history = await client.history("async")
        assert history.item_ids == ["i01"] and await client.forget(history) == 1
        await client.delete_user("async")
        assert (await client.status()).versions
        with pytest.raises(cllm4rec.InvalidArgument):
            await client.recommend("u0", k=0)

    run(cluster.scorer, cluster.coordinator, body)


def test_everybody_of_an_async_iterable_is_answered_as_they_come(cluster: Cluster) -> None:
    async def body(client: AsyncClient) -> None:
        answered = asyncio.Event()

        async def users() -> AsyncIterator[str]:
            for number, user in enumerate(USERS):
                yield user
                if number == 2:
                    # Answers do not wait for users who are not there yet.
                    await asyncio.wait_for(answered.wait(), 20)

        found = {}
        async for user, answer in client.recommend_many(users(), k=2):
            found[user] = answer
            answered.set()
        assert set(found) == set(USERS)
        plain = [user async for user, _ in client.recommend_many(USERS, k=2)]
        assert sorted(plain) == sorted(USERS)

    run(cluster.scorer, cluster.coordinator, body)


def test_an_async_stream_whose_replica_dies_goes_on_at_the_other(cluster: Cluster) -> None:
    doomed, first = cluster.start_scorer()
    wait_until_live(first)

    async def body(client: AsyncClient) -> None:
        users = [f"{user}-{part}" for part in range(20) for user in USERS]
        answered = []
        async for user, found in client.recommend_many(users, k=3):
            assert isinstance(found, cllm4rec.Recommendation), found
            answered.append(user)
            if len(answered) == 10:
                doomed.kill()
        assert sorted(answered) == sorted(users)

    run(f"{first},{cluster.scorer}", cluster.coordinator, body)


def test_jobs_and_versions_as_in_the_other_client(
    cluster: Cluster, dataset: str, trained: Job
) -> None:
    async def body(client: AsyncClient) -> None:
        job = await client.train(TINY_JOB, dataset=dataset)
        await job.wait(timeout=50)
        assert job.metrics["ndcg@100"] > 0
        slow = await client.train(SLOW_JOB, dataset=dataset)
        await slow.cancel()
        with pytest.raises(cllm4rec.JobFailed):
            await slow.wait(timeout=30)
        listed = [one.name async for one in client.jobs(page_size=1)]
        assert {job.name, slow.name, trained.name} <= set(listed)
        assert (await client.job(job.name)).state == "SUCCEEDED"
        assert f"datasets/{dataset}" in [one.name for one in await client.datasets()]
        with pytest.raises(cllm4rec.NotFound, match="there are: .*two-groups"):
            await client.validate(TINY_JOB, dataset="nothing")
        assert (await client.models.labelled("live")).name == trained.model_version
        labelled = await client.models.promote(job.model_version, label="async")
        assert "async" in labelled.labels
        await client.models.remove_label("async")
        versions = [one.name async for one in client.models.list(page_size=1)]
        assert job.model_version in versions

    run(cluster.scorer, cluster.coordinator, body)
