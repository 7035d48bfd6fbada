"""Adds up what bulk calls did."""

from __future__ import annotations

from typing import Any

from .errors import Cllm4recError
from .types import RecordResult

# Unknown items that a result names at most.
MOST_UNKNOWN = 1_000


class Tally:
    """Interactions that were sent, in calls one after another."""

    def __init__(self) -> None:
        self._n_sent = 0
        self._n_recorded = 0
        self._n_calls = 0
        # A dictionary keeps the order.
        self._unknown: dict[str, None] = {}

    def add(self, bulk: list[Any], n_done: int, unknown: Any = ()) -> None:
        """Counts a call that was answered."""
        self._n_sent += len(bulk)
        self._n_recorded += n_done
        self._n_calls += 1
        for item_id in unknown:
            if len(self._unknown) < MOST_UNKNOWN:
                self._unknown[item_id] = None

    def result(self) -> RecordResult:
        """What was done so far."""
        return RecordResult(self._n_sent, self._n_recorded, tuple(self._unknown), self._n_calls)

    def explain(self, error: Cllm4recError) -> None:
        """Tells an error what had been done before it."""
        error.recorded = self.result()
