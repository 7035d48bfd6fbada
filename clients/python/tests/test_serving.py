"""Lists, scores and histories, against a real scorer."""

from __future__ import annotations

import datetime
import itertools
import subprocess

import pandas
import polars
import pytest
from services import USERS, Cluster, eventually, wait_until_live

import cllm4rec
from cllm4rec import Client, Interaction, NewItem

pytestmark = pytest.mark.usefixtures("trained")
SPACE = {f"i{number:02}" for number in range(10)}
MINUTE = datetime.timedelta(minutes=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=123_000) - MINUTE


def test_a_list_is_of_the_users_group_without_what_they_have(client: Client) -> None:
    found = client.recommend("u0", k=3)
    seen = set(client.history("u0").item_ids)
    assert len(seen) == 7 and seen < SPACE
    assert [item.rank for item in found] == [1, 2, 3]
    assert set(found.item_ids) == SPACE - seen
    assert [item.score for item in found] == sorted((i.score for i in found), reverse=True)
    assert all("space" in item.title for item in found)
    assert found.items[0].source in {"MODEL", "CO_OCCURRENCE", "BOTH"}
    assert found.degradations == () and found.model_version.startswith("modelVersions/")


def test_options_reach_the_scorer(client: Client) -> None:
    seen_too = client.recommend("u0", k=20, exclude_seen=False)
    assert len(seen_too) == 20
    filtered = client.recommend("u0", k=20, filter='"Garden" in categories')
    assert len(filtered) == 10 and not set(filtered.item_ids) & SPACE
    assert [one.kind for one in filtered.degradations] == ["FEWER_THAN_ASKED"]
    first = client.recommend("u0", k=2, exclude_seen=False)
    second = client.recommend("u0", k=2, exclude_seen=False, page_token=first.next_page_token)
    assert first.item_ids + second.item_ids == seen_too.item_ids[:4]
    explained = client.recommend("u0", k=1, explain=True)
    assert {reason.item_id for reason in explained.items[0].reasons} <= SPACE
    asked = client.recommend(k=3, history=["i10", "i11"], label="live", priority="batch")
    assert not set(asked.item_ids) & SPACE
    searched = client.recommend(k=3, query="garden", query_weight=1.0)
    assert not set(searched.item_ids) & SPACE
    new = NewItem("n1", "A space game, part 21", ("Games", "Space"), attributes={"year": 2030})
    with_new = client.recommend("u0", k=20, new_items=[new])
    assert "n1" in with_new.item_ids


def test_scores_come_in_the_order_asked_for(client: Client) -> None:
    scores = client.score("u0", ["i15", "never", "i07"])
    assert [one.item_id for one in scores] == ["i15", "never", "i07"]
    by_id = scores.as_dict()
    assert by_id["never"] is None
    assert by_id["i07"] > by_id["i15"]


def test_similar_items_are_of_the_same_group(client: Client) -> None:
    assert set(client.similar("i03", k=5).item_ids) < SPACE
    assert not set(client.similar(text="garden", k=5).item_ids) & SPACE
    with pytest.raises(cllm4rec.NotFound):
        client.similar("never")


def test_wrong_requests_are_typed_errors_that_name_the_fields(client: Client) -> None:
    for k in (0, -1, 1_001):
        with pytest.raises(cllm4rec.InvalidArgument) as refused:
            client.recommend("u0", k=k)
        assert "k" in [one.field for one in refused.value.field_violations]
    with pytest.raises(cllm4rec.InvalidArgument) as refused:
        client.recommend("u" * 257, k=0, query_weight=0.5)
    fields = {one.field for one in refused.value.field_violations}
    assert {"k", "user_id"} <= fields, "all of them at once"
    with pytest.raises(cllm4rec.NotFound):
        client.recommend("u0", model_version="0" * 32)
    with pytest.raises(TypeError, match="exclude_sen"):
        client.recommend("u0", exclude_sen=False)  # type: ignore[call-arg]


def test_a_list_knows_what_was_recorded_and_forgotten(client: Client) -> None:
    taken = client.recommend("u2", k=1).item_ids[0]
    before = client.history("u2").item_ids
    assert client.record([("u2", taken)]).n_recorded == 1
    assert taken not in client.recommend("u2", k=20).item_ids
    assert client.history("u2", limit=1).item_ids == [taken]
    assert client.forget(client.history("u2", limit=1)) == 1
    assert client.history("u2").item_ids == before
    assert client.recommend("u2", k=1).item_ids[0] == taken


def test_a_repeated_record_changes_nothing(client: Client) -> None:
    event = Interaction("once", "i03", event_id="event-1")
    assert client.record([event]).n_recorded == 1
    assert client.record([event]).n_recorded == 0
    timed = {"user": "once", "item": "i04", "time": NOW}
    assert client.record([timed, timed]).n_recorded == 1
    assert client.record([timed]).n_recorded == 0
    assert client.record([]) == cllm4rec.RecordResult()


