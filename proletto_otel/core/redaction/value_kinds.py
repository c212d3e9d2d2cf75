"""Which readable form each type of value gets in a log line; decided once for a type.

Only code of the standard library, NumPy's scalars and attribute storage is run: no `__repr__`, no
property and no iterator of the application's, which may hang, query a database or be used up.
"""

from __future__ import annotations

import array
import dataclasses
import datetime
import decimal
import enum
import functools
import ipaddress
import pathlib
import re
import types
import uuid
from collections import ChainMap, UserDict, UserList, UserString, deque
from collections.abc import Callable, Iterable
from typing import Any

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.parsing import Secret
from proletto_otel.core.redaction.scan import REDACTED
from proletto_otel.core.redaction.secret_names import SECRET

MAX_KINDS = 1024
"""Types with a form that is remembered."""


class Form(enum.Enum):
    """What the conversion of a type gives."""

    SAFE = "a plain value to be used as it is"
    TEXT = "a text to be redacted"
    PLAIN = "a value of another type"
    BYTES = "bytes, decoded by the caller up to its limit"
    MAPPING = "pairs and their number"
    SEQUENCE = "entries and their number"


Conversion = tuple[Form, Callable[[Any], Any]]
_MISSING = object()


def named(kind: type) -> str:
    """How an object is shown: `<shop.models.Order>`."""
    return f"<{kind.__module__}.{kind.__qualname__}>"


_BY_BASE: tuple[tuple[type, Conversion], ...] = (
    (Secret, (Form.SAFE, lambda value: REDACTED)),
    (enum.Enum, (Form.TEXT, lambda value: str(value._name_ or value._value_))),
    (str, (Form.TEXT, str.__str__)),
    (int, (Form.PLAIN, int.__int__)),
    (float, (Form.PLAIN, float.__float__)),
    (complex, (Form.TEXT, complex.__repr__)),
    ((bytes, bytearray, memoryview), (Form.BYTES, bytes)),
    # The methods of the base: pandas, pendulum and freezegun have subclasses with their own.
    (datetime.datetime, (Form.TEXT, datetime.datetime.isoformat)),
    (datetime.date, (Form.TEXT, datetime.date.isoformat)),
    (datetime.time, (Form.TEXT, datetime.time.isoformat)),
    (datetime.timedelta, (Form.TEXT, datetime.timedelta.__str__)),
    (decimal.Decimal, (Form.TEXT, decimal.Decimal.__str__)),
    (uuid.UUID, (Form.TEXT, uuid.UUID.__str__)),
    (pathlib.PurePath, (Form.TEXT, pathlib.PurePath.__str__)),
    (UserString, (Form.PLAIN, lambda value: value.__dict__["data"])),
    (UserDict, (Form.PLAIN, lambda value: value.__dict__["data"])),
    (UserList, (Form.PLAIN, lambda value: value.__dict__["data"])),
    (ChainMap, (Form.PLAIN, lambda value: value.__dict__["maps"])),
    (dict, (Form.MAPPING, lambda value: (dict.items(value), dict.__len__(value)))),
    ((list, tuple, set, frozenset, deque), (Form.SEQUENCE, lambda value: (value, len(value)))),
    (array.array, (Form.SEQUENCE, lambda value: (value, len(value)))),
    (types.SimpleNamespace, (Form.PLAIN, lambda value: value.__dict__)),
    (type, (Form.TEXT, lambda value: f"<class {type.__getattribute__(value, '__module__')}."
                                     f"{type.__getattribute__(value, '__qualname__')}>")),
    (functools.partial, (Form.TEXT, lambda value: f"<partial {_qualified(value.func)}>")),
    (re.Pattern, (Form.TEXT, lambda value: value.pattern if isinstance(value.pattern, str)
                  else str(value.pattern[:1000]))),
    (types.ModuleType, (Form.TEXT, lambda value: f"<module {value.__name__}>")),
)  # type: ignore[assignment]  # fmt: skip  # a tuple of types is as good as one for issubclass
_BY_TYPE: dict[type, Conversion] = {
    **dict.fromkeys((range, slice, datetime.timezone, type(Ellipsis), type(NotImplemented)),
                    (Form.TEXT, str)),
    **dict.fromkeys((ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network,
                     ipaddress.IPv6Network, ipaddress.IPv4Interface, ipaddress.IPv6Interface),
                    (Form.TEXT, str)),
    **dict.fromkeys((types.FunctionType, types.BuiltinFunctionType, types.MethodType),
                    (Form.TEXT, lambda value: f"<function {_qualified(value)}>")),
    **dict.fromkeys((type({}.keys()), type({}.values()), type({}.items())),
                    (Form.SEQUENCE, lambda value: (value, len(value)))),
}  # fmt: skip


def _form_of(kind: type) -> Conversion:
    """Decide the form of a type."""
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    root = str(kind.__module__).split(".", 1)[0]
    name = kind.__name__
    if name == "NaTType":
        return Form.SAFE, lambda value: "NaT"
    if name in ("SecretStr", "SecretBytes", "Secret"):
        return Form.SAFE, lambda value: REDACTED
    if root == "numpy":
        return _numpy(kind)
    if root == "zoneinfo":
        return Form.TEXT, lambda value: str(value.key)
    fields = getattr(kind, "_fields", None)
    if issubclass(kind, tuple) and isinstance(fields, tuple):
        return Form.MAPPING, lambda value: (zip(fields, value, strict=False), len(fields))
    for base, conversion in _BY_BASE:
        if issubclass(kind, base):
            return conversion
    if issubclass(kind, BaseException):
        return Form.TEXT, _exception
    return _of_object(kind)


