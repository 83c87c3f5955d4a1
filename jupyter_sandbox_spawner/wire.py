"""How does a value of models.py become JSON and come back, checked?

Law: whatever arrives from another program is decoded here into a frozen class, or refused naming the field.
"""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from .errors import ConfigurationError

__all__ = ["decode", "decode_json", "encode", "encode_json"]

T = TypeVar("T")
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Nested dataclasses do not inherit the outermost one's settings, so each is marked, here:
    # the classes themselves stay free of pydantic, which user images need not have.
    if kind not in _adapters:
        _forbid_unknown(kind, set())
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def _forbid_unknown(kind: Any, seen: set[Any]) -> None:
    if kind in seen:
        return
    seen.add(kind)
    if is_dataclass(kind):
        marked: Any = kind
        marked.__pydantic_config__ = _STRICT
        for hint in get_type_hints(kind).values():
            _forbid_unknown(hint, seen)
    for argument in get_args(kind):
        if not isinstance(argument, str):
            _forbid_unknown(argument, seen)


def decode(kind: type[T], document: Any) -> T:
    """Check a JSON document against a class of models.py; unknown fields and wrong types are refused."""
    return decode_json(kind, json.dumps(document))


def decode_json(kind: type[T], raw: str | bytes) -> T:
    """Like `decode`, from JSON text. Raises ConfigurationError with the first wrong field."""
    try:
        value: T = _adapter(kind).validate_json(raw)
        return value
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or kind.__name__
        raise ConfigurationError(
            f"{kind.__name__}: {place}: {first['msg']}.", code="wire.invalid", field=place
        ) from None


def encode(value: Any) -> Any:
    """A JSON-ready document of a class of models.py."""
    return _adapter(type(value)).dump_python(value, mode="json")


def encode_json(value: Any) -> bytes:
    """JSON text of a class of models.py."""
    raw: bytes = _adapter(type(value)).dump_json(value)
    return raw
