"""Interactions out of data frames, tuples, dictionaries and objects, and in bulks to send."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Optional

from ._generated import history_pb2
from ._requests import EPOCH, interaction
from .types import Interaction

# A call holds so many interactions at most, and the scorer takes 4 MiB.
MOST_A_CALL = 10_000
BYTES_A_CALL = 3_500_000

# The surest ones first; `User_ID`, `userId` and `user id` are the same.
USERS = "userid user uid customerid visitorid customer clientid client memberid member accountid \
username buyerid shopperid reviewerid"
ITEMS = "itemid item iid productid product sku articleid article movieid movie asin parentasin \
bookid trackid songid gameid contentid stockcode"
TIMES = "timestamp time ts datetime eventtime date createdat orderedat orderdate purchasedat \
purchasedate occurredat invoicedate viewedat playedat unixtime"
EVENTS = "eventid interactionid"


@dataclass(frozen=True)
class Columns:
    """Names of the columns; those that are None are found by common names."""

    user: Optional[str] = None
    item: Optional[str] = None
    time: Optional[str] = None
    event_id: Optional[str] = None

    def among(self, names: Sequence[str]) -> list[Optional[str]]:
        """The columns of user, item, time and event id; None for one of the latter two that is
        not there.

        Raises:
            ValueError: a column that was named, or that of users or items, is not there.
        """
        plain = {_plain(name): name for name in reversed(names)}
        found: list[Optional[str]] = []
        for kind, given, common in (
            ("user", self.user, USERS),
            ("item", self.item, ITEMS),
            ("time", self.time, TIMES),
            ("event_id", self.event_id, EVENTS),
        ):
            if given is not None and given not in names:
                raise ValueError(f"there is no column {given!r}, only {', '.join(names)}")
            known = (plain[one] for one in common.split() if one in plain)
            name = given if given is not None else next(known, None)
            if name is None and kind in ("user", "item"):
                raise ValueError(f"none of {', '.join(names)} is the {kind}: name it by {kind}=…")
            found.append(name)
        return found


def interactions(data: Any, columns: Columns) -> Iterator[Interaction]:
    """Interactions of a pandas or polars data frame, or of an iterable of tuples
    `(user, item[, time[, event_id]])`, dictionaries or `Interaction`s.

    Raises:
        ValueError: a column or a value cannot be read; the row is named.
    """
    for number, row in enumerate(_rows(data, columns)):
        if isinstance(row, Interaction):
            yield row
            continue
        if isinstance(row, (str, bytes)) or not 2 <= len(row) <= 4:
            raise ValueError(f"row {number}: {row!r} is not (user, item[, time[, event_id]])")
        user, item, time, event = (*row, None, None)[:4]
        try:
            yield Interaction(_id(user), _id(item), _time(time), _event(event))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"row {number}: {error}") from error


def with_event_ids(rows: Iterable[Interaction]) -> Iterator[Interaction]:
    """Gives an event id to what has no time: otherwise a repeated call would record it twice."""
    for row in rows:
        if row.time is None and not row.event_id:
            row = Interaction(row.user_id, row.item_id, None, uuid.uuid4().hex)
        yield row


def bulks(rows: Iterable[Interaction]) -> Iterator[list[history_pb2.Interaction]]:
    """Messages in lists that one call can carry."""
    bulk: list[history_pb2.Interaction] = []
    size = 0
    for row in rows:
        message = interaction(row)
        # With what its place in the list takes.
        n_bytes = message.ByteSize() + 8
        if bulk and (len(bulk) == MOST_A_CALL or size + n_bytes > BYTES_A_CALL):
            yield bulk
            bulk, size = [], 0
        bulk.append(message)
        size += n_bytes
    if bulk:
        yield bulk


def _rows(data: Any, columns: Columns) -> Iterator[Any]:
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):
        data = data.collect()
    if hasattr(data, "iter_rows") and hasattr(data, "columns"):
        chosen = columns.among(list(data.columns))
        return _in_order(data.select(_there(chosen)).iter_rows(), chosen)
    if hasattr(data, "itertuples") and hasattr(data, "columns"):
        chosen = columns.among([str(name) for name in data.columns])
        frame = data[_there(chosen)]
        return _in_order(frame.itertuples(index=False, name=None), chosen)
    return _plain_rows(iter(data), columns)


def _plain_rows(rows: Iterator[Any], columns: Columns) -> Iterator[Any]:
    first = next(rows, None)
    if first is None:
        return
    if not isinstance(first, Mapping):
        yield from itertools.chain([first], rows)
        return
    chosen = columns.among(list(first))
    for row in itertools.chain([first], rows):
        yield tuple(row.get(name) if name is not None else None for name in chosen)


def _there(chosen: Sequence[Optional[str]]) -> list[str]:
    return [name for name in chosen if name is not None]


def _in_order(rows: Iterable[tuple[Any, ...]], chosen: Sequence[Optional[str]]) -> Iterator[Any]:
    """User, item, time and event id of rows that lack the columns that are None."""
    there = _there(chosen)
    places = [there.index(name) if name is not None else None for name in chosen]
    for row in rows:
        yield tuple(row[place] if place is not None else None for place in places)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return False
    # NaN and NaT differ from themselves; pandas' NA says neither yes nor no.
    try:
        return bool(value != value)
    except TypeError:
        return True


def _id(value: Any) -> str:
    if _is_missing(value):
        raise ValueError("a user or an item is missing")
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        # A column of whole numbers in which one is missing.
        return str(int(value))
    return str(value)


def _event(value: Any) -> str:
    return "" if _is_missing(value) else _id(value)


def _time(value: Any) -> Optional[datetime]:
    """A moment: a datetime or date (UTC without a zone), ISO 8601, or seconds, milli-, micro- or
    nanoseconds since 1970, by their size."""
    if _is_missing(value):
        return None
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    if isinstance(value, str):
        text = value.strip()
        return datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "zZ" else text)
    if hasattr(value, "dtype") and value.dtype.kind == "M":
        return EPOCH + timedelta(microseconds=int(value.astype("datetime64[us]").astype(int)))
    return _since_1970(value)


def _since_1970(value: Any) -> datetime:
    number = value if isinstance(value, int) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{value!r} is no time")
    per_second = 1
    while abs(number) >= 1e11 * per_second and per_second < 1_000_000_000:
        per_second *= 1_000
    if isinstance(number, int):
        return EPOCH + timedelta(microseconds=number * 1_000_000 // per_second)
    return EPOCH + timedelta(seconds=number / per_second)
