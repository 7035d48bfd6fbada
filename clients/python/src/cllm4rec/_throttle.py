"""Bounds what a client sends to a service that refuses: adaptive throttling.

A refusal costs the service work too, and many refusals leave it no time for answers. So of the
calls that are wanted, the share is sent that makes `MORE` times what is accepted (Site
Reliability Engineering, 2016, ch. 21), as `cllm4rec-load --throttle` does.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

# A call that is so many seconds old counts a third of a new one.
MEMORY_S = 0.5
# Calls that are sent for each one that is accepted.
MORE = 1.5


class Throttle:
    """Says which calls may be sent; safe to use from several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        # Calls of late, those that were not sent too; fades.
        self._wanted = 0.0
        # Calls of late that were not refused; fades.
        self._accepted = 0.0
        self._faded_at = now()
        # Grows with each call that is wanted; one is sent when this has come to one.
        self._share = 0.0

    def may_send(self) -> bool:
        """Counts a call that is wanted and says whether to send it."""
        with self._lock:
            self._fade()
            share = (MORE * self._accepted + 1.0) / (self._wanted + 1.0)
            self._share += min(share, 1.0)
            if self._share < 1.0:
                self._wanted += 1.0
                return False
            self._share -= 1.0
            return True

    def hear(self, is_refused: bool) -> None:
        """Learns what became of a call that was sent."""
        with self._lock:
            self._fade()
            self._wanted += 1.0
            if not is_refused:
                self._accepted += 1.0

    def _fade(self) -> None:
        now = self._now()
        left = math.exp(-(now - self._faded_at) / MEMORY_S)
        self._wanted *= left
        self._accepted *= left
        self._faded_at = now
