"""How does a value of models.py become JSON and come back, checked?

Law: whatever arrives from another program is decoded here into a frozen class, or refused naming the field.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from .errors import ConfigurationError

__all__ = ["decode", "decode_json", "encode", "encode_json"]

T = TypeVar("T")
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Nested dataclasses take the setting of the outermost one only if they carry none of their own,
    # so each class of models.py is marked once, here, and stays free of pydantic.
    _forbid_unknown(kind)
    return TypeAdapter(kind)


def _forbid_unknown(kind: Any) -> None:
    from . import models, settings

    for module in (models, settings):
        for name in module.__all__:
            value = getattr(module, name)
            if hasattr(value, "__dataclass_fields__"):
                value.__pydantic_config__ = _STRICT


def decode(kind: type[T], document: Any) -> T:
    """Check a JSON document against a class of models.py; unknown fields and wrong types are refused."""
    return decode_json(kind, json.dumps(document))


def decode_json(kind: type[T], raw: str | bytes) -> T:
    """Like `decode`, from JSON text. Raises ConfigurationError with the first wrong field."""
    try:
        return _adapter(kind).validate_json(raw)  # type: ignore[no-any-return]
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
    return _adapter(type(value)).dump_json(value)
