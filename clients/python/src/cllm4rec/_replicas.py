"""The addresses of one service, asked in turn; one that broke is left alone for a while."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

# Seconds for which a replica is passed over after it broke; doubled each time in a row.
FIRST_REST_S = 0.5
LONGEST_REST_S = 10.0


class Replica:
    """One address with its channel, of grpc or of grpc.aio."""

    def __init__(self, address: str, channel: Any, now: Callable[[], float]) -> None:
        self.address = address
        self.channel = channel
        self._now = now
        self._stubs: dict[Any, Any] = {}
        self._n_broken = 0
        self._rests_until = 0.0

    def stub(self, kind: Callable[[Any], Any]) -> Any:
        """The generated stub of a service on this channel."""
        stub = self._stubs.get(kind)
        if stub is None:
            stub = self._stubs[kind] = kind(self.channel)
        return stub

    def is_resting(self) -> bool:
        """Whether it broke so lately that others are asked first."""
        return self._now() < self._rests_until

    def answered(self) -> None:
        """Notes an answer of any kind: it is there."""
        self._n_broken = 0
        self._rests_until = 0.0

    def broke(self) -> None:
        """Notes that a call found nobody there, or broke off."""
        if self.is_resting():
            # Calls that were under way together count once.
            return
        rest = min(LONGEST_REST_S, FIRST_REST_S * 2.0**self._n_broken)
        self._n_broken += 1
        self._rests_until = self._now() + rest


class Replicas:
    """All addresses of a service; safe to use from several threads."""

    def __init__(
        self,
        channels: Sequence[tuple[str, Any]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = [Replica(address, channel, now) for address, channel in channels]
        self._turn = itertools.count()
        self._lock = threading.Lock()

    def pick(self, tried: set[Replica]) -> Replica:
        """The next one in turn that was not tried and is not resting, where there is one."""
        with self._lock:
            turn = next(self._turn) % len(self.all)
        in_turn = self.all[turn:] + self.all[:turn]
        untried = [one for one in in_turn if one not in tried]
        up = [one for one in untried if not one.is_resting()]
        return (up or untried or in_turn)[0]

    def has_other(self, tried: set[Replica]) -> bool:
        """Whether one is left that was not tried and is not resting."""
        return any(one not in tried and not one.is_resting() for one in self.all)
