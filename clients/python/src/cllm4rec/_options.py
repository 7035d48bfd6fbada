"""What may be said with `recommend` and `recommend_many`, beside the user and k."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Optional, TypedDict, Union

if TYPE_CHECKING:
    from .types import Interaction, NewItem

# An item id, an item id with its time, or an interaction of which the user is ignored.
InlineItem = Union[str, "tuple[str, Optional[datetime]]", "Interaction"]
Seconds = Union[float, timedelta]


class RecommendOptions(TypedDict, total=False):
    """`help(Client.recommend)` explains each; what is absent has its default."""

    history: Iterable[InlineItem]
    merge_history: bool
    at_time: datetime
    page_token: str
    exclude_seen: bool
    excluded_item_ids: Sequence[str]
    candidate_item_ids: Sequence[str]
    filter: str
    relax_filter: bool
    explain: bool
    max_staleness: Seconds
    priority: str
    query: str
    query_weight: float
    new_items: Sequence[NewItem]
    model_version: str
    label: str
    catalog: str


RECOMMEND_OPTIONS = frozenset(RecommendOptions.__annotations__)
