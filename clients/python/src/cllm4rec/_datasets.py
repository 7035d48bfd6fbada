"""Which data set is meant where it is called by its display name. No I/O: both clients ask here."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._requests import resource
from .errors import NotFound
from .training_types import Dataset

# An id: the hash of the content.
ID = re.compile(r"[0-9a-f]{32}")
# Names that an error lists at most.
MOST_LISTED = 20


def of_id(dataset: str) -> str:
    """`datasets/ID` of an id; anything else as it is."""
    return resource("datasets", dataset) if ID.fullmatch(dataset) else dataset


def is_display_name(dataset: str) -> bool:
    """Whether the data set has to be looked up."""
    return dataset != "" and not dataset.startswith("datasets/")


def called(display_name: str, datasets: Iterable[Dataset], n_unreadable: int) -> str:
    """`datasets/ID` of the latest with a name; `datasets` has the latest first.

    Raises:
        NotFound: none has it; the message lists the names that there are.
    """
    known: dict[str, None] = {}
    for dataset in datasets:
        if dataset.display_name == display_name:
            return dataset.name
        known[dataset.display_name] = None
    names = ", ".join(list(known)[:MOST_LISTED]) or "none"
    if len(known) > MOST_LISTED:
        names += f" and {len(known) - MOST_LISTED} more"
    if n_unreadable:
        names += f"; {n_unreadable} cannot be read"
    raise NotFound(f"no data set is called {display_name!r}; there are: {names}")
