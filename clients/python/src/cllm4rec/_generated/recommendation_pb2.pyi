import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    INTERACTIVE: _ClassVar[Priority]
    BATCH: _ClassVar[Priority]
PRIORITY_UNSPECIFIED: Priority
INTERACTIVE: Priority
BATCH: Priority

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "history", "history_use", "at_time", "k", "page_token", "exclude_seen", "excluded_item_ids", "candidate_item_ids", "filter", "relax_filter", "explain", "max_staleness", "priority", "query", "query_weight", "new_items", "model_version", "label", "catalog")
    class HistoryUse(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        HISTORY_USE_UNSPECIFIED: _ClassVar[RecommendRequest.HistoryUse]
        REPLACE: _ClassVar[RecommendRequest.HistoryUse]
        MERGE: _ClassVar[RecommendRequest.HistoryUse]
    HISTORY_USE_UNSPECIFIED: RecommendRequest.HistoryUse
    REPLACE: RecommendRequest.HistoryUse
    MERGE: RecommendRequest.HistoryUse
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    HISTORY_USE_FIELD_NUMBER: _ClassVar[int]
    AT_TIME_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    RELAX_FILTER_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    QUERY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    NEW_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _containers.RepeatedCompositeFieldContainer[InlineInteraction]
    history_use: RecommendRequest.HistoryUse
    at_time: _timestamp_pb2.Timestamp
    k: int
    page_token: str
    exclude_seen: bool
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    candidate_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    relax_filter: bool
    explain: bool
    max_staleness: _duration_pb2.Duration
    priority: Priority
    query: str
    query_weight: float
    new_items: _containers.RepeatedCompositeFieldContainer[NewItem]
    model_version: str
    label: str
    catalog: str
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Iterable[_Union[InlineInteraction, _Mapping]]] = ..., history_use: _Optional[_Union[RecommendRequest.HistoryUse, str]] = ..., at_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., k: _Optional[int] = ..., page_token: _Optional[str] = ..., exclude_seen: bool = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., candidate_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., relax_filter: bool = ..., explain: bool = ..., max_staleness: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., query: _Optional[str] = ..., query_weight: _Optional[float] = ..., new_items: _Optional[_Iterable[_Union[NewItem, _Mapping]]] = ..., model_version: _Optional[str] = ..., label: _Optional[str] = ..., catalog: _Optional[str] = ...) -> None: ...

class NewItem(_message.Message):
    __slots__ = ("item_id", "title", "categories", "description", "attributes")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    description: str
    attributes: _struct_pb2.Struct
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class InlineInteraction(_message.Message):
    __slots__ = ("item_id", "time")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, item_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("items", "model_version", "history_length", "cached", "degradations", "next_page_token", "n_scored")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_LENGTH_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    DEGRADATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    N_SCORED_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    model_version: str
    history_length: int
    cached: bool
    degradations: _containers.RepeatedCompositeFieldContainer[Degradation]
    next_page_token: str
    n_scored: int
    def __init__(self, items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., model_version: _Optional[str] = ..., history_length: _Optional[int] = ..., cached: bool = ..., degradations: _Optional[_Iterable[_Union[Degradation, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., n_scored: _Optional[int] = ...) -> None: ...

class RecommendedItem(_message.Message):
    __slots__ = ("item_id", "title", "score", "rank", "source", "reasons", "query_contribution")
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SOURCE_UNSPECIFIED: _ClassVar[RecommendedItem.Source]
        MODEL: _ClassVar[RecommendedItem.Source]
        CO_OCCURRENCE: _ClassVar[RecommendedItem.Source]
        BOTH: _ClassVar[RecommendedItem.Source]
        COLD_START: _ClassVar[RecommendedItem.Source]
        POPULARITY: _ClassVar[RecommendedItem.Source]
        QUERY: _ClassVar[RecommendedItem.Source]
    SOURCE_UNSPECIFIED: RecommendedItem.Source
    MODEL: RecommendedItem.Source
    CO_OCCURRENCE: RecommendedItem.Source
    BOTH: RecommendedItem.Source
    COLD_START: RecommendedItem.Source
    POPULARITY: RecommendedItem.Source
    QUERY: RecommendedItem.Source
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    QUERY_CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    score: float
    rank: int
    source: RecommendedItem.Source
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    query_contribution: float
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., rank: _Optional[int] = ..., source: _Optional[_Union[RecommendedItem.Source, str]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., query_contribution: _Optional[float] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("item_id", "title", "contribution")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    contribution: float
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., contribution: _Optional[float] = ...) -> None: ...

class BatchRecommendRequest(_message.Message):
    __slots__ = ("id", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: RecommendRequest
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[RecommendRequest, _Mapping]] = ...) -> None: ...

class BatchRecommendResponse(_message.Message):
    __slots__ = ("id", "response", "failure")
    class Failure(_message.Message):
        __slots__ = ("code", "message", "retry_delay")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
        code: int
        message: str
        retry_delay: _duration_pb2.Duration
        def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: RecommendResponse
    failure: BatchRecommendResponse.Failure
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[RecommendResponse, _Mapping]] = ..., failure: _Optional[_Union[BatchRecommendResponse.Failure, _Mapping]] = ...) -> None: ...

