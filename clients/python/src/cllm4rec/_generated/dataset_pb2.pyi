import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
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
