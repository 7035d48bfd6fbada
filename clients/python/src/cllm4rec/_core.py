"""What both clients are made of, but for waiting: settings, replicas, repeats, throttling."""

from __future__ import annotations

import threading
from typing import Any, Optional

from . import _settings
from ._methods import COORDINATOR, SCORER, Method
from ._replicas import Replicas
from ._retry import Attempts, RetryBudget
from ._settings import PathLike, Target
from ._throttle import Throttle


class Service:
    """The scorer or the coordinator, as one client knows it."""

    def __init__(self, target: Target, client_id: str) -> None:
        self.target = target
        self.metadata = target.metadata(client_id)
        self.budget = RetryBudget()
        self.throttle = Throttle()
        self.replicas: Optional[Replicas] = None


class ClientBase:
    """Settings of a client; `Client` and `AsyncClient` add the waiting."""

    def __init__(
        self,
        target: Optional[str] = None,
        coordinator: Optional[str] = None,
        *,
        token: Optional[str] = None,
        coordinator_token: Optional[str] = None,
        tls: Optional[bool] = None,
        ca: Optional[PathLike] = None,
        catalog: str = "",
        timeout: Optional[float] = None,
        client_id: str = "",
    ) -> None:
        """Makes a client; nothing is connected before the first call.

        What is not given is taken from the environment (`CLLM4REC__SCORER__URL`, `…__TOKEN`,
        `…__CA`, and the same with `COORDINATOR`), as the command line does.

        Args:
            target: the scorer: `host:port`, `http://…` or `https://…`, several of them with commas
                between, or `dns:///name:port`; 127.0.0.1:7070 when nobody says otherwise. Calls go
                to the replicas in turn.
            coordinator: the coordinator, in the same forms; 127.0.0.1:7071.
            token: sent to both, as `authorization: Bearer …`.
            coordinator_token: sent to the coordinator in the place of `token`.
            tls: use TLS; without it `https://` or `ca` say so.
            ca: PEM file of the authority to trust instead of the public ones.
            catalog: namespace of the item ids for calls that name none.
            timeout: seconds for each call with its repeats, instead of the defaults: 2 for
                `recommend`, `score` and `similar`, 5 to 60 for others. Streams have their own.
            client_id: whose share of a busy scorer the calls count against; the address's when
                empty.

        Raises:
            ValueError: an address cannot be used.
        """
        own = coordinator_token if coordinator_token is not None else token
        self._services = {
            SCORER: Service(_settings.target(SCORER, target, token, tls, ca), client_id),
            COORDINATOR: Service(
                _settings.target(COORDINATOR, coordinator, own, tls, ca), client_id
            ),
        }
        self._catalog = catalog
        self._timeout = timeout
        self._lock = threading.Lock()

    def _new_channel(self, address: str, credentials: Any) -> Any:
        """A channel of grpc or grpc.aio; of the latter inside of its event loop."""
        raise NotImplementedError

    def _service(self, name: str) -> Service:
        """A service with its channels, which are made at the first call."""
        service = self._services[name]
        with self._lock:
            if service.replicas is None:
                credentials = service.target.credentials()
                channels = []
                for address in service.target.addresses:
                    channels.append((address, self._new_channel(address, credentials)))
                service.replicas = Replicas(channels)
        return service

    def _replicas(self, method: Method) -> Replicas:
        replicas = self._service(method.service).replicas
        assert replicas is not None
        return replicas

    def _metadata(self, method: Method) -> tuple[tuple[str, str], ...]:
        return self._services[method.service].metadata

    def _attempts(self, method: Method, timeout: Optional[float]) -> Attempts:
        service = self._service(method.service)
        return Attempts(
            method,
            self._seconds(method, timeout),
            self._replicas(method),
            service.budget,
            service.throttle,
        )

    def _seconds(self, method: Method, timeout: Optional[float]) -> float:
        """Seconds for a call: what it says, what the client says, or the method's own."""
        for given in (timeout, self._timeout):
            if given is not None:
                if given <= 0:
                    raise ValueError(f"timeout={given} is not above 0 seconds")
                return given
        return method.timeout

    def _in_catalog(self, catalog: Optional[str]) -> str:
        return self._catalog if catalog is None else catalog

    def _channels(self) -> list[Any]:
        """All channels that were made."""
        made = [one.replicas for one in self._services.values() if one.replicas is not None]
        return [replica.channel for replicas in made for replica in replicas.all]
