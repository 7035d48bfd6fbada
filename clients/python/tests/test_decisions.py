"""Decisions that need no service: addresses, repeats, throttling, rows, specifications."""

from __future__ import annotations

import datetime
import pickle
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

import cllm4rec
from cllm4rec import _datasets, _methods, _progress, _rows, _settings, errors
from cllm4rec._options import RECOMMEND_OPTIONS
from cllm4rec._replicas import Replicas
from cllm4rec._retry import Attempts, RetryBudget
from cllm4rec._spec import train_spec
from cllm4rec._throttle import Throttle
from cllm4rec.training_types import Dataset, Epoch, JobInfo, Progress

HERE = Path(__file__).resolve().parent.parent


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def attempts(method: _methods.Method = _methods.RECOMMEND, n_replicas: int = 1) -> Attempts:
    clock = Clock()
    replicas = Replicas([(str(n), object()) for n in range(n_replicas)], clock)
    return Attempts(method, 2.0, replicas, RetryBudget(), Throttle(clock), clock)


def test_the_stubs_are_those_that_the_protos_give_now(tmp_path: Path) -> None:
    subprocess.run([sys.executable, HERE / "generate.py", tmp_path], check=True)
    kept = HERE / "src" / "cllm4rec" / "_generated"
    names = {path.name for path in kept.iterdir() if path.is_file()}
    assert names == {path.name for path in tmp_path.iterdir()} and len(names) == 16
    for name in names:
        assert (tmp_path / name).read_bytes() == (kept / name).read_bytes(), name


def test_addresses_come_from_arguments_then_the_environment_then_defaults() -> None:
    environment = {
        "CLLM4REC__SCORER__URL": "https://scorer:443",
        "CLLM4REC__SCORER__TOKEN": "secret",
    }
    found = _settings.target("scorer", None, None, None, None, environment)
    assert found.addresses == ("scorer:443",) and found.is_tls and found.token == "secret"
    assert "secret" not in repr(found)
    given = _settings.target("scorer", "a:1, http://b:2/", "own", None, None, environment)
    assert given.addresses == ("a:1", "b:2") and not given.is_tls and given.token == "own"
    usual = _settings.target("coordinator", None, None, None, None, environment)
    assert usual.addresses == ("127.0.0.1:7071",) and usual.token == ""
    named = _settings.target("scorer", "dns:///scorer:7070", None, True, None, {})
    assert named.addresses == ("dns:///scorer:7070",) and named.is_tls
    for wrong in ("https://a:1,http://b:2", "ftp://a:1", ","):
        with pytest.raises(ValueError):
            _settings.target("scorer", wrong, None, None, None, {})


def test_details_of_a_status_become_fields_of_the_error() -> None:
    bad_request, retry_info = Any(), Any()
    violation = error_details_pb2.BadRequest.FieldViolation(field="k", description="0 is none")
    bad_request.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    hint = error_details_pb2.RetryInfo()
    hint.retry_delay.FromMilliseconds(250)
    retry_info.Pack(hint)
    details = status_pb2.Status(details=[bad_request, retry_info]).SerializeToString()
    metadata = [("other", "x"), ("grpc-status-details-bin", details)]
    error = errors.from_status(grpc.StatusCode.INVALID_ARGUMENT, "no", metadata)
    assert isinstance(error, cllm4rec.InvalidArgument)
    assert error.field_violations == (cllm4rec.FieldViolation("k", "0 is none"),)
    assert error.retry_after == 0.25
    again = pickle.loads(pickle.dumps(error))
    assert again.field_violations == error.field_violations and type(again) is type(error)
    broken = [("grpc-status-details-bin", b"\xff\xff")]
    unknown = errors.from_status(grpc.StatusCode.NOT_FOUND, "", broken)
    assert isinstance(unknown, cllm4rec.NotFound)


def test_every_code_has_an_error_of_its_own() -> None:
    found = {type(errors.from_status(code, "")) for code in grpc.StatusCode if code.value[0]}
    assert len(found) == 16


def test_only_what_is_safe_and_may_pass_is_repeated() -> None:
    passing = [errors.Unavailable("x"), errors.UnknownError("x"), errors.Aborted("x")]
    passing.append(errors.Overloaded("x", retry_after=0.2))
    for error in passing:
        one = attempts()
        one.start()
        assert one.failed(error) >= (error.retry_after or 0.0)
    final = [errors.InvalidArgument("x"), errors.NotFound("x"), errors.InternalError("x")]
    final += [errors.Overloaded("a full queue"), errors.Overloaded("x", retry_after=5.0)]
    for error in final:
        one = attempts()
        one.start()
        with pytest.raises(type(error)):
            one.failed(error)
    once = attempts(_methods.DELETE_MODEL_VERSION)
    once.start()
    with pytest.raises(errors.Unavailable):
        once.failed(errors.Unavailable("x"))


def test_a_broken_replica_is_left_for_another_at_once_and_rests() -> None:
    clock = Clock()
    replicas = Replicas([("a", object()), ("b", object())], clock)
    one = Attempts(_methods.RECOMMEND, 2.0, replicas, RetryBudget(), Throttle(clock), clock)
    first, _ = one.start()
    assert one.failed(errors.Unavailable("x")) == 0.0
    second, _ = one.start()
    assert second is not first
    assert [replicas.pick(set()) for _ in range(4)] == [second] * 4
    clock.now = 0.6
    assert {replicas.pick(set()) for _ in range(2)} == {first, second}


def test_repeats_are_a_tenth_of_the_calls_and_ten_more() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 10
    for _ in range(100):
        budget.earn()
    assert 9 <= sum(budget.spend() for _ in range(100)) <= 10


