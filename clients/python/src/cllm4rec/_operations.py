"""Every unary call of the clients as data: what is sent where, and what the answer becomes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Callable, Generic, Optional, TypeVar

from . import _convert, _datasets, _methods, _requests, training_types, types
from ._generated import dataset_pb2, history_pb2, model_pb2, recommendation_pb2, training_pb2
from ._methods import Method
from ._options import InlineItem
from ._spec import Spec, train_spec

T = TypeVar("T")
Jobs = tuple[list[training_types.JobInfo], str, list[str]]
Datasets = tuple[list[training_types.Dataset], list[str]]
Versions = tuple[list[training_types.ModelVersion], str, list[str]]


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A call that has not been made."""

    method: Method
    request: Any
    convert: Callable[[Any], T]


def _nothing(_: Any) -> None:
    return None


def recommend(
    user: str, k: Optional[int], options: Mapping[str, Any], catalog: str
) -> Operation[types.Recommendation]:
    """Asks for a list."""
    request = _requests.recommend(user, k, options, catalog)
    return Operation(_methods.RECOMMEND, request, _convert.recommendation)


def score(
    user: str,
    item_ids: Iterable[str],
    history: Iterable[InlineItem],
    new_items: Iterable[types.NewItem],
    model: Mapping[str, Any],
    catalog: str,
) -> Operation[types.Scores]:
    """Asks for the scores of given items."""
    request = _requests.score_items(user, item_ids, history, new_items, model, catalog)
    return Operation(_methods.SCORE_ITEMS, request, _convert.scores)


def similar(
    item_id: Optional[str], text: Optional[str], k: int, filter: str, model: Mapping[str, Any]
) -> Operation[types.Recommendation]:
    """Asks for items that are alike."""
    request = _requests.similar_items(item_id, text, k, filter, model)
    return Operation(_methods.SIMILAR_ITEMS, request, _convert.similar)


def status() -> Operation[types.ServingStatus]:
    """Asks what a scorer serves."""
    request = recommendation_pb2.GetStatusRequest()
    return Operation(_methods.GET_STATUS, request, _convert.status)


def history(user: str, limit: int, catalog: str) -> Operation[types.History]:
    """Asks for a user's history."""
    request = history_pb2.GetHistoryRequest(user_id=user, limit=limit, catalog=catalog)
    return Operation(_methods.GET_HISTORY, request, _convert.history)


def record(
    bulk: list[history_pb2.Interaction], catalog: str
) -> Operation[history_pb2.RecordInteractionsResponse]:
    """Records what one call can carry."""
    request = history_pb2.RecordInteractionsRequest(interactions=bulk, catalog=catalog)
    return Operation(_methods.RECORD, request, lambda answer: answer)


def forget(bulk: list[history_pb2.Interaction], catalog: str) -> Operation[int]:
    """Takes back what one call can carry."""
    request = history_pb2.ForgetInteractionsRequest(interactions=bulk, catalog=catalog)
    return Operation(_methods.FORGET, request, lambda answer: int(answer.n_forgotten))


def delete_user(user: str, catalog: str) -> Operation[None]:
    """Forgets a user."""
    request = history_pb2.DeleteUserRequest(user_id=user, catalog=catalog)
    return Operation(_methods.DELETE_USER, request, _nothing)


def list_datasets() -> Operation[Datasets]:
    """Asks for all data sets, and names of those that cannot be read."""
    request = dataset_pb2.ListDatasetsRequest()
    return Operation(_methods.LIST_DATASETS, request, _all_datasets)


def _all_datasets(answer: dataset_pb2.ListDatasetsResponse) -> Datasets:
    return [_convert.dataset(one) for one in answer.datasets], list(answer.unreadable)


