"""The calls of the services: where they go, how long they may take, whether a repeat is safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._generated.dataset_pb2_grpc import DatasetServiceStub
from ._generated.history_pb2_grpc import HistoryServiceStub
from ._generated.model_pb2_grpc import ModelServiceStub
from ._generated.recommendation_pb2_grpc import RecommendationServiceStub
from ._generated.training_pb2_grpc import TrainingServiceStub

SCORER = "scorer"
COORDINATOR = "coordinator"


@dataclass(frozen=True)
class Method:
    """One RPC."""

    service: str
    stub: Callable[[Any], Any]
    name: str
    # Seconds for the call with its repeats, where the caller says nothing else.
    timeout: float
    # Carried out twice, it leaves things as carried out once. Others are sent once, and wait for
    # a connection first.
    is_repeatable: bool = True
    # Held back here while the service refuses much.
    is_throttled: bool = False


def _scorer(name: str, timeout: float, is_throttled: bool = False) -> Method:
    return Method(SCORER, RecommendationServiceStub, name, timeout, is_throttled=is_throttled)


def _history(name: str, timeout: float) -> Method:
    return Method(SCORER, HistoryServiceStub, name, timeout)


def _training(name: str, is_repeatable: bool = True) -> Method:
    return Method(COORDINATOR, TrainingServiceStub, name, 10.0, is_repeatable)


def _models(name: str, is_repeatable: bool = True) -> Method:
    return Method(COORDINATOR, ModelServiceStub, name, 10.0, is_repeatable)


RECOMMEND = _scorer("Recommend", 2.0, is_throttled=True)
SCORE_ITEMS = _scorer("ScoreItems", 2.0, is_throttled=True)
SIMILAR_ITEMS = _scorer("SimilarItems", 2.0, is_throttled=True)
GET_STATUS = _scorer("GetStatus", 5.0)
# Of a stream: the longest silence while answers are due.
BATCH_RECOMMEND = _scorer("BatchRecommend", 60.0)

RECORD = _history("RecordInteractions", 60.0)
FORGET = _history("ForgetInteractions", 60.0)
GET_HISTORY = _history("GetHistory", 5.0)
DELETE_USER = _history("DeleteUser", 10.0)

LIST_DATASETS = Method(COORDINATOR, DatasetServiceStub, "ListDatasets", 10.0)

# Safe to repeat as each submission has a request id.
TRAIN_JOB = _training("TrainJob")
GET_JOB = _training("GetJob")
LIST_JOBS = _training("ListJobs")
# A repeat after a lost answer may find the job ended, and say FAILED_PRECONDITION.
CANCEL_JOB = _training("CancelJob", is_repeatable=False)
RETRY_JOB = _training("RetryJob", is_repeatable=False)
WATCH_JOB = _training("WatchJob")

GET_MODEL_VERSION = _models("GetModelVersion")
LIST_MODEL_VERSIONS = _models("ListModelVersions")
SET_LABEL = _models("SetLabel")
REMOVE_LABEL = _models("RemoveLabel")
# A repeat after a lost answer would say NOT_FOUND.
DELETE_MODEL_VERSION = _models("DeleteModelVersion", is_repeatable=False)
