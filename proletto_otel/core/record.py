"""`record`: a dataclass that is made without running Python's compiler.

`dataclasses.dataclass` writes the source of up to six methods and compiles it, in each start of
each program: 4.0 million instructions for a frozen class of five fields with slots, against 0.2
here, and 7 KB of memory against 15. What every program or every worker imports uses `record`;
anything else uses `dataclass`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields, replace
from inspect import Parameter, Signature
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(
        *,
        frozen: bool = False,
        slots: bool = False,
        kw_only: bool = False,
        eq: bool = True,
        repr: bool = True,
    ) -> Callable[[type], type]:
        """Make a class a dataclass; arguments as of `dataclass`, without `__post_init__`.

        A method that the class has itself stays. What is made for each error, or each point of a
        metric, has an `__init__` of its own: the common one is slower than a generated one.
        """

        def decorate(cls: type) -> type:
            own = set(vars(cls))
            known = _Fields(cls, kw_only)
            cls = known.owner = _with_slots(cls) if slots else _without_factories(cls)
            methods: dict[str, Any] = {"__replace__": _replaced}
            if "__init__" not in own:
                methods |= {"__init__": _init(cls, known, slots), "__signature__": _Signature()}
            if repr:
                methods["__repr__"] = _repr
            if eq:
                methods |= _comparison(known, frozen)
            if frozen:
                methods |= _FROZEN
            for name, method in methods.items():
                if name not in own:
                    setattr(cls, name, method)
            cls.__match_args__ = known.by_position
            cls.__dataclass_fields__ = cls.__record__ = known
            return cls

        return decorate


class _Fields:
    """What a class says of its fields; `dataclasses.fields` and others make their own of it.

    They ask for `__dataclass_fields__`, which this is until then: making them takes as long as all
    the rest of a class.
    """

    __slots__ = (
        "_annotations", "_kw_only", "_values", "by_position", "compared", "defaults", "factories",
        "names", "owner",
    )  # fmt: skip

    def __init__(self, cls: type, kw_only: bool) -> None:
        self.owner = cls
        self._kw_only = kw_only
        self._annotations: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        for base in reversed(cls.__mro__[1:]):
            if (above := vars(base).get("__record__")) is not None:
                self._annotations |= above._annotations
                self._values |= above._values
        own = vars(cls)
        self._annotations |= cls.__annotations__
        self._values |= {name: own[name] for name in cls.__annotations__ if name in own}
        self.names = tuple(self._annotations)
        self.by_position = () if kw_only else self.names
        self.defaults: dict[str, Any] = {}
        self.factories: list[tuple[str, Callable[[], Any]]] = []
        self.compared = list(self.names)
        for name, value in self._values.items():
            self._read(name, value)

    def _read(self, name: str, value: Any) -> None:
        if not isinstance(value, Field):
            self.defaults[name] = value
            return
        if value.default is not MISSING:
            self.defaults[name] = value.default
        if value.default_factory is not MISSING:
            self.factories.append((name, value.default_factory))
        if not value.compare:
            self.compared.remove(name)

    def __get__(self, instance: object, owner: type | None = None) -> dict[str, Any]:
        # `dataclass` writes no method of this class, so it compiles nothing.
        body = {**self._values, "__annotations__": self._annotations, "__doc__": "Fields."}
        body["__module__"] = self.owner.__module__
        plain = dataclass(init=False, repr=False, eq=False, kw_only=self._kw_only)
        made: Any = plain(type(self.owner.__name__, (), body))
        self.owner.__dataclass_params__ = made.__dataclass_params__  # type: ignore[attr-defined]
        found: dict[str, Any] = made.__dataclass_fields__
        self.owner.__dataclass_fields__ = found  # type: ignore[attr-defined]  # not asked again
        return found


def _with_slots(cls: type) -> type:
    """The class again, as slots are decided when a class is made."""
    names = tuple(cls.__annotations__)
    left_out = {*names, "__dict__", "__weakref__"}
    body = {name: value for name, value in vars(cls).items() if name not in left_out}
    body["__slots__"] = names
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    return made


def _without_factories(cls: type) -> type:
    """The class with its defaults as attributes, and nothing where a value is made each time."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, Field):
            if value.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)
    return cls


def _init(cls: type, known: _Fields, slots: bool) -> Callable[..., None]:
    """What the generated `__init__` does: arguments by name, by position where that is allowed."""
    names, by_position = set(known.names), known.by_position
    defaults, factories = known.defaults, known.factories
    # The setter of each slot, because a frozen record refuses `setattr`.
    setters = [(name, getattr(cls, name).__set__) for name in known.names] if slots else []

    def init(self: Any, *values: Any, **given: Any) -> None:
        if values:
            more = dict(zip(by_position, values, strict=False))
            if len(more) < len(values) or more.keys() & given.keys():
                raise TypeError(f"{cls.__name__}: too many arguments")
            given.update(more)
        if len(given) != len(names):
            given = {**defaults, **given}
            for name, make in factories:
                if name not in given:
                    given[name] = make()
        if given.keys() != names:
            raise TypeError(f"{cls.__name__}: not its fields: {sorted(given.keys() ^ names)}")
        if not slots:
            vars(self).update(given)
        for name, put in setters:
            put(self, given[name])

    return init


class _Signature:
    """What `help` and `inspect.signature` show: made of the fields, when somebody asks."""

    def __get__(self, made: object, owner: type) -> Signature:
        if owner.__init__.__name__ != "init":  # type: ignore[misc]  # of a class below a record
            raise AttributeError("__signature__")
        found = sorted(
            (each for each in fields(owner) if each.init), key=lambda each: bool(each.kw_only)
        )
        return Signature([_parameter(each) for each in found], return_annotation=None)


def _parameter(each: Field[Any]) -> Parameter:
    kind = Parameter.KEYWORD_ONLY if each.kw_only else Parameter.POSITIONAL_OR_KEYWORD
    default = Parameter.empty if each.default is MISSING else each.default
    if each.default_factory is not MISSING:
        default = _FACTORY
    return Parameter(each.name, kind, default=default, annotation=each.type)


class _Factory:
    def __repr__(self) -> str:
        return "<factory>"  # as of a dataclass


_FACTORY = _Factory()


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _comparison(known: _Fields, frozen: bool) -> dict[str, Any]:
    """Equal when all fields are; a frozen one can be a key of a dictionary."""
    values = attrgetter(*known.compared)

    def equal(self: Any, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return values(self) == values(other)

    def hashed(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed if frozen else None}


def _replaced(self: Any, /, **changes: Any) -> Any:
    """What `copy.replace` asks for."""
    return replace(self, **changes)


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _set_state(self: Any, state: Any) -> None:
    """Copies and pickles set what they bring past `_refuse`."""
    for values in state if isinstance(state, tuple) else (state,):
        for name, value in (values or {}).items():
            object.__setattr__(self, name, value)


_FROZEN = {"__setattr__": _refuse, "__delattr__": _refuse, "__setstate__": _set_state}
