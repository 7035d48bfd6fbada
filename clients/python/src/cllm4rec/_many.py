"""Lists for many users over a stream: what is asked, what is due, what is asked again. No I/O."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

import grpc

from . import _convert, _requests
from ._generated import recommendation_pb2
from ._retry import BROKEN, RetryBudget, pause_before
from .errors import Cllm4recError, DeadlineExceeded, Unavailable, from_failure
from .types import Recommendation

Answer = tuple[str, Union[Recommendation, Cllm4recError]]

# Requests under way: as many as a scorer answers at a time, and as many waiting behind them.
WINDOW = 64
# How often a stream may break without an answer between.
MOST_BREAKS = 8
# Seconds before somebody is asked for again, at least.
REST_S = 0.2
# Seconds that the scorer may ask for; who is to wait for longer is not asked for again.
LONGEST_DELAY_S = 30.0
# How often somebody is asked for.
MOST_TIMES = 10
# Repeats while no list comes: a window may be refused as often as a stream may break.
MOST_REPEATS = WINDOW * MOST_BREAKS
# A user's list may come at another time; a stream may be opened again.
PASSING = BROKEN | {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@dataclass(order=True)
class _Again:
    """Somebody who is to be asked for again, and not before when."""

    at: float
    user: str = field(compare=False)
    n_times: int = field(compare=False)


class Batch:
    """The users who were asked for and not answered; `WINDOW` of them at most."""

    def __init__(
        self,
        k: Optional[int],
        options: Mapping[str, Any],
        catalog: str,
        silence_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = _requests.recommend("", k, options, catalog)
        self._now = now
        self._next_id = 0
        # By the number of their request: who is due, and how often they were asked for.
        self._due: dict[int, tuple[str, int]] = {}
        # A heap: who comes first is at its top.
        self._again: list[_Again] = []
        # Its own, so that calls of the same client keep theirs. A repeat takes a place in the
        # window that somebody new would have, so a list may pay for a whole one.
        self._budget = RetryBudget(MOST_REPEATS, per_call=1.0)
        self._n_breaks = 0
        self._silence_s = silence_s
        self._silent_for = 0.0

    def has_room(self) -> bool:
        """Whether one more user may be asked for."""
        return len(self._due) + len(self._again) < WINDOW

    def is_answered(self) -> bool:
        """Whether nobody is due."""
        return not self._due and not self._again

    def request_for(self, user: str) -> recommendation_pb2.BatchRecommendRequest:
        """The request for somebody new."""
        return self._ask(user, 1)

    def repeat(self) -> Optional[recommendation_pb2.BatchRecommendRequest]:
        """The request for somebody who is to be asked for again, when their time has come."""
        if not self._again or self._again[0].at > self._now():
            return None
        again = heapq.heappop(self._again)
        return self._ask(again.user, again.n_times + 1)

    def wait_s(self) -> float:
        """Seconds that an answer may be waited for, until something else is to be done."""
        left = self._silence_s - self._silent_for
        if self._again:
            left = min(left, self._again[0].at - self._now())
        return max(left, 0.001)

    def waited(self, seconds: float) -> None:
        """Notes that no answer came for so long.

        Raises:
            DeadlineExceeded: answers are due, and none has come for too long.
        """
        if self._due:
            self._silent_for += seconds
        if self._silent_for >= self._silence_s:
            raise DeadlineExceeded(f"no answer on the stream for {self._silence_s:g} s")

    def take(self, message: recommendation_pb2.BatchRecommendResponse) -> Optional[Answer]:
        """Whom a message answers, and how; None where they are asked for again."""
        self._silent_for = 0.0
        asked = self._due.pop(message.id, None)
        if asked is None:
            # Of a stream that broke since.
            return None
        user, n_times = asked
        if message.WhichOneof("result") == "response":
            self._n_breaks = 0
            self._budget.earn()
            return user, _convert.recommendation(message.response)
        error = from_failure(message.failure)
        if not self._is_worth_repeating(error, n_times):
            return user, error
        rest = max(REST_S, pause_before(n_times, error.retry_after))
        self._put_back(user, n_times, self._now() + rest)
        return None

    def broke(self, error: Cllm4recError) -> float:
        """Puts everybody who is due back; returns seconds until the next stream, or raises the
        error when there is to be none."""
        if error.code not in PASSING:
            raise error
        self._n_breaks += 1
        if self._n_breaks > MOST_BREAKS:
            raise error
        self._silent_for = 0.0
        for user, n_times in self._due.values():
            # Not their fault.
            self._put_back(user, n_times - 1, 0.0)
        self._due.clear()
        return pause_before(self._n_breaks, error.retry_after)

    def _is_worth_repeating(self, error: Cllm4recError, n_times: int) -> bool:
        if error.code not in PASSING or n_times >= MOST_TIMES:
            return False
        return (error.retry_after or 0.0) <= LONGEST_DELAY_S and self._budget.spend()

    def _put_back(self, user: str, n_times: int, at: float) -> None:
        heapq.heappush(self._again, _Again(at, user, n_times))

    def _ask(self, user: str, n_times: int) -> recommendation_pb2.BatchRecommendRequest:
        number = self._next_id
        self._next_id += 1
        self._due[number] = (user, n_times)
        request = recommendation_pb2.BatchRecommendRequest(id=number, request=self._request)
        request.request.user_id = user
        return request


def ended_early() -> Cllm4recError:
    """A stream that the scorer closed while answers were due."""
    return Unavailable("the scorer ended the stream")