FORMS: BoundedCache[Conversion] = BoundedCache(_form_of, MAX_KINDS)


def _of_object(kind: type) -> Conversion:
    """Objects that keep their attributes where they can be read without running code."""
    # Recognised by the names of modules and attributes: nothing is imported for a type that the
    # application does not use.
    if any(c.__module__ == "werkzeug.datastructures.headers" for c in kind.__mro__):
        return Form.MAPPING, _headers
    if hasattr(kind, "__mapper__") or hasattr(kind, "_meta"):
        return Form.TEXT, _identity
    fraction: Any = next((c for c in kind.__mro__ if c.__module__ == "fractions"), None)
    if fraction is not None:
        return Form.TEXT, lambda value: fraction.__str__(value)
    names = _attribute_names(kind)
    if names is not None:
        return Form.MAPPING, lambda value: (_attributes(value, names), len(names))
    if issubclass(kind, types.MappingProxyType):
        return Form.PLAIN, lambda value: value | {}
    if "azy" in kind.__name__ or kind.__name__ == "__proxy__":
        return Form.TEXT, _lazy_text
    return Form.TEXT, lambda value: named(kind)


def _attribute_names(kind: type) -> tuple[str, ...] | None:
    """Names of the fields of a dataclass, an attrs class, a pydantic model or a msgspec struct."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind) if field.repr)
    attrs = getattr(kind, "__attrs_attrs__", None)
    if isinstance(attrs, tuple):
        return tuple(attribute.name for attribute in attrs if attribute.repr)
    for table in ("__pydantic_fields__", "model_fields", "__fields__", "__struct_fields__"):
        fields = getattr(kind, table, None)
        if isinstance(fields, (dict, tuple)):
            return tuple(map(str, fields))
    return None


def _attributes(value: Any, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Attributes as they are stored: in the object's dictionary or in a slot."""
    # `object.__getattribute__` and slots by their descriptor: `getattr` would run properties and
    # the class's own `__getattr__`, which may query a database.
    try:
        stored = object.__getattribute__(value, "__dict__")
    except AttributeError:
        stored = {}
    for name in names:
        found = stored.get(name, _MISSING)
        if found is _MISSING:
            slot = next((vars(c)[name] for c in type(value).__mro__ if name in vars(c)), None)
            if not isinstance(slot, types.MemberDescriptorType):
                continue  # a property, or nothing was set
            try:
                found = slot.__get__(value, type(value))
            except AttributeError:
                continue
        yield name, found


def _identity(value: Any) -> str:
    """An object of SQLAlchemy or Django: its type and primary key, as loaded, without a query."""
    kind = type(value)
    stored = object.__getattribute__(value, "__dict__")
    state = stored.get("_sa_instance_state")
    key = getattr(state, "key", None)
    if key is not None:
        return f"{named(kind)[:-1]} {', '.join(_key_text(part) for part in key[1])}>"
    primary = getattr(getattr(getattr(kind, "_meta", None), "pk", None), "attname", None)
    if primary in stored:
        return f"{named(kind)[:-1]} {_key_text(stored[primary])}>"
    return named(kind)


def _key_text(part: Any) -> str:
    return str(part) if type(part) in (int, str, uuid.UUID) else named(type(part))


def _exception(value: BaseException) -> str:
    """An exception's text by the standard library's code; else by its first argument."""
    # `str(value)` runs the `__str__` that comes first among its bases: only the library's is
    # called.
    kind = type(value)
    owner = next((c for c in kind.__mro__ if "__str__" in vars(c)), object)
    if owner.__module__ in ("builtins", "json.decoder", "subprocess", "urllib.error", "socket"):
        return f"{kind.__name__}: {value}"
    args = value.args
    first = args[0] if args else ""
    return f"{kind.__name__}: {first}" if type(first) in (str, int) and first != "" else named(kind)


def _lazy_text(value: Any) -> str:
    """A translation that is looked up when it is printed: the text that will be translated."""
    stored = object.__getattribute__(value, "__dict__")
    for name, found in list(stored.items()):
        if name.endswith("args") and isinstance(found, tuple) and found:
            return found[0] if type(found[0]) is str else named(type(value))
    return named(type(value))


def _headers(value: Any) -> tuple[Iterable[tuple[Any, Any]], int]:
    """Werkzeug's headers: a list of pairs, or the environment of a request."""
    stored = object.__getattribute__(value, "__dict__")
    environ = stored.get("environ")
    if type(environ) is dict:
        pairs = [
            (name[5:].replace("_", "-").title(), text)
            for name, text in environ.items()
            if isinstance(name, str) and name.startswith("HTTP_")
        ]
    else:
        pairs = stored.get("_list") or []
    return pairs, len(pairs)


def _numpy(kind: type) -> Conversion:
    if kind.__name__ == "ndarray":
        return (
            Form.PLAIN,
            lambda value: (
                value.item() if value.size == 1 else f"<numpy.ndarray {value.shape} {value.dtype}>"
            ),
        )
    if hasattr(kind, "item"):
        return Form.PLAIN, lambda value: value.item()
    return Form.TEXT, lambda value: named(kind)


def _qualified(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


__all__ = ["FORMS", "SECRET", "Form", "named"]
