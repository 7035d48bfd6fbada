"""Where the services are and how to be let in: arguments over the environment over defaults.

The environment's names are the command line's: `CLLM4REC__SCORER__URL`, `…__TOKEN`, `…__CA`,
and the same with `COORDINATOR`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import grpc

DEFAULT_URLS = {"scorer": "127.0.0.1:7070", "coordinator": "127.0.0.1:7071"}
# Schemes that gRPC resolves by itself, one channel each.
NAME_SCHEMES = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:", "xds:")

# Answers hold at most 10,000 interactions or 1,000 items.
LONGEST_ANSWER = 64 * 1024 * 1024
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", LONGEST_ANSWER),
    # Finds out that a peer is gone without saying so; as the services' own clients do.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # The longest wait for a connection.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # Repeats are this package's own.
    ("grpc.enable_retries", 0),
]

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Target:
    """One service: its addresses, the token, and whether to use TLS."""

    addresses: tuple[str, ...]
    token: str = field(default="", repr=False)
    is_tls: bool = False
    ca: Optional[str] = None

    def credentials(self) -> Any:
        """TLS that trusts the given authority or the public ones; None for plain text.

        Raises:
            OSError: the authority's file cannot be read.
        """
        if not self.is_tls:
            return None
        roots = Path(self.ca).read_bytes() if self.ca else None
        return grpc.ssl_channel_credentials(root_certificates=roots)

    def metadata(self, client_id: str) -> tuple[tuple[str, str], ...]:
        """What is sent with every call."""
        pairs: list[tuple[str, str]] = []
        if self.token:
            pairs.append(("authorization", f"Bearer {self.token}"))
        if client_id:
            pairs.append(("client-id", client_id))
        return tuple(pairs)


def target(
    service: str,
    url: Optional[str],
    token: Optional[str],
    tls: Optional[bool],
    ca: Optional[PathLike],
    environment: Mapping[str, str] = os.environ,
) -> Target:
    """The target of a service, `scorer` or `coordinator`.

    Raises:
        ValueError: no address is given, or `http://` and `https://` are mixed or contradict `tls`.
    """
    prefix = f"CLLM4REC__{service.upper()}__"
    url = url or environment.get(prefix + "URL") or DEFAULT_URLS[service]
    token = token if token is not None else environment.get(prefix + "TOKEN", "")
    authority = os.fspath(ca) if ca is not None else environment.get(prefix + "CA") or None
    addresses, schemes = _split(url)
    if not addresses:
        raise ValueError(f"{url!r} names no address of the {service}")
    if len(schemes) > 1:
        raise ValueError(f"{url!r} mixes http:// and https://")
    said = {"https": True, "http": False}.get(next(iter(schemes), ""))
    if said is not None and tls is not None and said != tls:
        raise ValueError(f"{url!r} contradicts tls={tls}")
    wanted = tls if tls is not None else said
    is_tls = wanted if wanted is not None else authority is not None
    return Target(addresses, token, is_tls, authority)


def _split(url: str) -> tuple[tuple[str, ...], set[str]]:
    """Addresses as gRPC takes them, and which of http and https stood before them."""
    if url.startswith(NAME_SCHEMES):
        return (url,), set()
    addresses: list[str] = []
    schemes: set[str] = set()
    for part in url.split(","):
        scheme, separator, rest = part.strip().rpartition("://")
        if separator and scheme not in ("http", "https"):
            raise ValueError(f"{part!r} is none of host:port, http://…, https://…, dns:///…")
        if separator:
            schemes.add(scheme)
        address = rest.rstrip("/")
        if address:
            addresses.append(address)
    return tuple(addresses), schemes
