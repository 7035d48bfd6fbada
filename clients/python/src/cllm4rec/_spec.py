"""From nested dictionaries to a training specification, with the names of docs/training.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from google.protobuf.message import Message

from ._datasets import of_id
from ._generated import training_pb2
from ._requests import many_ids, resource

Spec = Union[Mapping[str, Any], training_pb2.TrainSpec]


def train_spec(spec: Union[Spec, None], fields: Mapping[str, Any]) -> training_pb2.TrainSpec:
    """A specification from one that is there and fields over it.

    Keys may be dotted: `{"finetuning.epochs": 4}` is `{"finetuning": {"epochs": 4}}`. A display
    name of a data set stays as it is (`_datasets`).

    Raises:
        TypeError: a field has a name that there is not.
        ValueError: a value does not fit its field.
    """
    message = training_pb2.TrainSpec()
    if isinstance(spec, training_pb2.TrainSpec):
        message.CopyFrom(spec)
    else:
        fill(message, nested(spec or {}), "")
    fill(message, nested(fields), "")
    if message.dataset:
        message.dataset = of_id(message.dataset)
    if message.start_from:
        message.start_from = resource("modelVersions", message.start_from)
    return message


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with dotted names taken apart."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        value = nested(value) if isinstance(value, Mapping) else value
        *sections, last = name.split(".")
        section = found
        for one in sections:
            section = section.setdefault(one, {})
        before = section.get(last)
        if isinstance(before, dict) and isinstance(value, dict):
            before.update(value)
        else:
            section[last] = value
    return found


def fill(message: Message, fields: Mapping[str, Any], path: str) -> None:
    """Sets fields of a message by name; a value of None leaves one as it is."""
    known = message.DESCRIPTOR.fields_by_name
    for name, value in fields.items():
        field = known.get(name)
        if field is None:
            raise TypeError(f"unknown field {path + name!r}; there are {', '.join(sorted(known))}")
        if value is None:
            continue
        try:
            _set(message, field, value, path + name)
        except (TypeError, ValueError) as error:
            if path + name in str(error):
                raise
            raise ValueError(f"{path + name}: {error}") from error


def _set(message: Message, field: Any, value: Any, path: str) -> None:
    name = field.name
    if isinstance(getattr(message, name), Message):
        if not isinstance(value, Mapping):
            raise ValueError(f"{path} is a section: give a dictionary, not {value!r}")
        section = getattr(message, name)
        section.SetInParent()
        fill(section, value, f"{path}.")
    elif name == "labels":
        # The only list in a specification.
        message.ClearField(name)
        getattr(message, name).extend(many_ids(path, value))
    elif field.enum_type is not None:
        setattr(message, name, _enum(field.enum_type, value, path))
    else:
        setattr(message, name, value)


def _enum(kind: Any, value: Any, path: str) -> int:
    """An enum's number: of its number, its whole name or the end of it in any case."""
    if isinstance(value, int):
        return value
    text = str(value).upper()
    ends: dict[str, int] = {}
    prefix = kind.values[0].name[: -len("UNSPECIFIED")]
    for one in kind.values:
        if one.name == text or one.name == prefix + text:
            return int(one.number)
        ends[one.name[len(prefix) :].lower()] = one.number
    ends.pop("unspecified", None)
    raise ValueError(f"{path}: {value!r} is not one of {', '.join(ends)}")
