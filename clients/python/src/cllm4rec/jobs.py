"""Training jobs: waited for, watched, cancelled, put back into the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Optional

import grpc

from . import _methods, _operations
from ._generated import training_pb2
from ._progress import ProgressLine
from ._watching import Watch, succeeded
from .errors import from_rpc_error
from .models import warn_of
from .training_types import JobEvent, JobInfo

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .client import Client


class _JobBase:
    """What is known of a job, as it was when it was last asked for."""

    def __init__(self, info: JobInfo) -> None:
        self.info = info

    @property
    def name(self) -> str:
        """`jobs/…`"""
        return self.info.name

    @property
    def state(self) -> str:
        """`QUEUED`, `RUNNING`, `CANCELLING`, `SUCCEEDED`, `FAILED` or `CANCELLED`."""
        return self.info.state

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the result, such as `recall@20`; empty until the job has succeeded."""
        return self.info.metrics

    @property
    def model_version(self) -> str:
        """`modelVersions/…` of the result; empty until the job has succeeded."""
        return self.info.model_version

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.state})"


class Job(_JobBase):
    """A training job. Its fields are as last asked for; `refresh` asks again."""

    def __init__(self, client: Client, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    def refresh(self, *, timeout: Optional[float] = None) -> Job:
        """Asks how it is now; returns itself."""
        self.info = self._client._run(_operations.get_job(self.name), timeout)
        return self

    def wait(self, timeout: Optional[float] = None, *, progress: bool = True) -> Job:
        """Waits until it has ended; returns itself.

        Args:
            timeout: seconds; for ever when None.
            progress: write how far it is, in a terminal or a notebook.

        Raises:
            JobFailed: it ended without a model.
            DeadlineExceeded: it has not ended in time; it goes on.
        """
        line = ProgressLine(progress)
        try:
            for event in self.watch(max(self.info.n_events, 1), timeout=timeout):
                line.show(event)
        finally:
            line.end()
        self.refresh()
        succeeded(self.info)
        return self

    def watch(
        self, from_number: int = 0, *, timeout: Optional[float] = None
    ) -> Iterator[JobEvent]:
        """Its events from a number on, then live until it has ended.

        The latest number is repeated with fresher progress. A stream that breaks is opened
        again behind the last event.

        Raises:
            DeadlineExceeded: it has not ended within `timeout` seconds.
            Unavailable: nobody could be reached, ten times in a row.
        """
        watch = Watch(self.name, from_number, timeout)
        method = _methods.WATCH_JOB
        while not watch.has_ended:
            replica = self._client._replicas(method).pick(set())
            stream = replica.stub(method.stub).WatchJob(
                watch.request(),
                timeout=watch.stream_s(),
                metadata=self._client._metadata(method),
            )
            pause = 0.0
            try:
                for message in stream:
                    event = watch.take(message)
                    self.info = event.job
                    yield event
                if not watch.has_ended:
                    pause = watch.stopped(self.refresh().info)
            except grpc.RpcError as error:
                pause = watch.broke(from_rpc_error(error), replica)
            finally:
                stream.cancel()
            time.sleep(pause)

    def cancel(self, *, timeout: Optional[float] = None) -> Job:
        """Asks it to stop: a queued one ends at once, a running one within seconds.

        Raises:
            FailedPrecondition: it has ended already.
        """
        self.info = self._client._run(_operations.cancel_job(self.name), timeout)
        return self

    def retry(self, *, timeout: Optional[float] = None) -> Job:
        """Puts it back into the queue after it failed or was cancelled; it goes on from its last
        checkpoint.

        Raises:
            FailedPrecondition: it is in another state.
        """
        self.info = self._client._run(_operations.retry_job(self.name), timeout)
        return self


class AsyncJob(_JobBase):
    """A training job of an `AsyncClient`; each call as in `Job`."""

    def __init__(self, client: AsyncClient, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    async def refresh(self, *, timeout: Optional[float] = None) -> AsyncJob:
        """As `Job.refresh`."""
        self.info = await self._client._run(_operations.get_job(self.name), timeout)
        return self

    async def wait(
        self, timeout: Optional[float] = None, *, progress: bool = True
    ) -> AsyncJob:
        """As `Job.wait`."""
        line = ProgressLine(progress)
        try:
            async for event in self.watch(max(self.info.n_events, 1), timeout=timeout):
                line.show(event)
        finally:
            line.end()
        await self.refresh()
        succeeded(self.info)
        return self

    async def watch(
        self, from_number: int = 0, *, timeout: Optional[float] = None
    ) -> AsyncIterator[JobEvent]:
        """As `Job.watch`."""
        watch = Watch(self.name, from_number, timeout)
        method = _methods.WATCH_JOB
        while not watch.has_ended:
            replica = self._client._replicas(method).pick(set())
            stream = replica.stub(method.stub).WatchJob(
                watch.request(),
                timeout=watch.stream_s(),
                metadata=self._client._metadata(method),
            )
            pause = 0.0
            try:
                async for message in stream:
                    event = watch.take(message)
                    self.info = event.job
                    yield event
                if not watch.has_ended:
                    pause = watch.stopped((await self.refresh()).info)
            except grpc.RpcError as error:
                pause = watch.broke(from_rpc_error(error), replica)
            finally:
                stream.cancel()
            await asyncio.sleep(pause)

    async def cancel(self, *, timeout: Optional[float] = None) -> AsyncJob:
        """As `Job.cancel`."""
        self.info = await self._client._run(_operations.cancel_job(self.name), timeout)
        return self

    async def retry(self, *, timeout: Optional[float] = None) -> AsyncJob:
        """As `Job.retry`."""
        self.info = await self._client._run(_operations.retry_job(self.name), timeout)
        return self


def jobs(
    client: Client, which: training_pb2.ListJobsRequest, timeout: Optional[float]
) -> Iterator[Job]:
    """Jobs, page by page."""
    client._find_dataset(which, timeout)
    token = ""
    while True:
        operation = _operations.list_jobs(which, token)
        page, token, unreadable = client._run(operation, timeout)
        warn_of(unreadable)
        for info in page:
            yield Job(client, info)
        if not token:
            return


async def async_jobs(
    client: AsyncClient, which: training_pb2.ListJobsRequest, timeout: Optional[float]
) -> AsyncIterator[AsyncJob]:
    """Jobs, page by page."""
    await client._find_dataset(which, timeout)
    token = ""
    while True:
        operation = _operations.list_jobs(which, token)
        page, token, unreadable = await client._run(operation, timeout)
        warn_of(unreadable)
        for info in page:
            yield AsyncJob(client, info)
        if not token:
            return
