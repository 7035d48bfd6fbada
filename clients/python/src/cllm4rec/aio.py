"""The client for asyncio: the same calls as `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

import grpc

from . import _datasets, _methods, _operations, _requests, _rows
from ._async_stream import lists_of
from ._core import ClientBase
from ._many import Answer, Batch
from ._operations import Operation
from ._options import InlineItem, RecommendOptions
from ._settings import CHANNEL_OPTIONS
from ._spec import Spec
from ._tally import Tally
from .errors import Cllm4recError, from_rpc_error
from .jobs import AsyncJob, async_jobs
from .models import AsyncModels, warn_of
from .training_types import Dataset, JobInfo, Schedule
from .types import History, Interaction, NewItem, RecordResult, Recommendation, Scores
from .types import ServingStatus

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")


class AsyncClient(ClientBase):
    """A client of a scorer and a coordinator, for one event loop. Each call as in `Client`.

        async with AsyncClient() as client:
            for item in await client.recommend("anna", k=5):
                print(item.rank, item.title)
    """

    async def recommend(
        self,
        user: str = "",
        k: int = 10,
        *,
        timeout: Optional[float] = None,
        **options: Unpack[RecommendOptions],
    ) -> Recommendation:
        """As `Client.recommend`."""
        operation = _operations.recommend(user, k, options, self._catalog)
        return await self._run(operation, timeout)

    def recommend_many(
        self,
        users: Union[Iterable[str], AsyncIterable[str]],
        k: int = 10,
        *,
        timeout: Optional[float] = None,
        **options: Unpack[RecommendOptions],
    ) -> AsyncIterator[Answer]:
        """As `Client.recommend_many`."""
        silence = timeout or _methods.BATCH_RECOMMEND.timeout
        batch = Batch(k, options, self._catalog, silence)
        replicas = self._replicas(_methods.BATCH_RECOMMEND)
        metadata = self._metadata(_methods.BATCH_RECOMMEND)
        return lists_of(users, batch, replicas, metadata)

    async def score(
        self,
        user: str,
        item_ids: Iterable[str],
        *,
        history: Iterable[InlineItem] = (),
        new_items: Iterable[NewItem] = (),
        model_version: Optional[str] = None,
        label: Optional[str] = None,
        catalog: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Scores:
        """As `Client.score`."""
        model = _requests.which_model(model_version, label)
        operation = _operations.score(
            user, item_ids, history, new_items, model, self._in_catalog(catalog)
        )
        return await self._run(operation, timeout)

    async def similar(
        self,
        item_id: Optional[str] = None,
        k: int = 10,
        *,
        text: Optional[str] = None,
        filter: str = "",
        model_version: Optional[str] = None,
        label: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Recommendation:
        """As `Client.similar`."""
        model = _requests.which_model(model_version, label)
        return await self._run(_operations.similar(item_id, text, k, filter, model), timeout)

    async def status(self, *, timeout: Optional[float] = None) -> ServingStatus:
        """As `Client.status`."""
        return await self._run(_operations.status(), timeout)

    async def history(
        self,
        user: str,
        limit: int = 0,
        *,
        catalog: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> History:
        """As `Client.history`."""
        operation = _operations.history(user, limit, self._in_catalog(catalog))
        return await self._run(operation, timeout)

    async def record(
        self,
        data: Any,
        *,
        user: Optional[str] = None,
        item: Optional[str] = None,
        time: Optional[str] = None,
        event_id: Optional[str] = None,
        catalog: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> RecordResult:
        """As `Client.record`."""
        rows = _rows.interactions(data, _rows.Columns(user, item, time, event_id))
        tally = Tally()
        for bulk in _rows.bulks(_rows.with_event_ids(rows)):
            try:
                operation = _operations.record(bulk, self._in_catalog(catalog))
                answer = await self._run(operation, timeout)
            except Cllm4recError as error:
                tally.explain(error)
                raise
            tally.add(bulk, answer.n_recorded, answer.unknown_item_ids)
        return tally.result()

    async def forget(
        self,
        interactions: Iterable[Interaction],
        *,
        catalog: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """As `Client.forget`."""
        tally = Tally()
        for bulk in _rows.bulks(interactions):
            try:
                n_forgotten = await self._run(
                    _operations.forget(bulk, self._in_catalog(catalog)), timeout
                )
            except Cllm4recError as error:
                tally.explain(error)
                raise
            tally.add(bulk, n_forgotten)
        return tally.result().n_recorded

    async def delete_user(
        self, user: str, *, catalog: Optional[str] = None, timeout: Optional[float] = None
    ) -> None:
        """As `Client.delete_user`."""
        await self._run(_operations.delete_user(user, self._in_catalog(catalog)), timeout)

    async def datasets(self, *, timeout: Optional[float] = None) -> list[Dataset]:
        """As `Client.datasets`."""
        datasets, unreadable = await self._run(_operations.list_datasets(), timeout)
        warn_of(unreadable)
        return datasets

    async def train(
        self,
        spec: Optional[Spec] = None,
        *,
        schedule: Optional[Schedule] = None,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
        **fields: Any,
    ) -> AsyncJob:
        """As `Client.train`."""
        operation = _operations.train(spec, fields, request_id, False, schedule)
        await self._find_dataset(operation.request.spec, timeout)
        return AsyncJob(self, await self._run(operation, timeout))

    async def validate(
        self,
        spec: Optional[Spec] = None,
        *,
        schedule: Optional[Schedule] = None,
        timeout: Optional[float] = None,
        **fields: Any,
    ) -> JobInfo:
        """As `Client.validate`."""
        operation = _operations.train(spec, fields, None, True, schedule)
        await self._find_dataset(operation.request.spec, timeout)
        return await self._run(operation, timeout)

    async def job(self, name: str, *, timeout: Optional[float] = None) -> AsyncJob:
        """As `Client.job`."""
        return AsyncJob(self, await self._run(_operations.get_job(name), timeout))

    def jobs(
        self,
        *,
        state: Optional[str] = None,
        dataset: Optional[str] = None,
        label: Optional[str] = None,
        newest_first: bool = False,
        page_size: int = 0,
        timeout: Optional[float] = None,
    ) -> AsyncIterator[AsyncJob]:
        """As `Client.jobs`."""
        which = _operations.job_filter(state, dataset, label, newest_first, page_size)
        return async_jobs(self, which, timeout)

    @property
    def models(self) -> AsyncModels:
        """As `Client.models`."""
        return AsyncModels(self)

    async def close(self) -> None:
        """As `Client.close`."""
        for channel in self._channels():
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _new_channel(self, address: str, credentials: Any) -> Any:
        if credentials is None:
            return grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS)

    async def _find_dataset(self, message: Any, timeout: Optional[float]) -> None:
        """As `Client._find_dataset`."""
        if _datasets.is_display_name(message.dataset):
            datasets, unreadable = await self._run(_operations.list_datasets(), timeout)
            message.dataset = _datasets.called(message.dataset, datasets, len(unreadable))

    async def _run(self, operation: Operation[T], timeout: Optional[float]) -> T:
        """As `Client._run`."""
        method = operation.method
        attempts = self._attempts(method, timeout)
        while True:
            replica, seconds = attempts.start()
            call = getattr(replica.stub(method.stub), method.name)
            try:
                answer = await call(
                    operation.request,
                    timeout=seconds,
                    metadata=self._metadata(method),
                    wait_for_ready=not method.is_repeatable,
                )
            except grpc.RpcError as error:
                pause = attempts.failed(from_rpc_error(error))
            else:
                attempts.succeeded()
                return operation.convert(answer)
            await asyncio.sleep(pause)
