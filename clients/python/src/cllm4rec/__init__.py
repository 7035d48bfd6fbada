"""A client of cllm4rec, a recommender on a language model with user and item tokens.

`Client` waits for its answers, `AsyncClient` is for asyncio; both have the same methods. README.md
has the first steps.
"""

from __future__ import annotations

from ._options import RecommendOptions
from .aio import AsyncClient
from .client import Client
from .errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    Cllm4recError,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InternalError,
    InvalidArgument,
    JobFailed,
    NotFound,
    OutOfRange,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UnknownError,
)
from .jobs import AsyncJob, Job
from .models import AsyncModels, Models
from .training_types import Dataset, Epoch, JobEvent, JobInfo, ModelVersion, Progress, Schedule
from .types import (
    Degradation,
    History,
    Interaction,
    ItemScore,
    LoadedVersion,
    NewItem,
    Reason,
    Recommendation,
    RecommendedItem,
    RecordResult,
    Scores,
    ServingStatus,
    UnloadableVersion,
)

__version__ = "0.1.0"
__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncJob",
    "AsyncModels",
    "Cancelled",
    "Client",
    "Cllm4recError",
    "DataLoss",
    "Dataset",
    "DeadlineExceeded",
    "Degradation",
    "Epoch",
    "FailedPrecondition",
    "FieldViolation",
    "History",
    "Interaction",
    "InternalError",
    "InvalidArgument",
    "ItemScore",
    "Job",
    "JobEvent",
    "JobFailed",
    "JobInfo",
    "LoadedVersion",
    "ModelVersion",
    "Models",
    "NewItem",
    "NotFound",
    "OutOfRange",
    "Overloaded",
    "PermissionDenied",
    "Progress",
    "Reason",
    "RecommendOptions",
    "Recommendation",
    "RecommendedItem",
    "RecordResult",
    "Schedule",
    "Scores",
    "ServingStatus",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UnknownError",
    "UnloadableVersion",
]
