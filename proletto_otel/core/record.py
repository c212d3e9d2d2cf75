"""`record`: a dataclass that is made without running Python's compiler.

`dataclasses.dataclass` writes the source of up to six methods and compiles it, in each start of
each program: 4.0 million instructions for a frozen class of five fields with slots, against 0.6
here, and 7 KB of memory against 15. What every program or every worker imports uses `record`;
anything else uses `dataclass`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields
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
            cls = dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
            methods: dict[str, Any] = {}
            if "__init__" not in own:
                methods = {"__init__": _init(cls, slots), "__signature__": _Signature()}
            if repr:
                methods["__repr__"] = _repr
            if eq:
                methods |= _comparison(cls, frozen)
            if frozen:
                methods |= _FROZEN
            for name, method in methods.items():
                if name not in own:
                    setattr(cls, name, method)
            return cls

        return decorate


def _init(cls: type, slots: bool) -> Callable[..., None]:
    """What the generated `__init__` does: arguments by name, by position where that is allowed."""
    made = [each for each in fields(cls) if each.init]
    names = {each.name for each in made}
    by_position = tuple(each.name for each in made if not each.kw_only)
    defaults = {each.name: each.default for each in made if each.default is not MISSING}
    factories = [
        (each.name, each.default_factory) for each in made if each.default_factory is not MISSING
    ]
    # The setter of each slot, because a frozen record refuses `setattr`.
    setters = [(name, getattr(cls, name).__set__) for name in names] if slots else []

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


def _comparison(cls: type, frozen: bool) -> dict[str, Any]:
    """Equal when all fields are; a frozen one can be a key of a dictionary."""
    values = attrgetter(*(each.name for each in fields(cls) if each.compare))

    def equal(self: Any, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return values(self) == values(other)

    def hashed(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed if frozen else None}


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _set_state(self: Any, state: Any) -> None:
    """Copies and pickles set what they bring past `_refuse`."""
    for values in state if isinstance(state, tuple) else (state,):
        for name, value in (values or {}).items():
            object.__setattr__(self, name, value)


_FROZEN = {"__setattr__": _refuse, "__delattr__": _refuse, "__setstate__": _set_state}
