"""From messages to plain data."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, Optional

from google.protobuf.json_format import MessageToDict

from ._generated import dataset_pb2, history_pb2, model_pb2, recommendation_pb2, training_pb2
from . import training_types, types


def moment(message: Any, field: str) -> Optional[datetime]:
    """A timestamp of a message in UTC; None when it is absent."""
    if not message.HasField(field):
        return None
    moment: datetime = getattr(message, field).ToDatetime(tzinfo=timezone.utc)
    return moment


def recommendation(message: recommendation_pb2.RecommendResponse) -> types.Recommendation:
    """A list for a user."""
    return types.Recommendation(
        items=items(message.items),
        model_version=message.model_version,
        history_length=message.history_length,
        cached=message.cached,
        degradations=degradations(message.degradations),
        next_page_token=message.next_page_token,
        n_scored=message.n_scored,
    )


def items(
    messages: Iterable[recommendation_pb2.RecommendedItem],
) -> tuple[types.RecommendedItem, ...]:
    """The items of a list."""
    return tuple(item(message) for message in messages)


def item(message: recommendation_pb2.RecommendedItem) -> types.RecommendedItem:
    """One item of a list."""
    reasons = tuple(
        types.Reason(one.item_id, one.title, one.contribution) for one in message.reasons
    )
    return types.RecommendedItem(
        item_id=message.item_id,
        title=message.title,
        score=message.score,
        rank=message.rank,
        source=name_of(recommendation_pb2.RecommendedItem.Source, message.source),
        reasons=reasons,
        query_contribution=message.query_contribution,
    )


def degradations(
    messages: Iterable[recommendation_pb2.Degradation],
) -> tuple[types.Degradation, ...]:
    """What was missing."""
    kinds = recommendation_pb2.Degradation.Kind
    return tuple(types.Degradation(name_of(kinds, one.kind), one.message) for one in messages)


def similar(message: recommendation_pb2.SimilarItemsResponse) -> types.Recommendation:
    """A list of items that are alike."""
    return types.Recommendation(items(message.items), message.model_version)


def scores(message: recommendation_pb2.ScoreItemsResponse) -> types.Scores:
    """Scores of given items."""
    found = []
    for one in message.scores:
        score = one.score if one.HasField("score") else None
        found.append(types.ItemScore(one.item_id, score))
    return types.Scores(tuple(found), message.model_version, degradations(message.degradations))


def status(message: recommendation_pb2.ServingStatus) -> types.ServingStatus:
    """What a scorer serves."""
    causes = recommendation_pb2.UnloadableVersion.Cause
    versions = tuple(
        types.LoadedVersion(one.model_version, tuple(one.labels), one.memory_bytes)
        for one in message.versions
    )
    unloadable = tuple(
        types.UnloadableVersion(one.model_version, name_of(causes, one.cause), one.message)
        for one in message.unloadable
    )
    return types.ServingStatus(versions, unloadable, dict(message.counters))


def history(message: history_pb2.GetHistoryResponse) -> types.History:
    """A user's history."""
    interactions = tuple(
        types.Interaction(one.user_id, one.item_id, moment(one, "time"), one.event_id)
        for one in message.interactions
    )
    return types.History(interactions, message.deleted)


def dataset(message: dataset_pb2.Dataset) -> training_types.Dataset:
    """A data set."""
    return training_types.Dataset(
        name=message.name,
        display_name=message.display_name,
        catalog=message.catalog,
        import_time=moment(message, "import_time"),
        n_users=message.n_users,
        n_items=message.n_items,
        n_train=message.n_train,
        n_valid=message.n_valid,
        n_test=message.n_test,
        n_texts=message.n_texts,
        n_titles=message.n_titles,
    )


def progress(message: training_pb2.Progress) -> training_types.Progress:
    """How far a job is."""
    epochs = []
    for one in message.epochs:
        ndcg = one.valid_ndcg_100 if one.HasField("valid_ndcg_100") else None
        epochs.append(training_types.Epoch(one.stage, one.epoch, one.loss, ndcg))
    return training_types.Progress(
        stage=message.stage,
        epoch=message.epoch,
        n_epochs=message.n_epochs,
        step=message.step,
        n_steps=message.n_steps,
        loss=message.loss,
        tokens_per_second=message.tokens_per_second,
        done=message.done,
        eta_seconds=message.eta_seconds,
        device=message.device,
        epochs=tuple(epochs),
    )


def job(message: training_pb2.Job) -> training_types.JobInfo:
    """A job as it is now."""
    has_cause = message.HasField("cause")
    return training_types.JobInfo(
        name=message.name,
        state=name_of(training_pb2.Job.State, message.state),
        spec=as_dict(message.spec),
        progress=progress(message.progress),
        attempts=message.attempts,
        worker=message.worker,
        cause=name_of(training_pb2.Cause.Kind, message.cause.kind) if has_cause else "",
        cause_message=message.cause.message,
        metrics=dict(message.metrics),
        model_version=message.model_version,
        n_events=message.n_events,
        awaits=tuple(message.awaits),
        no_taker=message.no_taker,
        notes=tuple(message.notes),
        create_time=moment(message, "create_time"),
        update_time=moment(message, "update_time"),
    )


def event(message: training_pb2.JobEvent) -> training_types.JobEvent:
    """Something that happened to a job."""
    return training_types.JobEvent(
        number=message.number,
        message=message.message,
        job=job(message.job),
        time=moment(message, "time"),
    )


def model_version(message: model_pb2.ModelVersion) -> training_types.ModelVersion:
    """A version in the registry."""
    return training_types.ModelVersion(
        name=message.name,
        catalog=message.catalog,
        dataset=message.dataset,
        dataset_name=message.dataset_name,
        job=message.job,
        labels=tuple(message.labels),
        metrics=dict(message.metrics),
        spec=as_dict(message.spec),
        final_fit=message.final_fit,
        train_seconds=message.train_seconds,
        create_time=moment(message, "create_time"),
    )


def as_dict(message: Any) -> dict[str, Any]:
    """A message as nested dictionaries with the fields' own names."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def name_of(kind: Any, number: int) -> str:
    """An enum value's name; its number where a newer service sent one that is not known here."""
    try:
        return str(kind.Name(number))
    except ValueError:
        return str(number)
