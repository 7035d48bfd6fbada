"""What can go wrong, one exception for each gRPC status, and how a status becomes one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from ._generated.recommendation_pb2 import BatchRecommendResponse
    from .training_types import JobInfo
    from .types import RecordResult

DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request that was refused, and why."""

    field: str
    description: str


class Cllm4recError(Exception):
    """The base of every error that a call of this package raises.

    Attributes:
        code: the gRPC status code, such as `grpc.StatusCode.NOT_FOUND`.
        message: what the service said, for people.
        field_violations: all fields of the request that were refused, twenty at most.
        retry_after: seconds after which a repeat is worth trying, where the service said so.
        is_local: True when the call was held back here and never sent.
        recorded: for `record` and `forget`, what had been done before the error.
    """

    code: Any = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        field_violations: Iterable[FieldViolation] = (),
        retry_after: Optional[float] = None,
        is_local: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field_violations = tuple(field_violations)
        self.retry_after = retry_after
        self.is_local = is_local
        self.recorded: Optional[RecordResult] = None

    def __str__(self) -> str:
        text = f"{self.code.name}: {self.message}"
        for violation in self.field_violations:
            stated = f"{violation.field}: {violation.description}"
            if stated not in text and violation.description not in text:
                text += f"; {stated}"
        return text


class Cancelled(Cllm4recError):
    """The call was ended before its answer, here or by the service's own timer."""

    code = grpc.StatusCode.CANCELLED


class UnknownError(Cllm4recError):
    """The connection broke in a way that gRPC has no name for."""

    code = grpc.StatusCode.UNKNOWN


class InvalidArgument(Cllm4recError):
    """The request is wrong; `field_violations` names the fields."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(Cllm4recError):
    """There was no answer within the call's `timeout`; it may have been carried out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(Cllm4recError):
    """There is no such job, version, label, data set or item."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(Cllm4recError):
    """What was to be made is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(Cllm4recError):
    """The token does not have the role that the call needs (docs/security.md)."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Overloaded(Cllm4recError):
    """Too much is asked of the service (RESOURCE_EXHAUSTED), or a queue is full.

    Where `is_local` is True the call was not sent: the service refuses so much of late that
    this client holds a share of its calls back.
    """

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(Cllm4recError):
    """The call does not fit the state of things, such as cancelling a job that has ended."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(Cllm4recError):
    """Somebody else changed the same thing at the same time."""

    code = grpc.StatusCode.ABORTED


class OutOfRange(Cllm4recError):
    """A value is beyond what there is."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(Cllm4recError):
    """The service does not know the call: it is another one, or of another version."""

    code = grpc.StatusCode.UNIMPLEMENTED


class InternalError(Cllm4recError):
    """Something failed inside of the service; its log says more."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(Cllm4recError):
    """Nobody answers at the address, or the service's own storage is out of reach."""

    code = grpc.StatusCode.UNAVAILABLE


class DataLoss(Cllm4recError):
    """Stored data, such as a version's files, is damaged or gone."""

    code = grpc.StatusCode.DATA_LOSS


class Unauthenticated(Cllm4recError):
    """The token is missing or wrong."""

    code = grpc.StatusCode.UNAUTHENTICATED


class JobFailed(Cllm4recError):
    """A job that was waited for ended without a model; `job` says how."""

    code = grpc.StatusCode.ABORTED

    def __init__(self, message: str, *, job: Optional[JobInfo] = None) -> None:
        super().__init__(message)
        self.job = job

    def __str__(self) -> str:
        return self.message


_KINDS: dict[Any, type[Cllm4recError]] = {
    kind.code: kind for kind in Cllm4recError.__subclasses__() if kind is not JobFailed
}


def from_status(
    code: Any, message: str, metadata: Optional[Iterable[tuple[str, Any]]] = None
) -> Cllm4recError:
    """Makes the exception of a gRPC status and of the details in its trailing metadata."""
    violations: list[FieldViolation] = []
    retry_after: Optional[float] = None
    for detail in _details(metadata or ()):
        bad_request = error_details_pb2.BadRequest()
        retry_info = error_details_pb2.RetryInfo()
        if detail.Unpack(bad_request):
            for one in bad_request.field_violations:
                violations.append(FieldViolation(one.field, one.description))
        elif detail.Unpack(retry_info):
            retry_after = _seconds(retry_info.retry_delay)
    kind = _KINDS.get(code, UnknownError)
    return kind(message, field_violations=violations, retry_after=retry_after)


def from_failure(failure: BatchRecommendResponse.Failure) -> Cllm4recError:
    """Makes the exception of what a batch answers for a user who gets no list."""
    found = (code for code in grpc.StatusCode if code.value[0] == failure.code)
    error = from_status(next(found, grpc.StatusCode.UNKNOWN), failure.message)
    if failure.HasField("retry_delay"):
        error.retry_after = _seconds(failure.retry_delay)
    return error


def from_rpc_error(error: Any) -> Cllm4recError:
    """Makes the exception of what a grpc or grpc.aio call raised."""
    return from_status(error.code(), error.details() or "", error.trailing_metadata())


def _seconds(delay: Any) -> float:
    """A duration that a service asks for; none goes back in time."""
    return max(0.0, float(delay.seconds + delay.nanos / 1e9))


def _details(metadata: Iterable[tuple[str, Any]]) -> Iterable[Any]:
    for key, value in metadata:
        if key != DETAILS_KEY:
            continue
        status = status_pb2.Status()
        try:
            status.ParseFromString(value)
        except DecodeError:
            continue
        yield from status.details
