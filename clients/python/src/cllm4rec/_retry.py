"""Decides whether and when a failed call is repeated. No I/O: both clients ask here."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Optional

import grpc

from .errors import Cllm4recError, DeadlineExceeded, Overloaded
from ._methods import Method
from ._replicas import Replica, Replicas
from ._throttle import Throttle

# Seconds before the first repeat, at most; doubled for each further one.
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
MOST_ATTEMPTS = 10
# The connection broke or nobody is there: another attempt may find somebody.
BROKEN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN})
# A repeat may succeed, wherever it goes.
PASSING = BROKEN | {grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED}


class RetryBudget:
    """Bounds repeats to a share of the calls and a few more, so that they feed no overload."""

    def __init__(self, most: float = 10.0, per_call: float = 0.1) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._per_call = per_call
        self._left = most

    def earn(self) -> None:
        """Counts a call; each ten of them allow one repeat, where nobody says otherwise."""
        with self._lock:
            self._left = min(self._most, self._left + self._per_call)

    def spend(self) -> bool:
        """Takes what one repeat costs; False where nothing is left."""
        with self._lock:
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True


def pause_before(attempt: int, retry_after: Optional[float] = None) -> float:
    """Seconds before an attempt, the first repeat being 1: exponential, half of it by chance, and
    never less than the service asked for."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1))
    pause = random.uniform(longest / 2.0, longest)
    if retry_after is None:
        return pause
    # Spread out, as others were told the same.
    return retry_after * random.uniform(1.0, 1.2) + pause


class Attempts:
    """The attempts of one call, until its deadline.

    A client calls `start` before each attempt and sends it to `replica` with the seconds that
    this returns, then `succeeded`, or `failed`, which raises the error or returns a pause.
    """

    def __init__(
        self,
        method: Method,
        timeout: float,
        replicas: Replicas,
        budget: RetryBudget,
        throttle: Throttle,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._method = method
        self._replicas = replicas
        self._budget = budget
        self._throttle = throttle
        self._now = now
        self._deadline = now() + timeout
        self._n_started = 0
        self._tried: set[Replica] = set()
        self.replica: Optional[Replica] = None

    def start(self) -> tuple[Replica, float]:
        """Chooses where the next attempt goes; returns that and the seconds that it may take.

        Raises:
            Overloaded: the service refuses much of late, and this call is held back.
        """
        if self._n_started == 0:
            self._budget.earn()
            if self._method.is_throttled and not self._throttle.may_send():
                raise Overloaded(
                    "not sent: the service refuses calls, so this client holds some back",
                    is_local=True,
                )
        self._n_started += 1
        self.replica = self._replicas.pick(self._tried)
        return self.replica, max(0.001, self._deadline - self._now())

    def succeeded(self) -> None:
        """Notes that the attempt was answered."""
        assert self.replica is not None
        self.replica.answered()
        self._hear(is_refused=False)

    def failed(self, error: Cllm4recError) -> float:
        """Returns seconds to wait before the next attempt, or raises the error when there is
        to be none."""
        assert self.replica is not None
        self._hear(is_refused=error.code is grpc.StatusCode.RESOURCE_EXHAUSTED)
        if error.code in BROKEN:
            self.replica.broke()
            self._tried.add(self.replica)
        else:
            self.replica.answered()
        if not self._is_worth_repeating(error):
            raise error
        if error.code in BROKEN and self._replicas.has_other(self._tried):
            # As often as there are replicas at most: one that broke is not chosen again soon.
            return 0.0
        pause = pause_before(self._n_started, error.retry_after)
        if self._now() + pause >= self._deadline or not self._budget.spend():
            raise error
        self._tried.clear()
        return pause

    def _is_worth_repeating(self, error: Cllm4recError) -> bool:
        if isinstance(error, DeadlineExceeded) or self._now() >= self._deadline:
            return False
        if not self._method.is_repeatable or error.code not in PASSING:
            return False
        if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is None:
            # A full queue, not a busy moment.
            return False
        return self._n_started < MOST_ATTEMPTS

    def _hear(self, is_refused: bool) -> None:
        if self._method.is_throttled:
            self._throttle.hear(is_refused)
