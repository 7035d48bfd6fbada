"""Drives `recommend_many` over streams of grpc.aio."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Optional, Union

import grpc

from . import _methods
from ._many import Answer, Batch, ended_early
from ._replicas import Replicas
from ._retry import BROKEN
from .errors import Cllm4recError, InternalError, Unavailable, from_rpc_error, from_status


class _Users:
    """Users out of an iterable of either kind. At most one is being waited for, also while a
    stream breaks: nobody is lost."""

    def __init__(self, users: Union[Iterable[str], AsyncIterable[str]]) -> None:
        self._plain = iter(users) if isinstance(users, Iterable) else None
        self._async = users.__aiter__() if isinstance(users, AsyncIterable) else None
        self.waiting: Optional[asyncio.Future[list[str]]] = None
        self._are_over = False

    def next_now(self) -> list[str]:
        """The next user alone, where one is there without waiting; nobody otherwise."""
        if self._plain is not None:
            return list(itertools.islice(self._plain, 1))
        if self._are_over:
            return []
        if self.waiting is None:
            self.waiting = asyncio.ensure_future(self._pull())
        if not self.waiting.done():
            return []
        found = self.waiting.result()
        self.waiting = None
        self._are_over = not found
        return found

    def close(self) -> None:
        """Waits for nobody any more."""
        if self.waiting is not None:
            self.waiting.cancel()

    async def _pull(self) -> list[str]:
        assert self._async is not None
        async for user in self._async:
            return [user]
        return []


async def lists_of(
    users: Union[Iterable[str], AsyncIterable[str]],
    batch: Batch,
    replicas: Replicas,
    metadata: tuple[tuple[str, str], ...],
) -> AsyncIterator[Answer]:
    """Opens streams until everybody is answered."""
    source = _Users(users)
    try:
        while True:
            replica = replicas.pick(set())
            # It lasts as long as there are users; silence ends it (`Batch.waited`).
            call = replica.stub(_methods.BATCH_RECOMMEND.stub).BatchRecommend(metadata=metadata)
            answers = _over(call, source, batch)
            try:
                async for answer in answers:
                    replica.answered()
                    yield answer
                return
            except Cllm4recError as error:
                if error.code in BROKEN:
                    replica.broke()
                pause = batch.broke(error)
            finally:
                await answers.aclose()
                call.cancel()
            await asyncio.sleep(pause)
    finally:
        source.close()


async def _over(call: Any, users: _Users, batch: Batch) -> Any:
    """Answers that come over one stream; ends when everybody is answered.

    Raises:
        Cllm4recError: the stream has ended.
    """
    read: Optional[asyncio.Future[Any]] = None
    try:
        while True:
            await _ask(call, users, batch)
            if batch.is_answered() and users.waiting is None:
                return
            if read is None:
                read = asyncio.ensure_future(call.read())
            events: set[asyncio.Future[Any]] = {read}
            if users.waiting is not None and batch.has_room():
                events.add(users.waiting)
            wait = batch.wait_s()
            done, _ = await asyncio.wait(
                events, timeout=wait, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                batch.waited(wait)
            if not read.done():
                continue
            message = await _message_of(call, read)
            read = None
            answer = batch.take(message)
            if answer is not None:
                yield answer
    finally:
        if read is not None:
            read.cancel()


async def _ask(call: Any, users: _Users, batch: Batch) -> None:
    """Sends as many requests as may be under way."""
    while True:
        request = batch.repeat()
        if request is None and batch.has_room():
            found = users.next_now()
            request = batch.request_for(found[0]) if found else None
        if request is None:
            return
        try:
            await call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            why = await _why_ended(call)
            if isinstance(why, InternalError):
                # grpc.aio's own word for a connection that breaks while something is sent.
                why = Unavailable(f"the stream broke: {why.message}")
            raise why from error


async def _message_of(call: Any, read: asyncio.Future[Any]) -> Any:
    """The message that was read; why the stream has ended, where it has."""
    try:
        found = await read
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
    if found is grpc.aio.EOF:
        raise await _why_ended(call)
    return found


async def _why_ended(call: Any) -> Cllm4recError:
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return ended_early()
    return from_status(code, await call.details() or "", await call.trailing_metadata())
