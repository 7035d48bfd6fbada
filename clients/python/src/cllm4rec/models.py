"""The model registry: versions and the labels that point to them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Optional

from . import _operations
from .errors import NotFound
from .training_types import ModelVersion

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .client import Client

log = logging.getLogger("cllm4rec")


class Models:
    """The registry, as `client.models`. A version is named by its id or `modelVersions/ID`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, *, page_size: int = 0, timeout: Optional[float] = None
    ) -> Iterator[ModelVersion]:
        """All versions, newest first, asked for page by page."""
        token = ""
        while True:
            operation = _operations.list_versions(page_size, token)
            versions, token, unreadable = self._client._run(operation, timeout)
            warn_of(unreadable)
            yield from versions
            if not token:
                return

    def get(self, version: str, *, timeout: Optional[float] = None) -> ModelVersion:
        """One version.

        Raises:
            NotFound: there is no such version.
        """
        return self._client._run(_operations.get_version(version), timeout)

    def labelled(self, label: str = "live", *, timeout: Optional[float] = None) -> ModelVersion:
        """The version that a label points to.

        Raises:
            NotFound: it points to none.
        """
        for version in self.list(page_size=1_000, timeout=timeout):
            if label in version.labels:
                return version
        raise NotFound(f"no version has the label {label!r}")

    def promote(
        self, version: str, label: str = "live", *, timeout: Optional[float] = None
    ) -> ModelVersion:
        """Points a label at a version; scorers follow within two seconds.

        Raises:
            NotFound: there is no such version.
        """
        return self._client._run(_operations.set_label(version, label), timeout)

    def remove_label(self, label: str, *, timeout: Optional[float] = None) -> None:
        """Removes a label; one that is not there is no error."""
        self._client._run(_operations.remove_label(label), timeout)

    def delete(self, version: str, *, timeout: Optional[float] = None) -> None:
        """Removes a version and its files.

        Raises:
            FailedPrecondition: a label points to it.
        """
        self._client._run(_operations.delete_version(version), timeout)


class AsyncModels:
    """The registry, as `client.models` of an `AsyncClient`; each call as in `Models`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(
        self, *, page_size: int = 0, timeout: Optional[float] = None
    ) -> AsyncIterator[ModelVersion]:
        """As `Models.list`."""
        token = ""
        while True:
            operation = _operations.list_versions(page_size, token)
            versions, token, unreadable = await self._client._run(operation, timeout)
            warn_of(unreadable)
            for version in versions:
                yield version
            if not token:
                return

    async def get(self, version: str, *, timeout: Optional[float] = None) -> ModelVersion:
        """As `Models.get`."""
        return await self._client._run(_operations.get_version(version), timeout)

    async def labelled(
        self, label: str = "live", *, timeout: Optional[float] = None
    ) -> ModelVersion:
        """As `Models.labelled`."""
        async for version in self.list(page_size=1_000, timeout=timeout):
            if label in version.labels:
                return version
        raise NotFound(f"no version has the label {label!r}")

    async def promote(
        self, version: str, label: str = "live", *, timeout: Optional[float] = None
    ) -> ModelVersion:
        """As `Models.promote`."""
        return await self._client._run(_operations.set_label(version, label), timeout)

    async def remove_label(self, label: str, *, timeout: Optional[float] = None) -> None:
        """As `Models.remove_label`."""
        await self._client._run(_operations.remove_label(label), timeout)

    async def delete(self, version: str, *, timeout: Optional[float] = None) -> None:
        """As `Models.delete`."""
        await self._client._run(_operations.delete_version(version), timeout)


def warn_of(unreadable: list[str]) -> None:
    """Logs which records a page left out, as they cannot be read."""
    if unreadable:
        log.warning("records that cannot be read: %s", ", ".join(unreadable))
