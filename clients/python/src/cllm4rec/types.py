"""What the scorer answers, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional


@dataclass(frozen=True)
class Interaction:
    """That a user took an item.

    Attributes:
        time: when, in UTC where it has no zone; the moment of recording when None.
        event_id: makes a repeat harmless; user, item and time do without it.
    """

    user_id: str
    item_id: str
    time: Optional[datetime] = None
    event_id: str = ""


@dataclass(frozen=True)
class NewItem:
    """An item that came after training; it is ranked by its texts.

    Attributes:
        categories: from broad to narrow.
        attributes: what filters look at: texts, numbers, booleans and lists of them.
    """

    item_id: str
    title: str = ""
    categories: tuple[str, ...] = ()
    description: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """An item of the history and what it added to a score."""

    item_id: str
    title: str
    contribution: float


@dataclass(frozen=True)
class RecommendedItem:
    """An item of a list.

    Attributes:
        title: empty when the item has none.
        score: comparable within one list only.
        rank: from 1.
        source: `MODEL`, `CO_OCCURRENCE`, `BOTH`, `COLD_START`, `POPULARITY` or `QUERY`.
        reasons: which items of the history moved the score, most first; with `explain` only.
        query_contribution: what the query added to the score.
    """

    item_id: str
    title: str
    score: float
    rank: int
    source: str
    reasons: tuple[Reason, ...] = ()
    query_contribution: float = 0.0


@dataclass(frozen=True)
class Degradation:
    """Something that made an answer worse.

    Attributes:
        kind: such as `UNKNOWN_USER` or `EMPTY_HISTORY` (docs/api.md has all).
        message: for people.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class Recommendation:
    """A user's list, best first; iterating goes through its items.

    Attributes:
        model_version: `modelVersions/…` that answered.
        history_length: items of the history that were in the prompt.
        cached: the user state was computed before.
        degradations: what was missing; empty when nothing was.
        next_page_token: for the items after these; empty on the last page.
        n_scored: items whose scores were computed.
    """

    items: tuple[RecommendedItem, ...]
    model_version: str
    history_length: int = 0
    cached: bool = False
    degradations: tuple[Degradation, ...] = ()
    next_page_token: str = ""
    n_scored: int = 0

    @property
    def item_ids(self) -> list[str]:
        """The items' ids, best first."""
        return [item.item_id for item in self.items]

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class ItemScore:
    """How well an item suits a user; None for one that the version does not know."""

    item_id: str
    score: Optional[float]


@dataclass(frozen=True)
class Scores:
    """Scores in the order in which the items were given, new items last."""

    scores: tuple[ItemScore, ...]
    model_version: str
    degradations: tuple[Degradation, ...] = ()

    def as_dict(self) -> dict[str, Optional[float]]:
        """Scores by item id."""
        return {one.item_id: one.score for one in self.scores}

    def __iter__(self) -> Iterator[ItemScore]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class History:
    """A user's interactions, ascending by time.

    Attributes:
        deleted: the user was deleted at some time.
    """

    interactions: tuple[Interaction, ...]
    deleted: bool = False

    @property
    def item_ids(self) -> list[str]:
        """The items' ids, oldest first."""
        return [one.item_id for one in self.interactions]

    def __iter__(self) -> Iterator[Interaction]:
        return iter(self.interactions)

    def __len__(self) -> int:
        return len(self.interactions)


@dataclass(frozen=True)
class RecordResult:
    """What became of recorded interactions.

    Attributes:
        n_sent: interactions that were sent.
        n_recorded: those that were new and are kept.
        unknown_item_ids: items among them that no loaded version knows, twenty a call at most:
            they are kept, and count once a version has been trained on them.
        n_calls: calls that it took.
    """

    n_sent: int = 0
    n_recorded: int = 0
    unknown_item_ids: tuple[str, ...] = ()
    n_calls: int = 0


@dataclass(frozen=True)
class LoadedVersion:
    """A model version in a scorer's memory."""

    model_version: str
    labels: tuple[str, ...]
    memory_bytes: int


@dataclass(frozen=True)
class UnloadableVersion:
    """A version that a scorer could not load, and why: `DAMAGED`, `MISSING`, …"""

    model_version: str
    cause: str
    message: str


@dataclass(frozen=True)
class ServingStatus:
    """What one scorer serves; with several replicas, the one that was asked.

    Attributes:
        counters: since its start, by name.
    """

    versions: tuple[LoadedVersion, ...]
    unloadable: tuple[UnloadableVersion, ...]
    counters: dict[str, int]
