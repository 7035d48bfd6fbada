"""What the coordinator answers, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True)
class Dataset:
    """A data set that jobs can learn from.

    Attributes:
        name: `datasets/…`, the hash of its content.
        display_name: what people call it; several may have one, of which the latest is meant.
        catalog: namespace of its item ids.
        import_time: when it was imported last.
        n_train: interactions to learn from; and so `n_valid` and `n_test`.
        n_texts: reviews, descriptions and biographies.
        n_titles: items that have a title.
    """

    name: str
    display_name: str
    catalog: str
    import_time: Optional[datetime]
    n_users: int
    n_items: int
    n_train: int
    n_valid: int
    n_test: int
    n_texts: int
    n_titles: int


@dataclass(frozen=True)
class Schedule:
    """When and where a job is to run (docs/scheduling.md).

    Attributes:
        priority: -100 to 100; larger ones come first within a queue.
        queue: one of the coordinator's queues; `default` when empty.
        start_after: no worker takes the job before.
        deadline: a job that has not ended by then fails.
        after: jobs that must have succeeded first.
        labels: a worker must have all of these.
        memory_gib: a worker's device must have so much memory.
    """

    priority: int = 0
    queue: str = ""
    start_after: Optional[datetime] = None
    deadline: Optional[datetime] = None
    after: Sequence[str] = ()
    labels: Sequence[str] = ()
    memory_gib: int = 0


@dataclass(frozen=True)
class Epoch:
    """How an epoch went.

    Attributes:
        stage: such as `finetuning`.
        epoch: within the stage, from 1.
        loss: mean cross-entropy of its steps.
        valid_ndcg_100: NDCG@100 on validation; None where it was not measured.
    """

    stage: str
    epoch: int
    loss: float
    valid_ndcg_100: Optional[float]


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        epoch: within the stage, from 1; and so `step` within the epoch.
        loss: cross-entropy of the latest step.
        done: share of the whole job, 0 to 1.
        eta_seconds: 0 when unknown.
        epochs: how each epoch so far went.
    """

    stage: str = ""
    epoch: int = 0
    n_epochs: int = 0
    step: int = 0
    n_steps: int = 0
    loss: float = 0.0
    tokens_per_second: float = 0.0
    done: float = 0.0
    eta_seconds: float = 0.0
    device: str = ""
    epochs: tuple[Epoch, ...] = ()


@dataclass(frozen=True)
class JobInfo:
    """A job as it was at some moment.

    Attributes:
        name: `jobs/…`; empty in the answer to `validate_only`.
        spec: the specification with all defaults, as nested dictionaries.
        state: `QUEUED`, `RUNNING`, `CANCELLING`, `SUCCEEDED`, `FAILED` or `CANCELLED`.
        cause: why the latest attempt ended early, such as `BAD_DATA`; empty when it did not.
        cause_message: what, where, and how to fix it.
        metrics: of the result, such as `recall@20`; baselines have their own prefixes.
        model_version: `modelVersions/…` of the result; empty without one.
        awaits: jobs that it still waits for.
        no_taker: why no worker can take a queued job; empty when one can.
        notes: with `validate_only`: what it will cost, who can take it.
    """

    name: str
    state: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    worker: str = ""
    cause: str = ""
    cause_message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    model_version: str = ""
    n_events: int = 0
    awaits: tuple[str, ...] = ()
    no_taker: str = ""
    notes: tuple[str, ...] = ()
    create_time: Optional[datetime] = None
    update_time: Optional[datetime] = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in ENDED


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        number: from 1; repeated while only the progress is fresher.
        message: what happened, for people.
        job: the job after it.
    """

    number: int
    message: str
    job: JobInfo
    time: Optional[datetime] = None


@dataclass(frozen=True)
class ModelVersion:
    """A version in the registry.

    Attributes:
        name: `modelVersions/…`.
        dataset: `datasets/…` that it was trained on, which people call `dataset_name`.
        labels: those that point here now.
        metrics: on the validation and test splits, beside the baselines'.
        final_fit: it was fitted once more on everything after it was measured.
        train_seconds: how long the training took; 0 when unknown.
    """

    name: str
    catalog: str
    dataset: str
    dataset_name: str
    job: str
    labels: tuple[str, ...]
    metrics: Mapping[str, float]
    spec: Mapping[str, Any]
    final_fit: bool
    train_seconds: float
    create_time: Optional[datetime] = None
