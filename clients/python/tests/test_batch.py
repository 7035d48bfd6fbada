"""What becomes of users whose request on a stream failed: decisions on a clock that is set by hand,
then both clients against a scorer that refuses as it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

import grpc
import pytest
from services import USERS
from test_decisions import Clock

import cllm4rec
from cllm4rec import _many
from cllm4rec._generated import recommendation_pb2 as pb
from cllm4rec._generated import recommendation_pb2_grpc
from cllm4rec._many import Answer, Batch

OVERLOADED = grpc.StatusCode.RESOURCE_EXHAUSTED
AWAY = grpc.StatusCode.UNAVAILABLE


class Stream:
    """A batch and what a scorer would answer it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.batch = Batch(10, {}, "", 60.0, self.clock)

    def list_for(self, request: pb.BatchRecommendRequest) -> Optional[Answer]:
        response = pb.RecommendResponse(model_version="modelVersions/1")
        return self.batch.take(pb.BatchRecommendResponse(id=request.id, response=response))

    def refuse(
        self,
        request: pb.BatchRecommendRequest,
        delay_s: Optional[float],
        code: grpc.StatusCode = OVERLOADED,
    ) -> Optional[Answer]:
        failure = pb.BatchRecommendResponse.Failure(code=code.value[0], message="no room")
        if delay_s is not None:
            failure.retry_delay.FromMilliseconds(round(delay_s * 1_000))
        return self.batch.take(pb.BatchRecommendResponse(id=request.id, failure=failure))

    def next_repeat(self) -> pb.BatchRecommendRequest:
        """The next request that is sent again, once its time has come."""
        assert self.batch.repeat() is None
        self.clock.now += self.batch.wait_s()
        request = self.batch.repeat()
        assert request is not None
        return request


@pytest.mark.parametrize("code", [OVERLOADED, AWAY])
def test_who_was_refused_is_asked_for_again_after_the_delay_and_not_before(
    code: grpc.StatusCode,
) -> None:
    stream = Stream()
    request = stream.batch.request_for("anna")
    assert stream.refuse(request, 3.0, code) is None
    assert not stream.batch.is_answered()
    stream.clock.now = 2.99
    assert stream.batch.repeat() is None
    again = stream.next_repeat()
    assert 3.0 <= stream.clock.now < 3.8
    assert again.request.user_id == "anna" and again.id != request.id
    answer = stream.list_for(again)
    assert answer is not None and isinstance(answer[1], cllm4rec.Recommendation)
    assert stream.batch.is_answered()


def test_who_may_come_sooner_waits_for_nobody() -> None:
    stream = Stream()
    late, soon = stream.batch.request_for("late"), stream.batch.request_for("soon")
    stream.refuse(late, 20.0)
    stream.refuse(soon, 1.0)
    assert [stream.next_repeat().request.user_id for _ in range(2)] == ["soon", "late"]


def test_who_waits_keeps_a_place_in_the_window() -> None:
    stream = Stream()
    for number in range(_many.WINDOW):
        assert stream.batch.has_room()
        stream.refuse(stream.batch.request_for(f"u{number}"), 5.0)
    assert not stream.batch.has_room(), "users without end do not pile up"


def test_somebody_is_asked_for_ten_times_and_the_error_has_the_last_delay() -> None:
    stream = Stream()
    request = stream.batch.request_for("anna")
    for _ in range(_many.MOST_TIMES - 1):
        assert stream.refuse(request, 0.5) is None
        request = stream.next_repeat()
    answer = stream.refuse(request, 0.75)
    assert answer is not None and answer[0] == "anna"
    assert isinstance(answer[1], cllm4rec.Overloaded) and answer[1].retry_after == 0.75
    assert stream.batch.is_answered()


def test_a_delay_that_is_too_long_is_handed_over_at_once() -> None:
    stream = Stream()
    answer = stream.refuse(stream.batch.request_for("anna"), 31.0, AWAY)
    assert answer is not None and isinstance(answer[1], cllm4rec.Unavailable)
    assert answer[1].retry_after == 31.0