class ScoreItemsRequest(_message.Message):
    __slots__ = ("user_id", "history", "item_ids", "new_items", "model_version", "label", "catalog")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    NEW_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _containers.RepeatedCompositeFieldContainer[InlineInteraction]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    new_items: _containers.RepeatedCompositeFieldContainer[NewItem]
    model_version: str
    label: str
    catalog: str
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Iterable[_Union[InlineInteraction, _Mapping]]] = ..., item_ids: _Optional[_Iterable[str]] = ..., new_items: _Optional[_Iterable[_Union[NewItem, _Mapping]]] = ..., model_version: _Optional[str] = ..., label: _Optional[str] = ..., catalog: _Optional[str] = ...) -> None: ...

class ScoreItemsResponse(_message.Message):
    __slots__ = ("scores", "model_version", "degradations")
    class ItemScore(_message.Message):
        __slots__ = ("item_id", "score")
        ITEM_ID_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        item_id: str
        score: float
        def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEGRADATIONS_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[ScoreItemsResponse.ItemScore]
    model_version: str
    degradations: _containers.RepeatedCompositeFieldContainer[Degradation]
    def __init__(self, scores: _Optional[_Iterable[_Union[ScoreItemsResponse.ItemScore, _Mapping]]] = ..., model_version: _Optional[str] = ..., degradations: _Optional[_Iterable[_Union[Degradation, _Mapping]]] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("item_id", "text", "k", "filter", "model_version", "label")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    text: str
    k: int
    filter: str
    model_version: str
    label: str
    def __init__(self, item_id: _Optional[str] = ..., text: _Optional[str] = ..., k: _Optional[int] = ..., filter: _Optional[str] = ..., model_version: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("items", "model_version")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    model_version: str
    def __init__(self, items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., model_version: _Optional[str] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("item_id", "model_version", "label")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    model_version: str
    label: str
    def __init__(self, item_id: _Optional[str] = ..., model_version: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "title", "categories", "attributes", "model_version", "n_users", "catalog")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    N_USERS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    attributes: _struct_pb2.Struct
    model_version: str
    n_users: int
    catalog: str
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., model_version: _Optional[str] = ..., n_users: _Optional[int] = ..., catalog: _Optional[str] = ...) -> None: ...

class ListFieldsRequest(_message.Message):
    __slots__ = ("model_version", "label")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    label: str
    def __init__(self, model_version: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class ListFieldsResponse(_message.Message):
    __slots__ = ("fields", "model_version", "catalog")
    class Field(_message.Message):
        __slots__ = ("name", "kind", "n_items", "values")
        NAME_FIELD_NUMBER: _ClassVar[int]
        KIND_FIELD_NUMBER: _ClassVar[int]
        N_ITEMS_FIELD_NUMBER: _ClassVar[int]
        VALUES_FIELD_NUMBER: _ClassVar[int]
        name: str
        kind: str
        n_items: int
        values: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., n_items: _Optional[int] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.RepeatedCompositeFieldContainer[ListFieldsResponse.Field]
    model_version: str
    catalog: str
    def __init__(self, fields: _Optional[_Iterable[_Union[ListFieldsResponse.Field, _Mapping]]] = ..., model_version: _Optional[str] = ..., catalog: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServingStatus(_message.Message):
    __slots__ = ("versions", "unloadable", "counters", "shadow", "canary_share", "traffic")
    class CountersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    UNLOADABLE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[LoadedVersion]
    unloadable: _containers.RepeatedCompositeFieldContainer[UnloadableVersion]
    counters: _containers.ScalarMap[str, int]
    shadow: ShadowReport
    canary_share: float
    traffic: _containers.RepeatedCompositeFieldContainer[Traffic]
    def __init__(self, versions: _Optional[_Iterable[_Union[LoadedVersion, _Mapping]]] = ..., unloadable: _Optional[_Iterable[_Union[UnloadableVersion, _Mapping]]] = ..., counters: _Optional[_Mapping[str, int]] = ..., shadow: _Optional[_Union[ShadowReport, _Mapping]] = ..., canary_share: _Optional[float] = ..., traffic: _Optional[_Iterable[_Union[Traffic, _Mapping]]] = ...) -> None: ...

class Traffic(_message.Message):
    __slots__ = ("method", "per_second", "median_ms", "p99_ms", "failed")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    method: str
    per_second: float
    median_ms: float
    p99_ms: float
    failed: float
    def __init__(self, method: _Optional[str] = ..., per_second: _Optional[float] = ..., median_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., failed: _Optional[float] = ...) -> None: ...

class LoadedVersion(_message.Message):
    __slots__ = ("model_version", "labels", "memory_bytes", "backbone", "shared_bytes")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BACKBONE_FIELD_NUMBER: _ClassVar[int]
    SHARED_BYTES_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    memory_bytes: int
    backbone: str
    shared_bytes: int
    def __init__(self, model_version: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., memory_bytes: _Optional[int] = ..., backbone: _Optional[str] = ..., shared_bytes: _Optional[int] = ...) -> None: ...

class UnloadableVersion(_message.Message):
    __slots__ = ("model_version", "message", "cause")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[UnloadableVersion.Cause]
        DAMAGED: _ClassVar[UnloadableVersion.Cause]
        MISSING: _ClassVar[UnloadableVersion.Cause]
        UNREACHABLE: _ClassVar[UnloadableVersion.Cause]
        UNSUPPORTED: _ClassVar[UnloadableVersion.Cause]
        NO_MEMORY: _ClassVar[UnloadableVersion.Cause]
        BROKEN: _ClassVar[UnloadableVersion.Cause]
    CAUSE_UNSPECIFIED: UnloadableVersion.Cause
    DAMAGED: UnloadableVersion.Cause
    MISSING: UnloadableVersion.Cause
    UNREACHABLE: UnloadableVersion.Cause
    UNSUPPORTED: UnloadableVersion.Cause
    NO_MEMORY: UnloadableVersion.Cause
    BROKEN: UnloadableVersion.Cause
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    message: str
    cause: UnloadableVersion.Cause
    def __init__(self, model_version: _Optional[str] = ..., message: _Optional[str] = ..., cause: _Optional[_Union[UnloadableVersion.Cause, str]] = ...) -> None: ...

class ShadowReport(_message.Message):
    __slots__ = ("model_version", "n_requests", "overlap", "live_ms", "shadow_ms")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    N_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    LIVE_MS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_MS_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    n_requests: int
    overlap: float
    live_ms: float
    shadow_ms: float
    def __init__(self, model_version: _Optional[str] = ..., n_requests: _Optional[int] = ..., overlap: _Optional[float] = ..., live_ms: _Optional[float] = ..., shadow_ms: _Optional[float] = ...) -> None: ...

class Degradation(_message.Message):
    __slots__ = ("kind", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Degradation.Kind]
        UNKNOWN_USER: _ClassVar[Degradation.Kind]
        UNKNOWN_ITEMS: _ClassVar[Degradation.Kind]
        EMPTY_HISTORY: _ClassVar[Degradation.Kind]
        TRUNCATED_HISTORY: _ClassVar[Degradation.Kind]
        HISTORY_STORE_UNAVAILABLE: _ClassVar[Degradation.Kind]
        FEWER_THAN_ASKED: _ClassVar[Degradation.Kind]
        FILTER_RELAXED: _ClassVar[Degradation.Kind]
        STALE_HISTORY: _ClassVar[Degradation.Kind]
        UNKNOWN_CANDIDATES: _ClassVar[Degradation.Kind]
        UNKNOWN_WORDS: _ClassVar[Degradation.Kind]
        UNREADABLE_ITEMS: _ClassVar[Degradation.Kind]
    KIND_UNSPECIFIED: Degradation.Kind
    UNKNOWN_USER: Degradation.Kind
    UNKNOWN_ITEMS: Degradation.Kind
    EMPTY_HISTORY: Degradation.Kind
    TRUNCATED_HISTORY: Degradation.Kind
    HISTORY_STORE_UNAVAILABLE: Degradation.Kind
    FEWER_THAN_ASKED: Degradation.Kind
    FILTER_RELAXED: Degradation.Kind
    STALE_HISTORY: Degradation.Kind
    UNKNOWN_CANDIDATES: Degradation.Kind
    UNKNOWN_WORDS: Degradation.Kind
    UNREADABLE_ITEMS: Degradation.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: Degradation.Kind
    message: str
    def __init__(self, kind: _Optional[_Union[Degradation.Kind, str]] = ..., message: _Optional[str] = ...) -> None: ...
