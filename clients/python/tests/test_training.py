"""Jobs and the registry, against a real coordinator and worker."""

from __future__ import annotations

import pytest
from services import SLOW_JOB, TINY_JOB, Cluster, eventually, free_port, wait_for_port

import cllm4rec
from cllm4rec import Client, Job


def test_a_trained_job_has_a_version_with_metrics_beside_those_of_baselines(
    client: Client, trained: Job
) -> None:
    assert trained.state == "SUCCEEDED"
    assert 0 < trained.metrics["ndcg@100"] <= 1
    assert any("ease" in name for name in trained.metrics), sorted(trained.metrics)
    version = client.models.get(trained.model_version)
    assert version.job == trained.name and "live" in version.labels
    assert version.metrics == trained.metrics
    assert version.spec["finetuning"]["epochs"] == 4
    assert client.models.labelled("live").name == version.name


def test_events_come_from_any_number_and_end_with_the_job(trained: Job) -> None:
    events = list(trained.watch())
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].job.state == "SUCCEEDED"
    assert [event.number for event in trained.watch(3)] == [e.number for e in events[2:]]
    assert list(trained.watch(len(events) + 1, timeout=10)) == [], "behind the last one"


def test_a_watch_goes_on_when_the_coordinator_comes_back(
    cluster: Cluster, client: Client, dataset: str, trained: Job
) -> None:
    job = client.train(SLOW_JOB, dataset=dataset)
    try:
        numbers = []
        has_restarted = False
        for event in job.watch(timeout=60):
            numbers.append(event.number)
            if not has_restarted and event.job.state == "RUNNING":
                cluster.coordinator_process.kill()
                cluster.coordinator_process = cluster.start("coordinator")
                wait_for_port(cluster.coordinator)
                has_restarted = True
                job.cancel(timeout=30)
        assert has_restarted and event.job.state == "CANCELLED"
        assert numbers == sorted(numbers) and set(numbers) == set(range(1, numbers[-1] + 1))
    finally:
        if not job.refresh().info.has_ended:
            job.cancel()


def test_a_cancelled_job_is_told_from_one_that_succeeded_and_can_be_retried(
    client: Client, dataset: str, trained: Job
) -> None:
    job = client.train(SLOW_JOB, dataset=dataset)
    with pytest.raises(cllm4rec.DeadlineExceeded):
        job.wait(timeout=0.5)
    assert not job.refresh().info.has_ended, "a wait that ends does not end the job"
    job.cancel()
    with pytest.raises(cllm4rec.JobFailed) as failed:
        job.wait(timeout=30)
    assert failed.value.job is not None and failed.value.job.state == "CANCELLED"
    with pytest.raises(cllm4rec.FailedPrecondition):
        job.cancel()
    assert job.retry().state == "QUEUED"
    job.cancel()
    eventually("it is cancelled again", lambda: job.refresh().info.has_ended)


def test_jobs_are_listed_page_by_page(client: Client, dataset: str, trained: Job) -> None:
    later = cllm4rec.Schedule(after=[trained.name], labels=["nobody-has-this"])
    queued = [client.train(TINY_JOB, dataset=dataset, schedule=later) for _ in range(5)]
    names = {job.name for job in queued}
    assert len(names) == 5, "each call is a job of its own"
    listed = [job.name for job in client.jobs(state="queued", dataset=dataset, page_size=2)]
    assert len(listed) == len(set(listed)) and set(listed) == names
    newest = next(client.jobs(newest_first=True, page_size=1))
    assert newest.name in names
    assert trained.name in [job.name for job in client.jobs(label="live", state="SUCCEEDED")]
    for job in queued:
        assert job.cancel().state == "CANCELLED"


