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

class ListDatasetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "unreadable")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    unreadable: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., unreadable: _Optional[_Iterable[str]] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("name", "display_name", "catalog", "import_time", "n_users", "n_items", "n_train", "n_valid", "n_test", "n_texts", "n_titles")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    IMPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    N_USERS_FIELD_NUMBER: _ClassVar[int]
    N_ITEMS_FIELD_NUMBER: _ClassVar[int]
    N_TRAIN_FIELD_NUMBER: _ClassVar[int]
    N_VALID_FIELD_NUMBER: _ClassVar[int]
    N_TEST_FIELD_NUMBER: _ClassVar[int]
    N_TEXTS_FIELD_NUMBER: _ClassVar[int]
    N_TITLES_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    catalog: str
    import_time: _timestamp_pb2.Timestamp
    n_users: int
    n_items: int
    n_train: int
    n_valid: int
    n_test: int
    n_texts: int
    n_titles: int
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., catalog: _Optional[str] = ..., import_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., n_users: _Optional[int] = ..., n_items: _Optional[int] = ..., n_train: _Optional[int] = ..., n_valid: _Optional[int] = ..., n_test: _Optional[int] = ..., n_texts: _Optional[int] = ..., n_titles: _Optional[int] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DatasetDetails(_message.Message):
    __slots__ = ("dataset", "profile")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    IMPORT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    dataset: Dataset
    profile: DatasetProfile
    def __init__(self, dataset: _Optional[_Union[Dataset, _Mapping]] = ..., profile: _Optional[_Union[DatasetProfile, _Mapping]] = ..., **kwargs) -> None: ...

class ImportSummary(_message.Message):
    __slots__ = ("n_read", "n_refused", "n_repeats", "n_outside_core", "warnings", "notes", "columns")
    N_READ_FIELD_NUMBER: _ClassVar[int]
    N_REFUSED_FIELD_NUMBER: _ClassVar[int]
    N_REPEATS_FIELD_NUMBER: _ClassVar[int]
    N_OUTSIDE_CORE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    n_read: int
    n_refused: int
    n_repeats: int
    n_outside_core: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, n_read: _Optional[int] = ..., n_refused: _Optional[int] = ..., n_repeats: _Optional[int] = ..., n_outside_core: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., notes: _Optional[_Iterable[str]] = ..., columns: _Optional[_Iterable[str]] = ...) -> None: ...

