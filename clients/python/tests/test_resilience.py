"""What a client does when replicas die, say nothing, or refuse."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from services import USERS, Cluster, free_port, wait_until_live

import cllm4rec
from cllm4rec import Client, Job

pytestmark = pytest.mark.usefixtures("trained")


def test_a_killed_replica_loses_no_call(cluster: Cluster) -> None:
    doomed, first = cluster.start_scorer()
    _, second = cluster.start_scorer()
    wait_until_live(first)
    wait_until_live(second)
    n_answered = Counter[str]()
    is_dead = threading.Event()
    with Client(f"{first},{second}", timeout=10) as client:

        def ask(number: int) -> None:
            if number == 60:
                doomed.kill()
                is_dead.set()
            found = client.recommend(USERS[number % 60], k=3)
            assert len(found) == 3
            n_answered["after" if is_dead.is_set() else "before"] += 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(200)))
    assert sum(n_answered.values()) == 200
    assert n_answered["after"] >= 100, n_answered


def test_a_stream_whose_replica_dies_goes_on_at_the_other(cluster: Cluster) -> None:
    doomed, first = cluster.start_scorer()
    wait_until_live(first)
    with Client(f"{first},{cluster.scorer}") as client:
        users = [f"{user}-{part}" for part in range(20) for user in USERS]
        answered = Counter[str]()
        for user, found in client.recommend_many(users, k=3):
            assert isinstance(found, cllm4rec.Recommendation), found
            answered[user] += 1
            if len(answered) == 10:
                doomed.kill()
    assert set(answered) == set(users) and max(answered.values()) == 1


def test_calls_alternate_between_replicas(cluster: Cluster, trained: Job) -> None:
    addresses = [cluster.start_scorer()[1] for _ in range(2)]
    for address in addresses:
        wait_until_live(address)
    with Client(",".join(addresses), timeout=10) as client:
        before = [n_states(address) for address in addresses]
        for number in range(20):
            client.recommend(f"stranger-{number}", history=["i01", f"i{number:02}"])
        after = [n_states(address) for address in addresses]
    shares = [now - then for now, then in zip(after, before)]
    assert shares == [10, 10]


def test_a_name_is_resolved_by_grpc(cluster: Cluster) -> None:
    port = cluster.scorer.rpartition(":")[2]
    with Client(f"dns:///localhost:{port}", timeout=10) as client:
        assert len(client.recommend("u0", k=2)) == 2


def n_states(address: str) -> int:
    """User states that a scorer has computed or found: one for each list."""
    with Client(address) as client:
        counters = client.status().counters
    return sum(n for name, n in counters.items() if name.startswith("states."))


def test_one_who_accepts_and_says_nothing_is_a_passed_deadline() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address) as client:
            started = time.monotonic()
            with pytest.raises((cllm4rec.DeadlineExceeded, cllm4rec.Unavailable)):
                client.recommend("u0", timeout=0.5)
            assert time.monotonic() - started < 2


def test_repeats_stay_within_the_deadline_and_the_budget() -> None:
    with Client(f"127.0.0.1:{free_port()}") as client:
        started = time.monotonic()
        for _ in range(30):
            with pytest.raises(cllm4rec.Unavailable):
                client.recommend("u0", timeout=0.3)
        took = time.monotonic() - started
    assert took < 6, f"{took:.1f} s: repeats end when the budget is spent"


def test_under_overload_as_much_is_answered_as_without_and_few_are_sent(
    cluster: Cluster,
) -> None:
    settings = {"SCORER__MAX_REQUESTS": "8", "SCORER__MAX_RUNNING": "1"}
    _, address = cluster.start_scorer(settings)
    wait_until_live(address)
    with Client(address, client_id="calm") as client:
        best = max(goodput(client, n_threads=n)[0] for n in (2, 4))
    with Client(address, client_id="crowd") as client:
        answered, outcomes = goodput(client, n_threads=48)
    print(f"{best:.0f}/s at best, {answered:.0f}/s from 48 threads: {dict(outcomes)}")
    assert set(outcomes) <= {"answered", "held back", "refused"}, outcomes
    # Loose: the 48 threads take a part of the cores that the scorer runs on.
    assert answered >= 0.4 * best, (answered, best, outcomes)
    assert outcomes["refused"] < 3 * outcomes["answered"] + 50, outcomes


def goodput(client: Client, n_threads: int, seconds: float = 2.0) -> tuple[float, Counter[str]]:
    """Answers a second to threads that ask without a pause, and what became of all calls."""
    outcomes = Counter[str]()
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def ask(thread: int) -> None:
        own = Counter[str]()
        while time.monotonic() < end:
            try:
                client.recommend(USERS[thread % 60], k=10, timeout=2)
                own["answered"] += 1
            except cllm4rec.Overloaded as error:
                own["held back" if error.is_local else "refused"] += 1
                # As one who has something else to do meanwhile; 48 of them are an overload still.
                time.sleep(0.005)
            except cllm4rec.DeadlineExceeded:
                own["late"] += 1
        with lock:
            outcomes.update(own)

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(ask, range(n_threads)))
    return outcomes["answered"] / seconds, outcomes