def test_a_data_set_may_be_named_as_people_call_it(
    cluster: Cluster, client: Client, dataset: str, trained: Job
) -> None:
    (known,) = [one for one in client.datasets() if one.name == f"datasets/{dataset}"]
    assert (known.display_name, known.n_users, known.n_items) == ("two-groups", 60, 20)
    assert (known.n_train, known.n_valid, known.n_test) == (360, 60, 60)
    assert known.import_time is not None and known.n_titles == 20
    later = import_another(cluster, "two-groups")
    names = [one.name for one in client.datasets() if one.display_name == "two-groups"]
    assert names == [later, known.name], "the latest first"
    nobody = cllm4rec.Schedule(labels=["nobody-has-this"])
    job = client.train(TINY_JOB, dataset="two-groups", schedule=nobody)
    assert job.info.spec["dataset"] == later
    assert [one.name for one in client.jobs(dataset="two-groups")] == [job.name]
    job.cancel()
    assert client.validate(TINY_JOB, dataset=dataset).spec["dataset"] == known.name
    for ask in (client.train, client.validate):
        with pytest.raises(cllm4rec.NotFound, match="'two-goups'; there are: .*two-groups"):
            ask(TINY_JOB, dataset="two-goups")
    with pytest.raises(cllm4rec.InvalidArgument):
        client.train(TINY_JOB)


def import_another(cluster: Cluster, called: str) -> str:
    """Imports a little other data set; returns its name."""
    rows = ["user_id,item_id"] + [f"a{n % 9},b{n % 7}" for n in range(63)]
    table = cluster.folder / "other.csv"
    table.write_text("\n".join(rows) + "\n")
    imported = cluster.cli("dataset", "import", table, "--name", called, "--seed-histories=none")
    return f"datasets/{imported['dataset']}"


def test_the_same_request_id_is_the_same_job(client: Client, dataset: str) -> None:
    later = cllm4rec.Schedule(labels=["nobody-has-this"])
    first = client.train(TINY_JOB, dataset=dataset, request_id="once", schedule=later)
    second = client.train(TINY_JOB, dataset=dataset, request_id="once", schedule=later)
    assert first.name == second.name
    first.cancel()


def test_what_a_job_would_be_is_checked_without_queueing_it(
    client: Client, dataset: str
) -> None:
    before = [job.name for job in client.jobs()]
    checked = client.validate(TINY_JOB, dataset=dataset)
    assert checked.name == "" and checked.spec["finetuning"]["epochs"] == 4
    assert [job.name for job in client.jobs()] == before


def test_a_wrong_specification_names_its_field(client: Client, dataset: str) -> None:
    with pytest.raises(cllm4rec.InvalidArgument) as refused:
        client.train(dataset=dataset, finetuning={"dropout": 2.0})
    fields = [violation.field for violation in refused.value.field_violations]
    assert any("dropout" in field for field in fields), refused.value
    with pytest.raises(cllm4rec.NotFound):
        client.train(dataset="0" * 32)
    with pytest.raises(TypeError, match="finetuning.epoch"):
        client.train(dataset=dataset, finetuning={"epoch": 2})
    with pytest.raises(ValueError, match="lazy, dense"):
        client.train(dataset=dataset, optimizer="sparse")


def test_labels_move_and_a_labelled_version_is_not_deleted(
    client: Client, trained: Job
) -> None:
    version = client.models.promote(trained.model_version, label="candidate")
    assert set(version.labels) >= {"live", "candidate"}
    with pytest.raises(cllm4rec.FailedPrecondition):
        client.models.delete(trained.model_version)
    client.models.remove_label("candidate")
    assert "candidate" not in client.models.get(trained.model_version).labels
    assert trained.model_version in [one.name for one in client.models.list(page_size=1)]
    for ask in (client.models.get, client.models.delete):
        with pytest.raises(cllm4rec.NotFound):
            ask("0" * 32)
    with pytest.raises(cllm4rec.NotFound):
        client.models.labelled("nobody")


def test_nobody_at_the_address_is_unavailable() -> None:
    with Client(coordinator=f"127.0.0.1:{free_port()}", timeout=1) as client:
        with pytest.raises(cllm4rec.Unavailable):
            client.job("job-1")