def train(
    spec: Optional[Spec],
    fields: Mapping[str, Any],
    request_id: Optional[str],
    validate_only: bool,
    schedule: Optional[training_types.Schedule],
) -> Operation[training_types.JobInfo]:
    """Queues a job, once however often it is sent."""
    request = training_pb2.TrainJobRequest(
        spec=train_spec(spec, fields),
        request_id=request_id or uuid.uuid4().hex,
        validate_only=validate_only,
        schedule=_requests.schedule(schedule),
    )
    return Operation(_methods.TRAIN_JOB, request, _convert.job)


def get_job(name: str) -> Operation[training_types.JobInfo]:
    """Asks for a job."""
    request = training_pb2.GetJobRequest(name=_requests.resource("jobs", name))
    return Operation(_methods.GET_JOB, request, _convert.job)


def cancel_job(name: str) -> Operation[training_types.JobInfo]:
    """Asks a job to stop."""
    request = training_pb2.CancelJobRequest(name=name)
    return Operation(_methods.CANCEL_JOB, request, _convert.job)


def retry_job(name: str) -> Operation[training_types.JobInfo]:
    """Puts a job back into the queue."""
    request = training_pb2.RetryJobRequest(name=name)
    return Operation(_methods.RETRY_JOB, request, _convert.job)


def job_filter(
    state: Optional[str],
    dataset: Optional[str],
    label: Optional[str],
    newest_first: bool,
    page_size: int,
) -> training_pb2.ListJobsRequest:
    """Which jobs a list is to have.

    Raises:
        ValueError: there is no such state.
    """
    states = training_pb2.Job.State
    if state is not None and state.upper() not in states.keys():
        raise ValueError(f"{state!r} is not one of {', '.join(states.keys()[1:])}")
    return training_pb2.ListJobsRequest(
        state=state.upper() if state is not None else None,
        dataset=_datasets.of_id(dataset) if dataset else "",
        label=label or "",
        newest_first=newest_first,
        page_size=page_size,
    )


def list_jobs(which: training_pb2.ListJobsRequest, page_token: str) -> Operation[Jobs]:
    """Asks for a page of jobs, the next page's token, and ids of those that cannot be read."""
    request = training_pb2.ListJobsRequest()
    request.CopyFrom(which)
    request.page_token = page_token
    return Operation(_methods.LIST_JOBS, request, _page_of_jobs)


def _page_of_jobs(page: training_pb2.ListJobsResponse) -> Jobs:
    jobs = [_convert.job(job) for job in page.jobs]
    return jobs, page.next_page_token, list(page.unreadable)


def list_versions(page_size: int, page_token: str) -> Operation[Versions]:
    """Asks for a page of versions, as `list_jobs` does for jobs."""
    request = model_pb2.ListModelVersionsRequest(page_size=page_size, page_token=page_token)
    return Operation(_methods.LIST_MODEL_VERSIONS, request, _page_of_versions)


def _page_of_versions(page: model_pb2.ListModelVersionsResponse) -> Versions:
    versions = [_convert.model_version(one) for one in page.model_versions]
    return versions, page.next_page_token, list(page.unreadable)


def get_version(version: str) -> Operation[training_types.ModelVersion]:
    """Asks for a version."""
    name = _requests.resource("modelVersions", version)
    request = model_pb2.GetModelVersionRequest(name=name)
    return Operation(_methods.GET_MODEL_VERSION, request, _convert.model_version)


def set_label(version: str, label: str) -> Operation[training_types.ModelVersion]:
    """Points a label at a version."""
    name = _requests.resource("modelVersions", version)
    request = model_pb2.SetLabelRequest(label=label, model_version=name)
    return Operation(_methods.SET_LABEL, request, _convert.model_version)


def remove_label(label: str) -> Operation[None]:
    """Removes a label."""
    request = model_pb2.RemoveLabelRequest(label=label)
    return Operation(_methods.REMOVE_LABEL, request, _nothing)


def delete_version(version: str) -> Operation[None]:
    """Removes a version and its files."""
    name = _requests.resource("modelVersions", version)
    request = model_pb2.DeleteModelVersionRequest(name=name)
    return Operation(_methods.DELETE_MODEL_VERSION, request, _nothing)