def test_what_a_repeat_cannot_help_is_handed_over_whatever_the_delay() -> None:
    stream = Stream()
    wrong = stream.refuse(stream.batch.request_for("anna"), 0.1, grpc.StatusCode.NOT_FOUND)
    assert wrong is not None and isinstance(wrong[1], cllm4rec.NotFound)


def test_repeats_end_where_no_list_comes_and_each_list_pays_for_one() -> None:
    stream = Stream()
    n_repeats = 0
    for number in range(_many.MOST_REPEATS):
        n_repeats += stream.refuse(stream.batch.request_for(f"u{number}"), 0.1) is None
    assert n_repeats == _many.MOST_REPEATS
    given_up = stream.refuse(stream.batch.request_for("anna"), 0.1)
    assert given_up is not None and isinstance(given_up[1], cllm4rec.Overloaded)
    stream.list_for(stream.batch.request_for("ben"))
    assert stream.refuse(stream.batch.request_for("cleo"), 0.1) is None
    assert stream.refuse(stream.batch.request_for("dora"), 0.1) is not None


def test_an_older_scorer_that_names_no_delay_is_asked_again_more_and_more_slowly() -> None:
    stream = Stream()
    request = stream.batch.request_for("anna")
    assert stream.refuse(request, None) is None
    request = stream.next_repeat()
    assert stream.clock.now == pytest.approx(_many.REST_S)
    while (answer := stream.refuse(request, None)) is None:
        request = stream.next_repeat()
    assert stream.clock.now > 4.0, "it is given some seconds to come back"
    assert isinstance(answer[1], cllm4rec.Overloaded) and answer[1].retry_after is None


def test_who_was_under_way_when_a_stream_broke_goes_first_and_at_once() -> None:
    stream = Stream()
    stream.refuse(stream.batch.request_for("refused"), 5.0)
    stream.batch.request_for("under way")
    stream.batch.broke(cllm4rec.Unavailable("the stream broke"))
    first = stream.batch.repeat()
    assert first is not None and first.request.user_id == "under way"
    assert stream.next_repeat().request.user_id == "refused"


class BusyScorer(recommendation_pb2_grpc.RecommendationServiceServicer):
    """Refuses everybody once, and `never` always, with a delay of its own for them."""

    def __init__(self) -> None:
        self.n_asked = Counter[str]()

    def BatchRecommend(self, requests: Iterable[Any], _: Any) -> Iterator[Any]:
        for one in requests:
            user = one.request.user_id
            self.n_asked[user] += 1
            answer = pb.BatchRecommendResponse(id=one.id)
            if user == "never" or self.n_asked[user] == 1:
                answer.failure.code = OVERLOADED.value[0]
                answer.failure.retry_delay.FromMilliseconds(40_000 if user == "never" else 20)
            else:
                answer.response.model_version = "modelVersions/1"
            yield answer


@pytest.fixture
def busy() -> Iterator[tuple[BusyScorer, str]]:
    scorer = BusyScorer()
    server = grpc.server(ThreadPoolExecutor(4))
    recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(scorer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield scorer, f"127.0.0.1:{port}"
    server.stop(None).wait()


def everybody(address: str) -> dict[str, Any]:
    with cllm4rec.Client(address) as client:
        return dict(client.recommend_many([*USERS, "never"]))


def everybody_with_asyncio(address: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with cllm4rec.AsyncClient(address) as client:
            return {user: found async for user, found in client.recommend_many([*USERS, "never"])}

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [everybody, everybody_with_asyncio])
def test_a_busy_scorer_answers_everybody_but_whom_it_puts_off_for_long(
    busy: tuple[BusyScorer, str], ask: Any
) -> None:
    scorer, address = busy
    found = ask(address)
    assert set(found) == {*USERS, "never"}
    assert isinstance(found["never"], cllm4rec.Overloaded) and found["never"].retry_after == 40.0
    assert all(isinstance(found[user], cllm4rec.Recommendation) for user in USERS)
    assert {scorer.n_asked[user] for user in USERS} == {2} and scorer.n_asked["never"] == 1
