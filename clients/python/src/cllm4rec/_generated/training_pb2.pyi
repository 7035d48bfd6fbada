import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadTexts(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    READ_TEXTS_UNSPECIFIED: _ClassVar[ReadTexts]
    READ_TEXTS_NONE: _ClassVar[ReadTexts]
    READ_TEXTS_WORDS: _ClassVar[ReadTexts]

class ColdItems(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLD_ITEMS_UNSPECIFIED: _ClassVar[ColdItems]
    COLD_ITEMS_ROWS: _ClassVar[ColdItems]
    COLD_ITEMS_TEXT: _ClassVar[ColdItems]

class Light(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIGHT_UNSPECIFIED: _ClassVar[Light]
    LIGHT_NONE: _ClassVar[Light]
    LIGHT_EASE: _ClassVar[Light]

class Optimizer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTIMIZER_UNSPECIFIED: _ClassVar[Optimizer]
    OPTIMIZER_LAZY: _ClassVar[Optimizer]
    OPTIMIZER_DENSE: _ClassVar[Optimizer]

class ValuePath(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_PATH_UNSPECIFIED: _ClassVar[ValuePath]
    VALUE_PATH_RANDOM: _ClassVar[ValuePath]
    VALUE_PATH_NEAR_IDENTITY: _ClassVar[ValuePath]

class TableInit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TABLE_INIT_UNSPECIFIED: _ClassVar[TableInit]
    TABLE_INIT_NORMAL: _ClassVar[TableInit]
    TABLE_INIT_SPECTRAL: _ClassVar[TableInit]

class Target(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TARGET_UNSPECIFIED: _ClassVar[Target]
    TARGET_ALL: _ClassVar[Target]
    TARGET_HIDDEN: _ClassVar[Target]

class Baselines(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BASELINES_UNSPECIFIED: _ClassVar[Baselines]
    BASELINES_NONE: _ClassVar[Baselines]
    BASELINES_POPULARITY: _ClassVar[Baselines]
    BASELINES_ALL: _ClassVar[Baselines]
READ_TEXTS_UNSPECIFIED: ReadTexts
READ_TEXTS_NONE: ReadTexts
READ_TEXTS_WORDS: ReadTexts
COLD_ITEMS_UNSPECIFIED: ColdItems
COLD_ITEMS_ROWS: ColdItems
COLD_ITEMS_TEXT: ColdItems
LIGHT_UNSPECIFIED: Light
LIGHT_NONE: Light
LIGHT_EASE: Light
OPTIMIZER_UNSPECIFIED: Optimizer
OPTIMIZER_LAZY: Optimizer
OPTIMIZER_DENSE: Optimizer
VALUE_PATH_UNSPECIFIED: ValuePath
VALUE_PATH_RANDOM: ValuePath
VALUE_PATH_NEAR_IDENTITY: ValuePath
TABLE_INIT_UNSPECIFIED: TableInit
TABLE_INIT_NORMAL: TableInit
TABLE_INIT_SPECTRAL: TableInit
TARGET_UNSPECIFIED: Target
TARGET_ALL: Target
TARGET_HIDDEN: Target
BASELINES_UNSPECIFIED: Baselines
BASELINES_NONE: Baselines
BASELINES_POPULARITY: Baselines
BASELINES_ALL: Baselines

class TrainJobRequest(_message.Message):
    __slots__ = ("spec", "request_id", "validate_only", "schedule", "counts")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    spec: TrainSpec
    request_id: str
    validate_only: bool
    schedule: Schedule
    counts: DatasetCounts
    def __init__(self, spec: _Optional[_Union[TrainSpec, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ..., schedule: _Optional[_Union[Schedule, _Mapping]] = ..., counts: _Optional[_Union[DatasetCounts, _Mapping]] = ...) -> None: ...

class DatasetCounts(_message.Message):
    __slots__ = ("n_users", "n_items", "n_train", "n_valid", "n_test", "text_lengths")
    N_USERS_FIELD_NUMBER: _ClassVar[int]
    N_ITEMS_FIELD_NUMBER: _ClassVar[int]
    N_TRAIN_FIELD_NUMBER: _ClassVar[int]
    N_VALID_FIELD_NUMBER: _ClassVar[int]
    N_TEST_FIELD_NUMBER: _ClassVar[int]
    TEXT_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    n_users: int
    n_items: int
    n_train: int
    n_valid: int
    n_test: int
    text_lengths: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, n_users: _Optional[int] = ..., n_items: _Optional[int] = ..., n_train: _Optional[int] = ..., n_valid: _Optional[int] = ..., n_test: _Optional[int] = ..., text_lengths: _Optional[_Iterable[int]] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("priority", "queue", "start_after", "deadline", "after", "needs")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    START_AFTER_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    priority: int
    queue: str
    start_after: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    after: _containers.RepeatedScalarFieldContainer[str]
    needs: Needs
    def __init__(self, priority: _Optional[int] = ..., queue: _Optional[str] = ..., start_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[_Iterable[str]] = ..., needs: _Optional[_Union[Needs, _Mapping]] = ...) -> None: ...

class Needs(_message.Message):
    __slots__ = ("labels", "memory_gib")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GIB_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedScalarFieldContainer[str]
    memory_gib: int
    def __init__(self, labels: _Optional[_Iterable[str]] = ..., memory_gib: _Optional[int] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state", "dataset", "label", "newest_first")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: Job.State
    dataset: str
    label: str
    newest_first: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[Job.State, str]] = ..., dataset: _Optional[str] = ..., label: _Optional[str] = ..., newest_first: bool = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token", "unreadable")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    unreadable: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., unreadable: _Optional[_Iterable[str]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("name", "from_number")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FROM_NUMBER_FIELD_NUMBER: _ClassVar[int]
    name: str
    from_number: int
    def __init__(self, name: _Optional[str] = ..., from_number: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("number", "time", "message", "job")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    number: int
    time: _timestamp_pb2.Timestamp
    message: str
    job: Job
    def __init__(self, number: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ..., job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class TrainSpec(_message.Message):
    __slots__ = ("dataset", "seed", "backbone", "init", "pretraining", "finetuning", "evaluation", "labels", "max_attempts", "optimizer", "spectral_rank", "hybrid", "cold_items", "n_sampled_items", "reading", "start_from")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    INIT_FIELD_NUMBER: _ClassVar[int]
    PRETRAINING_FIELD_NUMBER: _ClassVar[int]
    FINETUNING_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    SPECTRAL_RANK_FIELD_NUMBER: _ClassVar[int]
    HYBRID_FIELD_NUMBER: _ClassVar[int]
    COLD_ITEMS_FIELD_NUMBER: _ClassVar[int]
    N_SAMPLED_ITEMS_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    START_FROM_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    seed: int
    backbone: Backbone
    init: TableInit
    pretraining: Pretraining
    finetuning: Finetuning
    evaluation: Evaluation
    labels: _containers.RepeatedScalarFieldContainer[str]
    max_attempts: int
    optimizer: Optimizer
    spectral_rank: int
    hybrid: Hybrid
    cold_items: ColdItems
    n_sampled_items: int
    reading: Reading
    start_from: str
    def __init__(self, dataset: _Optional[str] = ..., seed: _Optional[int] = ..., backbone: _Optional[_Union[Backbone, _Mapping]] = ..., init: _Optional[_Union[TableInit, str]] = ..., pretraining: _Optional[_Union[Pretraining, _Mapping]] = ..., finetuning: _Optional[_Union[Finetuning, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., labels: _Optional[_Iterable[str]] = ..., max_attempts: _Optional[int] = ..., optimizer: _Optional[_Union[Optimizer, str]] = ..., spectral_rank: _Optional[int] = ..., hybrid: _Optional[_Union[Hybrid, _Mapping]] = ..., cold_items: _Optional[_Union[ColdItems, str]] = ..., n_sampled_items: _Optional[int] = ..., reading: _Optional[_Union[Reading, _Mapping]] = ..., start_from: _Optional[str] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("texts", "light_strength", "start_strength")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    LIGHT_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    START_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    texts: ReadTexts
    light_strength: float
    start_strength: float
    def __init__(self, texts: _Optional[_Union[ReadTexts, str]] = ..., light_strength: _Optional[float] = ..., start_strength: _Optional[float] = ...) -> None: ...

class Hybrid(_message.Message):
    __slots__ = ("light", "n_kept")
    LIGHT_FIELD_NUMBER: _ClassVar[int]
    N_KEPT_FIELD_NUMBER: _ClassVar[int]
    light: Light
    n_kept: int
    def __init__(self, light: _Optional[_Union[Light, str]] = ..., n_kept: _Optional[int] = ...) -> None: ...

class Backbone(_message.Message):
    __slots__ = ("path", "random")
    PATH_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FIELD_NUMBER: _ClassVar[int]
    path: str
    random: RandomBackbone
    def __init__(self, path: _Optional[str] = ..., random: _Optional[_Union[RandomBackbone, _Mapping]] = ...) -> None: ...

class RandomBackbone(_message.Message):
    __slots__ = ("n_embd", "n_layer", "n_head", "n_positions", "seed", "value_path", "warmup_epochs")
    N_EMBD_FIELD_NUMBER: _ClassVar[int]
    N_LAYER_FIELD_NUMBER: _ClassVar[int]
    N_HEAD_FIELD_NUMBER: _ClassVar[int]
    N_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VALUE_PATH_FIELD_NUMBER: _ClassVar[int]
    WARMUP_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    n_embd: int
    n_layer: int
    n_head: int
    n_positions: int
    seed: int
    value_path: ValuePath
    warmup_epochs: int
    def __init__(self, n_embd: _Optional[int] = ..., n_layer: _Optional[int] = ..., n_head: _Optional[int] = ..., n_positions: _Optional[int] = ..., seed: _Optional[int] = ..., value_path: _Optional[_Union[ValuePath, str]] = ..., warmup_epochs: _Optional[int] = ...) -> None: ...

class Pretraining(_message.Message):
    __slots__ = ("content_epochs", "epochs", "batch", "learning_rate", "lambda_l", "random_order", "max_text_tokens", "documents_per_epoch", "with_content")
    CONTENT_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    LAMBDA_FIELD_NUMBER: _ClassVar[int]
    LAMBDA_L_FIELD_NUMBER: _ClassVar[int]
    RANDOM_ORDER_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    WITH_CONTENT_FIELD_NUMBER: _ClassVar[int]
    content_epochs: int
    epochs: int
    batch: int
    learning_rate: float
    lambda_l: float
    random_order: bool
    max_text_tokens: int
    documents_per_epoch: int
    with_content: bool
    def __init__(self, content_epochs: _Optional[int] = ..., epochs: _Optional[int] = ..., batch: _Optional[int] = ..., learning_rate: _Optional[float] = ..., lambda_l: _Optional[float] = ..., random_order: bool = ..., max_text_tokens: _Optional[int] = ..., documents_per_epoch: _Optional[int] = ..., with_content: bool = ..., **kwargs) -> None: ...

class Finetuning(_message.Message):
    __slots__ = ("epochs", "batch", "learning_rate", "hidden_share", "target", "with_content", "dropout", "logit_scale", "without_user_token", "distilled_share", "teacher_sharpness", "final_fit")
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    LAMBDA_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SHARE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WITH_CONTENT_FIELD_NUMBER: _ClassVar[int]
    DROPOUT_FIELD_NUMBER: _ClassVar[int]
    LOGIT_SCALE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_USER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DISTILLED_SHARE_FIELD_NUMBER: _ClassVar[int]
    TEACHER_SHARPNESS_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIT_FIELD_NUMBER: _ClassVar[int]
    epochs: int
    batch: int
    learning_rate: float
    hidden_share: float
    target: Target
    with_content: bool
    dropout: float
    logit_scale: float
    without_user_token: bool
    distilled_share: float
    teacher_sharpness: float
    final_fit: bool
    def __init__(self, epochs: _Optional[int] = ..., batch: _Optional[int] = ..., learning_rate: _Optional[float] = ..., hidden_share: _Optional[float] = ..., target: _Optional[_Union[Target, str]] = ..., with_content: bool = ..., dropout: _Optional[float] = ..., logit_scale: _Optional[float] = ..., without_user_token: bool = ..., distilled_share: _Optional[float] = ..., teacher_sharpness: _Optional[float] = ..., final_fit: bool = ..., **kwargs) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("every", "patience", "baselines")
    EVERY_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    BASELINES_FIELD_NUMBER: _ClassVar[int]
    every: int
    patience: int
    baselines: Baselines
    def __init__(self, every: _Optional[int] = ..., patience: _Optional[int] = ..., baselines: _Optional[_Union[Baselines, str]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("name", "spec", "state", "create_time", "update_time", "progress", "attempts", "worker", "cause", "metrics", "model_version", "n_events", "notes", "outage", "schedule", "awaits", "no_taker")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Job.State]
        QUEUED: _ClassVar[Job.State]
        RUNNING: _ClassVar[Job.State]
        CANCELLING: _ClassVar[Job.State]
        SUCCEEDED: _ClassVar[Job.State]
        FAILED: _ClassVar[Job.State]
        CANCELLED: _ClassVar[Job.State]
    STATE_UNSPECIFIED: Job.State
    QUEUED: Job.State
    RUNNING: Job.State
    CANCELLING: Job.State
    SUCCEEDED: Job.State
    FAILED: Job.State
    CANCELLED: Job.State
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    N_EVENTS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    AWAITS_FIELD_NUMBER: _ClassVar[int]
    NO_TAKER_FIELD_NUMBER: _ClassVar[int]
    name: str
    spec: TrainSpec
    state: Job.State
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    progress: Progress
    attempts: int
    worker: str
    cause: Cause
    metrics: _containers.ScalarMap[str, float]
    model_version: str
    n_events: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    outage: Outage
    schedule: Schedule
    awaits: _containers.RepeatedScalarFieldContainer[str]
    no_taker: str
    def __init__(self, name: _Optional[str] = ..., spec: _Optional[_Union[TrainSpec, _Mapping]] = ..., state: _Optional[_Union[Job.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., attempts: _Optional[int] = ..., worker: _Optional[str] = ..., cause: _Optional[_Union[Cause, _Mapping]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., model_version: _Optional[str] = ..., n_events: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ..., outage: _Optional[_Union[Outage, _Mapping]] = ..., schedule: _Optional[_Union[Schedule, _Mapping]] = ..., awaits: _Optional[_Iterable[str]] = ..., no_taker: _Optional[str] = ...) -> None: ...

class Outage(_message.Message):
    __slots__ = ("since", "next_try", "until", "n_attempts")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    N_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    next_try: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    n_attempts: int
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_try: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., n_attempts: _Optional[int] = ...) -> None: ...

class Cause(_message.Message):
    __slots__ = ("kind", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Cause.Kind]
        WORKER_LOST: _ClassVar[Cause.Kind]
        BAD_DATA: _ClassVar[Cause.Kind]
        BAD_BACKBONE: _ClassVar[Cause.Kind]
        DIVERGED: _ClassVar[Cause.Kind]
        OUT_OF_MEMORY: _ClassVar[Cause.Kind]
        INTERNAL: _ClassVar[Cause.Kind]
        UNAVAILABLE: _ClassVar[Cause.Kind]
        WORKER_CRASHED: _ClassVar[Cause.Kind]
        DEADLINE_PASSED: _ClassVar[Cause.Kind]
        DEPENDENCY_FAILED: _ClassVar[Cause.Kind]
    KIND_UNSPECIFIED: Cause.Kind
    WORKER_LOST: Cause.Kind
    BAD_DATA: Cause.Kind
    BAD_BACKBONE: Cause.Kind
    DIVERGED: Cause.Kind
    OUT_OF_MEMORY: Cause.Kind
    INTERNAL: Cause.Kind
    UNAVAILABLE: Cause.Kind
    WORKER_CRASHED: Cause.Kind
    DEADLINE_PASSED: Cause.Kind
    DEPENDENCY_FAILED: Cause.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: Cause.Kind
    message: str
    def __init__(self, kind: _Optional[_Union[Cause.Kind, str]] = ..., message: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "epoch", "n_epochs", "step", "n_steps", "loss", "tokens_per_second", "done", "eta_seconds", "device", "stages", "epochs", "parts", "tokens_at_once")
    class PartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Spent
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Spent, _Mapping]] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    N_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    N_STEPS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_AT_ONCE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    epoch: int
    n_epochs: int
    step: int
    n_steps: int
    loss: float
    tokens_per_second: float
    done: float
    eta_seconds: float
    device: str
    stages: _containers.RepeatedCompositeFieldContainer[StageReport]
    epochs: _containers.RepeatedCompositeFieldContainer[EpochReport]
    parts: _containers.MessageMap[str, Spent]
    tokens_at_once: int
    def __init__(self, stage: _Optional[str] = ..., epoch: _Optional[int] = ..., n_epochs: _Optional[int] = ..., step: _Optional[int] = ..., n_steps: _Optional[int] = ..., loss: _Optional[float] = ..., tokens_per_second: _Optional[float] = ..., done: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., device: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[StageReport, _Mapping]]] = ..., epochs: _Optional[_Iterable[_Union[EpochReport, _Mapping]]] = ..., parts: _Optional[_Mapping[str, Spent]] = ..., tokens_at_once: _Optional[int] = ...) -> None: ...

class Spent(_message.Message):
    __slots__ = ("seconds", "n_tokens")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    N_TOKENS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    n_tokens: float
    def __init__(self, seconds: _Optional[float] = ..., n_tokens: _Optional[float] = ...) -> None: ...

class EpochReport(_message.Message):
    __slots__ = ("stage", "epoch", "loss", "valid_ndcg_100")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    VALID_NDCG_100_FIELD_NUMBER: _ClassVar[int]
    stage: str
    epoch: int
    loss: float
    valid_ndcg_100: float
    def __init__(self, stage: _Optional[str] = ..., epoch: _Optional[int] = ..., loss: _Optional[float] = ..., valid_ndcg_100: _Optional[float] = ...) -> None: ...

class StageReport(_message.Message):
    __slots__ = ("stage", "first_loss", "last_loss", "n_epochs")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_LOSS_FIELD_NUMBER: _ClassVar[int]
    LAST_LOSS_FIELD_NUMBER: _ClassVar[int]
    N_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    first_loss: float
    last_loss: float
    n_epochs: int
    def __init__(self, stage: _Optional[str] = ..., first_loss: _Optional[float] = ..., last_loss: _Optional[float] = ..., n_epochs: _Optional[int] = ...) -> None: ...
