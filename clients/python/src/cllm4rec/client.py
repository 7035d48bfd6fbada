"""The client that waits: one call after another, from any number of threads."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Optional, TypeVar

import grpc

from . import _datasets, _methods, _operations, _requests, _rows
from ._core import ClientBase
from ._many import Answer, Batch
from ._operations import Operation
from ._options import InlineItem, RecommendOptions
from ._settings import CHANNEL_OPTIONS
from ._spec import Spec
from ._stream import lists_of
from ._tally import Tally
from .errors import Cllm4recError, from_rpc_error
from .jobs import Job, jobs
from .models import Models, warn_of
from .training_types import Dataset, JobInfo, Schedule
from .types import History, Interaction, NewItem, RecordResult, Recommendation, Scores
from .types import ServingStatus

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")


class Client(ClientBase):
    """A client of a scorer and a coordinator.

    Every call has a deadline (`timeout`, in seconds, with all repeats), is repeated where that is
    safe, and raises a `Cllm4recError`. Threads may share a client.

        with Client() as client:
            for item in client.recommend("anna", k=5):
                print(item.rank, item.title)
    """

    def recommend(
        self,
        user: str = "",
        k: int = 10,
        *,
        timeout: Optional[float] = None,
        **options: Unpack[RecommendOptions],
    ) -> Recommendation:
        """Ranks the catalogue for a user.

        Args:
            user: whose history counts; may be empty with `history` or `query`.
            k: items of the list, 1 to 1,000.
            timeout: seconds; 2 when nobody says otherwise.

        Options (docs/api.md says more):
            history: items in the place of the stored history: ids, oldest first, or with times, as
                `(id, time)` or `Interaction`.
            merge_history: `history` joins the stored one by time instead.
            at_time: only what happened until then counts.
            page_token: `next_page_token` of the answer to the same request: the items after those.
            exclude_seen: leave out what the history holds; True when absent.
            excluded_item_ids: leave out these as well.
            candidate_item_ids: rank only these.
            filter: rank only items for which this holds: `category in ["RPG"] && year >= 2015`.
            relax_filter: go on with others when fewer than k items pass the filter.
            explain: say which items of the history moved each score; k is 20 at most then.
            max_staleness: seconds; a history that was read at most so long ago may be used.
            priority: `interactive` or `batch`, which waits for all interactive ones.
            query: what the user looks for, in their own words.
            query_weight: 0 to 1, how much the query counts beside the user; 0.6 when absent.
            new_items: `NewItem`s to rank beside the catalogue, by their texts.
            model_version, label: who answers; the label `live` when both are absent.
            catalog: namespace of the stored history; the client's own when absent.

        Raises:
            InvalidArgument: an option is out of its bounds; `field_violations` says which.
            NotFound: there is no such version or label.
            FailedPrecondition: no model is loaded.
            Overloaded: too much is asked of the scorer; `is_local` when the call was not sent.
        """
        operation = _operations.recommend(user, k, options, self._catalog)
        return self._run(operation, timeout)

    def recommend_many(
        self,
        users: Iterable[str],
        k: int = 10,
        *,
        timeout: Optional[float] = None,
        **options: Unpack[RecommendOptions],
    ) -> Iterator[Answer]:
        """Ranks the catalogue for many users over one stream, behind all interactive requests.

        Yields `(user, list)` or `(user, error)` for each, in the order in which the answers come.
        At most 64 users are taken ahead, so `users` may be endless. A stream that breaks is
        opened again, at another replica where there is one, and who was not answered is asked
        for again. So is who was refused and may be served later, after the delay that the scorer
        asks for: ten times at most, and 512 times in all while no list comes. After that, or
        where the delay is over 30 s, the error is yielded; its `retry_after` has the delay.

        Args:
            timeout: seconds of silence while answers are due, after which a stream counts as
                broken; 60 when nobody says otherwise.

        Raises:
            Cllm4recError: no stream could be opened, eight times in a row.
        """
        silence = timeout or _methods.BATCH_RECOMMEND.timeout
        batch = Batch(k, options, self._catalog, silence)
        replicas = self._replicas(_methods.BATCH_RECOMMEND)
        metadata = self._metadata(_methods.BATCH_RECOMMEND)
        return lists_of(iter(users), batch, replicas, metadata)

    def score(
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
        """Scores given items, 1 to 10,000, for a user; None for an item that is not known."""
        model = _requests.which_model(model_version, label)
        operation = _operations.score(
            user, item_ids, history, new_items, model, self._in_catalog(catalog)
        )
        return self._run(operation, timeout)

    def similar(
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
        """Items that are most like an item, or that a text is about.

        Raises:
            NotFound: the item is not known.
        """
        model = _requests.which_model(model_version, label)
        return self._run(_operations.similar(item_id, text, k, filter, model), timeout)

    def status(self, *, timeout: Optional[float] = None) -> ServingStatus:
        """What the scorer serves; of several replicas, the next one in turn."""
        return self._run(_operations.status(), timeout)

    def history(
        self,
        user: str,
        limit: int = 0,
        *,
        catalog: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> History:
        """A user's interactions, ascending by time; the latest `limit` of them, 0 for all."""
        operation = _operations.history(user, limit, self._in_catalog(catalog))
        return self._run(operation, timeout)

    def record(
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
        """Records interactions of any users, in calls of at most 10,000.

        What is there already is not recorded again: the same event id, or without one the same
        user, item and time. Rows without both get an event id of their own.

        Args:
            data: a pandas or polars data frame, or an iterable of tuples
                `(user, item[, time[, event_id]])`, dictionaries or `Interaction`s.
            user, item, time, event_id: names of the columns; found by common names without.
            timeout: seconds for each call; 60 when nobody says otherwise.

        Raises:
            ValueError: a column or a value cannot be read.
            Cllm4recError: a call failed; `recorded` has what was done before it.
        """
        rows = _rows.interactions(data, _rows.Columns(user, item, time, event_id))
        tally = Tally()
        for bulk in _rows.bulks(_rows.with_event_ids(rows)):
            try:
                operation = _operations.record(bulk, self._in_catalog(catalog))
                answer = self._run(operation, timeout)
            except Cllm4recError as error:
                tally.explain(error)
                raise
            tally.add(bulk, answer.n_recorded, answer.unknown_item_ids)
        return tally.result()

    def forget(
        self,
        interactions: Iterable[Interaction],
        *,
        catalog: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Takes recorded interactions back, such as those that `history` gives.

        Each needs its time, and is found by user, item, time and event id. Returns how many were
        there.
        """
        tally = Tally()
        for bulk in _rows.bulks(interactions):
            try:
                n_forgotten = self._run(
                    _operations.forget(bulk, self._in_catalog(catalog)), timeout
                )
            except Cllm4recError as error:
                tally.explain(error)
                raise
            tally.add(bulk, n_forgotten)
        return tally.result().n_recorded

    def delete_user(
        self, user: str, *, catalog: Optional[str] = None, timeout: Optional[float] = None
    ) -> None:
        """Forgets a user; what happened before does not come back. Needs the role `admin`."""
        self._run(_operations.delete_user(user, self._in_catalog(catalog)), timeout)

    def datasets(self, *, timeout: Optional[float] = None) -> list[Dataset]:
        """All data sets, the one imported last first; 1,000 at most."""
        datasets, unreadable = self._run(_operations.list_datasets(), timeout)
        warn_of(unreadable)
        return datasets

    def train(
        self,
        spec: Optional[Spec] = None,
        *,
        schedule: Optional[Schedule] = None,
        request_id: Optional[str] = None,
        timeout: Optional[float] = None,
        **fields: Any,
    ) -> Job:
        """Queues a training job; a call with the request id of another one gives the same job.

        `client.train(dataset="games", labels=["live"], finetuning={"epochs": 4})`

        Args:
            spec: a specification as a dictionary with the names of docs/training.md.
            fields: fields over it, `dataset` above all: an id, or what people call it, of which
                the latest is meant.
            request_id: made anew for each call when None.

        Raises:
            TypeError, ValueError: a field has a name that there is not, or a value of another kind.
            InvalidArgument: a value is out of its bounds.
            NotFound: the data set does not exist; the message lists those that do.
            Overloaded: the queue is full.
        """
        operation = _operations.train(spec, fields, request_id, False, schedule)
        self._find_dataset(operation.request.spec, timeout)
        return Job(self, self._run(operation, timeout))

    def validate(
        self,
        spec: Optional[Spec] = None,
        *,
        schedule: Optional[Schedule] = None,
        timeout: Optional[float] = None,
        **fields: Any,
    ) -> JobInfo:
        """Checks what `train` would queue, and queues nothing; `notes` says what it will cost."""
        operation = _operations.train(spec, fields, None, True, schedule)
        self._find_dataset(operation.request.spec, timeout)
        return self._run(operation, timeout)

    def job(self, name: str, *, timeout: Optional[float] = None) -> Job:
        """A job by its name or id.

        Raises:
            NotFound: there is no such job.
        """
        return Job(self, self._run(_operations.get_job(name), timeout))

    def jobs(
        self,
        *,
        state: Optional[str] = None,
        dataset: Optional[str] = None,
        label: Optional[str] = None,
        newest_first: bool = False,
        page_size: int = 0,
        timeout: Optional[float] = None,
    ) -> Iterator[Job]:
        """Jobs that a filter takes, asked for page by page.

        Args:
            state: such as `SUCCEEDED`, in any case.
            dataset: only jobs on this data set: its id, or what people call it.
            label: only jobs whose model gets this label.
            page_size: jobs a page; 50 when 0.
            timeout: seconds for each page.
        """
        which = _operations.job_filter(state, dataset, label, newest_first, page_size)
        return jobs(self, which, timeout)

    @property
    def models(self) -> Models:
        """The model registry."""
        return Models(self)

    def close(self) -> None:
        """Closes all connections; calls that are under way end."""
        for channel in self._channels():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_channel(self, address: str, credentials: Any) -> Any:
        if credentials is None:
            return grpc.insecure_channel(address, CHANNEL_OPTIONS)
        return grpc.secure_channel(address, credentials, CHANNEL_OPTIONS)

    def _find_dataset(self, message: Any, timeout: Optional[float]) -> None:
        """Puts the name of a data set where what people call it stands."""
        if _datasets.is_display_name(message.dataset):
            datasets, unreadable = self._run(_operations.list_datasets(), timeout)
            message.dataset = _datasets.called(message.dataset, datasets, len(unreadable))

    def _run(self, operation: Operation[T], timeout: Optional[float]) -> T:
        """Makes a call, again where that helps, until its deadline."""
        method = operation.method
        attempts = self._attempts(method, timeout)
        while True:
            replica, seconds = attempts.start()
            call = getattr(replica.stub(method.stub), method.name)
            try:
                answer = call(
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
            clock.sleep(pause)