def test_half_as_much_more_is_sent_than_accepted_and_everything_soon_after() -> None:
    clock = Clock()
    throttle = Throttle(clock)

    def offered(n_ms: int, n_taken: int) -> tuple[int, int]:
        """Ten calls a millisecond: those sent and those accepted in the second half."""
        sent = accepted = 0
        for ms in range(n_ms):
            clock.now += 0.001
            n = sum(throttle.may_send() for _ in range(10))
            for number in range(n):
                throttle.hear(is_refused=number >= n_taken)
            if ms >= n_ms // 2:
                sent, accepted = sent + n, accepted + min(n, n_taken)
        return sent, accepted

    assert offered(1_000, 10) == (5_000, 5_000), "nothing is held back before a refusal"
    sent, accepted = offered(6_000, 2)
    assert accepted > 0.98 * 6_000 and sent < 1.6 * accepted
    assert offered(4_000, 10) == (20_000, 20_000)


def test_times_are_read_in_every_form() -> None:
    utc = datetime.timezone.utc
    moment = datetime.datetime(2020, 9, 13, 12, 26, 40, tzinfo=utc)
    forms = [1_600_000_000, 1_600_000_000.0, 1_600_000_000_000, 1_600_000_000 * 10**9]
    forms += ["2020-09-13T12:26:40Z", "2020-09-13T14:26:40+02:00", moment]
    rows = _rows.interactions([("u", 1, form) for form in forms], _rows.Columns())
    assert [row.time for row in rows] == [moment] * len(forms)
    assert [row.time for row in _rows.interactions([("u", "i", None)], _rows.Columns())] == [None]


def test_a_row_that_cannot_be_read_is_named() -> None:
    for rows, said in [
        ([("u", "i"), ("u", None)], "row 1"),
        ([("u", "i", "yesterday")], "row 0.*yesterday"),
        (["ui"], "row 0"),
        ([{"user": "u", "price": 1}], "none of user, price is the item"),
    ]:
        with pytest.raises(ValueError, match=said):
            list(_rows.interactions(rows, _rows.Columns()))


def test_an_interaction_without_time_gets_one_event_id_and_others_none() -> None:
    rows = _rows.interactions([("u", "i"), ("u", "i", 5), ("u", "i", None, "e")], _rows.Columns())
    ids = [row.event_id for row in _rows.with_event_ids(rows)]
    assert len(ids[0]) == 32 and ids[1:] == ["", "e"]


def test_a_specification_takes_dotted_and_nested_names_and_short_values() -> None:
    under = {"finetuning.epochs": 4, "optimizer": "lazy", "backbone.path": "smollm2"}
    spec = train_spec(under, {"dataset": "d" * 32, "finetuning": {"batch": 8}, "labels": ["live"]})
    assert (spec.finetuning.epochs, spec.finetuning.batch) == (4, 8)
    assert spec.dataset == "datasets/" + "d" * 32 and list(spec.labels) == ["live"]
    assert spec.optimizer == 1 and spec.backbone.path == "smollm2"
    over = train_spec(spec, {"backbone": {"random": {"n_embd": 8}}, "hybrid": {"light": "none"}})
    assert over.backbone.WhichOneof("kind") == "random" and over.hybrid.light == 1
    assert train_spec({"finetuning": {}}, {}).HasField("finetuning")
    for wrong in ({"finetuning": {"epochs": "x"}}, {"labels": "live"}, {"finetuning": 3}):
        with pytest.raises((TypeError, ValueError), match="finetuning|labels"):
            train_spec(wrong, {})


def test_the_latest_data_set_of_a_name_is_meant_and_an_unknown_name_lists_the_known() -> None:
    named = [("datasets/3", "games"), ("datasets/2", "tea"), ("datasets/1", "games")]
    known = [Dataset(name, called, "default", None, 1, 1, 1, 0, 0, 0, 0) for name, called in named]
    assert _datasets.called("games", known, 0) == "datasets/3"
    with pytest.raises(cllm4rec.NotFound) as unknown:
        _datasets.called("gmaes", known, 1)
    assert unknown.value.message == (
        "no data set is called 'gmaes'; there are: games, tea; 1 cannot be read"
    )
    with pytest.raises(cllm4rec.NotFound, match="there are: none"):
        _datasets.called("games", [], 0)
    assert [_datasets.is_display_name(one) for one in ("games", "datasets/1", "")] == [
        True,
        False,
        False,
    ]


def test_the_help_of_recommend_names_every_option() -> None:
    shown = pydoc.plain(pydoc.render_doc(cllm4rec.Client.recommend))
    names = set(re.findall(r"^ +([a-z_]+(?:, [a-z_]+)*): ", shown, re.MULTILINE))
    named = {name for some in names for name in some.split(", ")}
    assert named == RECOMMEND_OPTIONS | {"user", "k", "timeout"}


def test_a_line_says_stage_loss_validation_and_time_left() -> None:
    epochs = (Epoch("finetuning", 1, 5.5, 0.12345), Epoch("finetuning", 2, 5.3, None))
    now = Progress("finetuning", 3, 10, loss=5.25, done=0.5, eta_seconds=75, epochs=epochs)
    shown = _progress.line(JobInfo("jobs/1", "RUNNING", progress=now))
    assert shown.endswith(
        " 50%  finetuning 3/10  loss 5.250  validation NDCG@100 0.1235  1 min 15 s left"
    )
    assert _progress.line(JobInfo("jobs/1", "QUEUED")) == "jobs/1  QUEUED"
