"""What a watch of a job has seen, and whether a broken one goes on. No I/O."""

from __future__ import annotations

import time
from typing import Optional

import grpc

from . import _convert
from ._generated import training_pb2
from ._retry import BROKEN, pause_before
from ._replicas import Replica
from .errors import Cllm4recError, DeadlineExceeded, JobFailed, Unavailable
from .training_types import JobEvent, JobInfo

# Failures in a row that a watch survives; events between forgive them.
MOST_IN_A_ROW = 10
# Seconds for which one stream stays open; then another one goes on.
STREAM_S = 3600.0
PASSING = BROKEN | {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Watch:
    """A job's events from a number on, across as many streams as it takes."""

    def __init__(self, name: str, from_number: int, timeout: Optional[float]) -> None:
        self._name = name
        self._next = from_number
        self._n_failures = 0
        self._deadline = time.monotonic() + timeout if timeout is not None else None
        self.has_ended = False

    def request(self) -> training_pb2.WatchJobRequest:
        """What opens the next stream."""
        return training_pb2.WatchJobRequest(name=self._name, from_number=self._next)

    def stream_s(self) -> float:
        """Seconds that the next stream may last.

        Raises:
            DeadlineExceeded: the watch's own time is over.
        """
        if self._deadline is None:
            return STREAM_S
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{self._name} has not ended in time; it goes on")
        return min(left, STREAM_S)

    def take(self, message: training_pb2.JobEvent) -> JobEvent:
        """An event that came through."""
        event = _convert.event(message)
        self._n_failures = 0
        self._next = event.number + 1
        self.has_ended = event.job.has_ended
        return event

    def stopped(self, job: JobInfo) -> float:
        """Seconds until the next stream after one that ended by itself; the job is as it is now."""
        self.has_ended = job.has_ended
        if self.has_ended:
            return 0.0
        return self._after(Unavailable("the coordinator ended the stream"))

    def broke(self, error: Cllm4recError, replica: Replica) -> float:
        """Seconds until the next stream; raises the error when there is to be none."""
        if error.code in BROKEN:
            replica.broke()
        if isinstance(error, DeadlineExceeded):
            # The stream's own time was over, or the watch's: `stream_s` tells.
            return 0.0
        return self._after(error)

    def _after(self, error: Cllm4recError) -> float:
        self._n_failures += 1
        if error.code not in PASSING or self._n_failures > MOST_IN_A_ROW:
            raise error
        return pause_before(self._n_failures, error.retry_after)


def succeeded(job: JobInfo) -> JobInfo:
    """The job, when it succeeded.

    Raises:
        JobFailed: it ended otherwise.
    """
    if job.state == "SUCCEEDED":
        return job
    why = f": {job.cause}: {job.cause_message}" if job.cause else ""
    raise JobFailed(f"{job.name} is {job.state}{why}", job=job)
