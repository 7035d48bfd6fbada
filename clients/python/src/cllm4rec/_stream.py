"""Drives `recommend_many` over streams that block."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Optional, Union

import grpc

from . import _methods
from ._many import Answer, Batch, ended_early
from ._replicas import Replica, Replicas
from ._retry import BROKEN
from .errors import Cllm4recError, from_rpc_error


def lists_of(
    users: Iterator[str],
    batch: Batch,
    replicas: Replicas,
    metadata: tuple[tuple[str, str], ...],
) -> Iterator[Answer]:
    """Opens streams until everybody is answered."""
    while True:
        replica = replicas.pick(set())
        stream = _Stream(replica, metadata)
        try:
            yield from _over(stream, users, batch)
            return
        except Cllm4recError as error:
            if error.code in BROKEN:
                replica.broke()
            pause = batch.broke(error)
        finally:
            stream.close()
        time.sleep(pause)


def _over(stream: _Stream, users: Iterator[str], batch: Batch) -> Iterator[Answer]:
    """Answers that come over one stream; ends when everybody is answered."""
    while True:
        request = batch.repeat()
        if request is None and batch.has_room():
            request = _next_request(users, batch)
        if request is not None:
            stream.send(request)
        elif batch.is_answered():
            return
        wait = 0.0 if request is not None else batch.wait_s()
        message = stream.take(wait)
        if message is None:
            batch.waited(wait)
            continue
        answer = batch.take(message)
        if answer is not None:
            yield answer


def _next_request(users: Iterator[str], batch: Batch) -> Optional[Any]:
    """The request for the next user; None when there is nobody left."""
    for user in users:
        return batch.request_for(user)
    return None


class _Stream:
    """One stream, of which the answers are read by a thread of its own: a thread that sends
    must not wait for them."""

    def __init__(self, replica: Replica, metadata: tuple[tuple[str, str], ...]) -> None:
        self._replica = replica
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Union[Any, Cllm4recError]] = queue.SimpleQueue()
        stub = replica.stub(_methods.BATCH_RECOMMEND.stub)
        # It lasts as long as there are users; silence ends it (`Batch.waited`).
        self._call = stub.BatchRecommend(iter(self._requests.get, None), metadata=metadata)
        self._reader = threading.Thread(target=self._read, name="cllm4rec-lists", daemon=True)
        self._reader.start()

    def send(self, request: Any) -> None:
        """Sends a request; whether it arrives shows in the answers."""
        self._requests.put(request)

    def take(self, wait: float) -> Optional[Any]:
        """The next answer; None when there was none for so many seconds.

        Raises:
            Cllm4recError: the stream has ended.
        """
        try:
            found = self._answers.get(timeout=wait) if wait > 0 else self._answers.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, Cllm4recError):
            raise found
        self._replica.answered()
        return found

    def close(self) -> None:
        """Ends the stream and both threads that belong to it."""
        self._call.cancel()
        self._requests.put(None)
        self._reader.join()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._answers.put(message)
            self._answers.put(ended_early())
        except grpc.RpcError as error:
            self._answers.put(from_rpc_error(error))