@pytest.mark.parametrize("frames", [pandas, polars])
def test_data_frames_are_recorded_by_common_and_by_given_names(
    client: Client, frames: object
) -> None:
    kind = frames.__name__  # type: ignore[attr-defined]
    times = [NOW, NOW + MINUTE / 2, None]
    items = ["i01", "i02", "x"]
    columns: dict[str, list[object]] = {"price": [1, 2, 3], "customer_id": [kind] * 3}
    columns.update({"Product ID": items, "created_at": times})
    frame = frames.DataFrame(columns)  # type: ignore[attr-defined]
    result = client.record(frame)
    assert (result.n_sent, result.n_recorded, result.unknown_item_ids) == (3, 3, ("x",))
    history = client.history(kind)
    assert [one.time for one in history][:2] == times[:2]
    assert history.item_ids == ["i01", "i02", "x"]

    who = f"{kind}-2"
    columns = {"who": [who], "what": ["i05"], "at": [1_600_000_000]}
    seconds = frames.DataFrame(columns)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="name it by user="):
        client.record(seconds)
    client.record(seconds, user="who", item="what", time="at")
    (one,) = client.history(who)
    assert one.time == datetime.datetime(2020, 9, 13, 12, 26, 40, tzinfo=datetime.timezone.utc)


def test_more_than_one_call_can_carry_is_recorded_in_bulks(client: Client) -> None:
    start = datetime.datetime(2020, 1, 1)
    rows = ((f"bulk-{n % 200}", f"i{n % 20:02}", start + n * MINUTE) for n in range(10_001))
    result = client.record(rows)
    assert (result.n_sent, result.n_recorded, result.n_calls) == (10_001, 10_001, 2)
    assert len(client.history("bulk-0")) == 51
    long = (("y" * 250, "x" * 200, start + n * MINUTE) for n in range(9_000))
    assert client.record(long).n_calls == 2, "4 MiB are the most that a scorer takes"


def test_an_error_says_what_had_been_recorded(client: Client) -> None:
    def rows() -> object:
        for number in range(10_000):
            yield f"part-{number % 100}", "i01", 1_600_000_000 + number
        yield "part-0", "", 1_600_000_000

    with pytest.raises(cllm4rec.InvalidArgument) as refused:
        client.record(rows())
    assert refused.value.recorded is not None
    assert refused.value.recorded.n_recorded == 10_000


def test_a_deleted_user_has_no_history(client: Client) -> None:
    client.record([("leaving", "i01")])
    client.delete_user("leaving")
    history = client.history("leaving")
    assert history.item_ids == [] and history.deleted


def test_everybody_gets_the_list_that_they_would_get_alone(client: Client) -> None:
    answers = dict(client.recommend_many(USERS, k=5))
    assert set(answers) == set(USERS)
    for user in USERS[:5]:
        answer = answers[user]
        assert isinstance(answer, cllm4rec.Recommendation)
        assert answer.item_ids == client.recommend(user, k=5).item_ids


def test_one_who_is_refused_does_not_stop_the_others(client: Client) -> None:
    users = ["u0", "u" * 300, "u1"]
    answers = dict(client.recommend_many(users, k=2))
    assert isinstance(answers["u" * 300], cllm4rec.InvalidArgument)
    assert all(isinstance(answers[u], cllm4rec.Recommendation) for u in ("u0", "u1"))


def test_users_without_end_are_taken_as_answers_are(client: Client) -> None:
    n_taken = 0

    def endless() -> object:
        nonlocal n_taken
        for user in itertools.cycle(USERS):
            n_taken += 1
            yield user

    answers = client.recommend_many(endless(), k=1)  # type: ignore[arg-type]
    for n_answers in range(1, 301):
        next(answers)
        assert n_taken <= n_answers + 64
    answers.close()  # type: ignore[attr-defined]


def test_a_wrong_token_and_a_missing_role_are_told_apart(cluster: Cluster) -> None:
    reader = "SCORER__API__TOKENS__SHOP__"
    settings = {
        "SCORER__API__TOKEN": "everything",
        reader + "TOKEN": "reading",
        reader + "ROLES": "recommend",
    }
    _, address = cluster.start_scorer(settings)
    wait_until_live(address, "everything")
    with Client(address, token="wrong") as client, pytest.raises(cllm4rec.Unauthenticated):
        client.recommend("u0")
    with Client(address, token="wrong") as client, pytest.raises(cllm4rec.Unauthenticated):
        list(client.recommend_many(["u0"]))
    with Client(address, token="reading", timeout=20) as client:
        assert len(client.recommend("u0", k=2)) == 2
        with pytest.raises(cllm4rec.PermissionDenied):
            client.record([("u0", "i01")])


def test_tls_is_trusted_by_the_given_authority_alone(cluster: Cluster) -> None:
    certificate, key = cluster.folder / "certificate.pem", cluster.folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = "SCORER__API__TLS__"
    settings = {tls + "CERTIFICATE": str(certificate), tls + "KEY": str(key)}
    _, address = cluster.start_scorer(settings)
    with Client(address, ca=certificate, timeout=20) as client:
        eventually("a live model", lambda: bool(client.status().versions))
        assert len(client.recommend("u0", k=2)) == 2
    for distrustful in (Client(f"https://{address}"), Client(f"http://{address}")):
        with distrustful as client, pytest.raises(cllm4rec.Unavailable):
            client.status(timeout=1)
