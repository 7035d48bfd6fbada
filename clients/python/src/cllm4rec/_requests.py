"""From arguments to messages; what cannot be said in a message is a `TypeError` or `ValueError`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ._generated import history_pb2, recommendation_pb2, training_pb2
from ._options import RECOMMEND_OPTIONS, InlineItem, Seconds
from .training_types import Schedule
from .types import Interaction, NewItem

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Passed on as they are.
PLAIN = (
    "page_token",
    "exclude_seen",
    "excluded_item_ids",
    "candidate_item_ids",
    "filter",
    "relax_filter",
    "explain",
    "query",
    "query_weight",
    "catalog",
)


def timestamp(moment: datetime) -> Timestamp:
    """A moment as a message; one without a zone is in UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    # In whole numbers: a float of seconds has no microseconds left.
    since = moment - EPOCH
    seconds = since.days * 86_400 + since.seconds
    return Timestamp(seconds=seconds, nanos=since.microseconds * 1_000)


def duration(seconds: Seconds) -> Duration:
    """A while as a message."""
    whole = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
    message = Duration()
    message.FromTimedelta(whole)
    return message


def resource(kind: str, name: str) -> str:
    """`kind/id` of an id or of the name itself."""
    return name if name.startswith(kind + "/") else f"{kind}/{name}"


def recommend(
    user: str, k: Optional[int], options: Mapping[str, Any], catalog: str
) -> recommendation_pb2.RecommendRequest:
    """A request for a list.

    Raises:
        TypeError: an option has a name that there is not.
    """
    refuse_unknown(options, RECOMMEND_OPTIONS)
    given = {name: value for name, value in options.items() if value is not None}
    fields: dict[str, Any] = {name: given[name] for name in PLAIN if name in given}
    fields.setdefault("catalog", catalog)
    if "at_time" in given:
        fields["at_time"] = timestamp(given["at_time"])
    if "max_staleness" in given:
        fields["max_staleness"] = duration(given["max_staleness"])
    if "priority" in given:
        fields["priority"] = priority(given["priority"])
    if given.get("merge_history"):
        fields["history_use"] = recommendation_pb2.RecommendRequest.MERGE
    return recommendation_pb2.RecommendRequest(
        user_id=user,
        k=checked_k(k),
        history=inline_history(given.get("history", ())),
        new_items=[new_item(one) for one in given.get("new_items", ())],
        **which_model(given.get("model_version"), given.get("label")),
        **fields,
    )


def score_items(
    user: str,
    item_ids: Iterable[str],
    history: Iterable[InlineItem],
    new_items: Iterable[NewItem],
    model: Mapping[str, Any],
    catalog: str,
) -> recommendation_pb2.ScoreItemsRequest:
    """A request for the scores of given items."""
    return recommendation_pb2.ScoreItemsRequest(
        user_id=user,
        item_ids=many_ids("item_ids", item_ids),
        history=inline_history(history),
        new_items=[new_item(one) for one in new_items],
        catalog=catalog,
        **model,
    )


def similar_items(
    item_id: Optional[str],
    text: Optional[str],
    k: Optional[int],
    filter: str,
    model: Mapping[str, Any],
) -> recommendation_pb2.SimilarItemsRequest:
    """A request for items that are like an item, or that a text is about."""
    return recommendation_pb2.SimilarItemsRequest(
        item_id=item_id or "",
        text=text or "",
        k=checked_k(k),
        filter=filter,
        **model,
    )


def which_model(version: Optional[str], label: Optional[str]) -> dict[str, Any]:
    """The fields that say who answers; empty for `live`.

    Raises:
        ValueError: both are given.
    """
    if version and label:
        raise ValueError("give model_version or label, not both")
    if version:
        return {"model_version": resource("modelVersions", version)}
    return {"label": label} if label else {}


def checked_k(k: Optional[int]) -> Optional[int]:
    """The number as it is: the service says what is wrong with it, but a message holds no
    negative one."""
    return k if k is None or k >= 0 else 0


def priority(name: str) -> Any:
    """`interactive` or `batch`."""
    known = recommendation_pb2.Priority.keys()
    if name.upper() not in known:
        raise ValueError(f"priority {name!r} is not one of interactive, batch")
    return recommendation_pb2.Priority.Value(name.upper())


def many_ids(name: str, ids: Iterable[str]) -> list[str]:
    """Ids as a list; one text alone is a mistake, not its letters."""
    if isinstance(ids, str):
        raise TypeError(f"{name} is a list of ids, not one text")
    return list(ids)


def inline_history(items: Iterable[InlineItem]) -> list[recommendation_pb2.InlineInteraction]:
    """A history that is sent along."""
    if isinstance(items, str):
        raise TypeError("history is a list of items, not one text")
    messages = []
    for one in items:
        if isinstance(one, Interaction):
            item_id, time = one.item_id, one.time
        elif isinstance(one, str):
            item_id, time = one, None
        else:
            item_id, time = one
        message = recommendation_pb2.InlineInteraction(item_id=item_id)
        if time is not None:
            message.time.CopyFrom(timestamp(time))
        messages.append(message)
    return messages


def new_item(item: NewItem) -> recommendation_pb2.NewItem:
    """An item beside the catalogue."""
    message = recommendation_pb2.NewItem(
        item_id=item.item_id,
        title=item.title,
        categories=many_ids("categories", item.categories),
        description=item.description,
    )
    message.attributes.update(item.attributes)
    return message


def interaction(one: Interaction) -> history_pb2.Interaction:
    """An interaction of a history."""
    message = history_pb2.Interaction(
        user_id=one.user_id, item_id=one.item_id, event_id=one.event_id
    )
    if one.time is not None:
        message.time.CopyFrom(timestamp(one.time))
    return message


def schedule(given: Optional[Schedule]) -> Optional[training_pb2.Schedule]:
    """When and where a job is to run."""
    if given is None:
        return None
    message = training_pb2.Schedule(
        priority=given.priority,
        queue=given.queue,
        after=[resource("jobs", name) for name in given.after],
    )
    if given.start_after is not None:
        message.start_after.CopyFrom(timestamp(given.start_after))
    if given.deadline is not None:
        message.deadline.CopyFrom(timestamp(given.deadline))
    if given.labels or given.memory_gib:
        message.needs.labels.extend(given.labels)
        message.needs.memory_gib = given.memory_gib
    return message


def refuse_unknown(options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuses an option with a name that there is not, and says which there are."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        names = ", ".join(sorted(known))
        raise TypeError(f"unknown option {unknown[0]!r}; there are {names}")