class DatasetProfile(_message.Message):
    __slots__ = ("first_time", "last_time", "users_by_interactions", "items_by_interactions", "popular_items", "interactions", "items")
    class Band(_message.Message):
        __slots__ = ("to", "n")
        FROM_FIELD_NUMBER: _ClassVar[int]
        TO_FIELD_NUMBER: _ClassVar[int]
        N_FIELD_NUMBER: _ClassVar[int]
        to: int
        n: int
        def __init__(self, to: _Optional[int] = ..., n: _Optional[int] = ..., **kwargs) -> None: ...
    class ShareOfItems(_message.Message):
        __slots__ = ("of_items", "of_interactions")
        OF_ITEMS_FIELD_NUMBER: _ClassVar[int]
        OF_INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
        of_items: float
        of_interactions: float
        def __init__(self, of_items: _Optional[float] = ..., of_interactions: _Optional[float] = ...) -> None: ...
    class SampleInteraction(_message.Message):
        __slots__ = ("user_id", "item_id", "title", "time", "split")
        USER_ID_FIELD_NUMBER: _ClassVar[int]
        ITEM_ID_FIELD_NUMBER: _ClassVar[int]
        TITLE_FIELD_NUMBER: _ClassVar[int]
        TIME_FIELD_NUMBER: _ClassVar[int]
        SPLIT_FIELD_NUMBER: _ClassVar[int]
        user_id: str
        item_id: str
        title: str
        time: _timestamp_pb2.Timestamp
        split: str
        def __init__(self, user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., title: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., split: _Optional[str] = ...) -> None: ...
    class SampleItem(_message.Message):
        __slots__ = ("item_id", "title", "categories", "n_interactions")
        ITEM_ID_FIELD_NUMBER: _ClassVar[int]
        TITLE_FIELD_NUMBER: _ClassVar[int]
        CATEGORIES_FIELD_NUMBER: _ClassVar[int]
        N_INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
        item_id: str
        title: str
        categories: _containers.RepeatedScalarFieldContainer[str]
        n_interactions: int
        def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., n_interactions: _Optional[int] = ...) -> None: ...
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    USERS_BY_INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_BY_INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    POPULAR_ITEMS_FIELD_NUMBER: _ClassVar[int]
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    users_by_interactions: _containers.RepeatedCompositeFieldContainer[DatasetProfile.Band]
    items_by_interactions: _containers.RepeatedCompositeFieldContainer[DatasetProfile.Band]
    popular_items: _containers.RepeatedCompositeFieldContainer[DatasetProfile.ShareOfItems]
    interactions: _containers.RepeatedCompositeFieldContainer[DatasetProfile.SampleInteraction]
    items: _containers.RepeatedCompositeFieldContainer[DatasetProfile.SampleItem]
    def __init__(self, first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., users_by_interactions: _Optional[_Iterable[_Union[DatasetProfile.Band, _Mapping]]] = ..., items_by_interactions: _Optional[_Iterable[_Union[DatasetProfile.Band, _Mapping]]] = ..., popular_items: _Optional[_Iterable[_Union[DatasetProfile.ShareOfItems, _Mapping]]] = ..., interactions: _Optional[_Iterable[_Union[DatasetProfile.SampleInteraction, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[DatasetProfile.SampleItem, _Mapping]]] = ...) -> None: ...

class ImportDatasetRequest(_message.Message):
    __slots__ = ("options", "interactions", "items")
    class Dates(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DATES_UNSPECIFIED: _ClassVar[ImportDatasetRequest.Dates]
        DAY_FIRST: _ClassVar[ImportDatasetRequest.Dates]
        MONTH_FIRST: _ClassVar[ImportDatasetRequest.Dates]
    DATES_UNSPECIFIED: ImportDatasetRequest.Dates
    DAY_FIRST: ImportDatasetRequest.Dates
    MONTH_FIRST: ImportDatasetRequest.Dates
    class Split(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SPLIT_UNSPECIFIED: _ClassVar[ImportDatasetRequest.Split]
        GIVEN: _ClassVar[ImportDatasetRequest.Split]
        RANDOM: _ClassVar[ImportDatasetRequest.Split]
        LEAVE_LAST_OUT: _ClassVar[ImportDatasetRequest.Split]
    SPLIT_UNSPECIFIED: ImportDatasetRequest.Split
    GIVEN: ImportDatasetRequest.Split
    RANDOM: ImportDatasetRequest.Split
    LEAVE_LAST_OUT: ImportDatasetRequest.Split
    class Options(_message.Message):
        __slots__ = ("file_name", "items_file_name", "display_name", "catalog", "split", "k_core", "min_rating", "columns", "validate_only", "replace", "dates")
        FILE_NAME_FIELD_NUMBER: _ClassVar[int]
        ITEMS_FILE_NAME_FIELD_NUMBER: _ClassVar[int]
        DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
        CATALOG_FIELD_NUMBER: _ClassVar[int]
        SPLIT_FIELD_NUMBER: _ClassVar[int]
        K_CORE_FIELD_NUMBER: _ClassVar[int]
        MIN_RATING_FIELD_NUMBER: _ClassVar[int]
        COLUMNS_FIELD_NUMBER: _ClassVar[int]
        VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
        REPLACE_FIELD_NUMBER: _ClassVar[int]
        DATES_FIELD_NUMBER: _ClassVar[int]
        file_name: str
        items_file_name: str
        display_name: str
        catalog: str
        split: ImportDatasetRequest.Split
        k_core: int
        min_rating: float
        columns: ImportDatasetRequest.Columns
        validate_only: bool
        replace: bool
        dates: ImportDatasetRequest.Dates
        def __init__(self, file_name: _Optional[str] = ..., items_file_name: _Optional[str] = ..., display_name: _Optional[str] = ..., catalog: _Optional[str] = ..., split: _Optional[_Union[ImportDatasetRequest.Split, str]] = ..., k_core: _Optional[int] = ..., min_rating: _Optional[float] = ..., columns: _Optional[_Union[ImportDatasetRequest.Columns, _Mapping]] = ..., validate_only: bool = ..., replace: bool = ..., dates: _Optional[_Union[ImportDatasetRequest.Dates, str]] = ...) -> None: ...
    class Columns(_message.Message):
        __slots__ = ("user", "item", "timestamp", "rating", "split", "text", "title", "category")
        USER_FIELD_NUMBER: _ClassVar[int]
        ITEM_FIELD_NUMBER: _ClassVar[int]
        TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
        RATING_FIELD_NUMBER: _ClassVar[int]
        SPLIT_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        TITLE_FIELD_NUMBER: _ClassVar[int]
        CATEGORY_FIELD_NUMBER: _ClassVar[int]
        user: str
        item: str
        timestamp: str
        rating: str
        split: str
        text: str
        title: str
        category: str
        def __init__(self, user: _Optional[str] = ..., item: _Optional[str] = ..., timestamp: _Optional[str] = ..., rating: _Optional[str] = ..., split: _Optional[str] = ..., text: _Optional[str] = ..., title: _Optional[str] = ..., category: _Optional[str] = ...) -> None: ...
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    options: ImportDatasetRequest.Options
    interactions: bytes
    items: bytes
    def __init__(self, options: _Optional[_Union[ImportDatasetRequest.Options, _Mapping]] = ..., interactions: _Optional[bytes] = ..., items: _Optional[bytes] = ...) -> None: ...

class ImportDatasetResponse(_message.Message):
    __slots__ = ("details", "n_seeded", "n_replaced")
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    N_SEEDED_FIELD_NUMBER: _ClassVar[int]
    N_REPLACED_FIELD_NUMBER: _ClassVar[int]
    details: DatasetDetails
    n_seeded: int
    n_replaced: int
    def __init__(self, details: _Optional[_Union[DatasetDetails, _Mapping]] = ..., n_seeded: _Optional[int] = ..., n_replaced: _Optional[int] = ...) -> None: ...
