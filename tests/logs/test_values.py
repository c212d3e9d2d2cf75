"""Values as people log them: a readable form in every line, without running code of theirs."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import types
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import werkzeug.datastructures

from proletto_otel.error_logging import logger
from tests.logs.conftest import Room


class OwnDatetime(datetime.datetime):
    """As pandas, pendulum and freezegun have one."""


class Day(datetime.date):
    """As freezegun has one."""


class Order:
    """As an ORM's object: its columns may need a query."""

    def __repr__(self) -> str:
        raise AssertionError("a query")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a query for {name}")


VALUES: list[tuple[Any, Any]] = [
    (OwnDatetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
    (Day(2026, 1, 2), "2026-01-02"),
    (datetime.timedelta(minutes=5), "0:05:00"),
    (decimal.Decimal("1.50"), "1.50"),
    (fractions.Fraction(1, 3), "1/3"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.items(), [["a", 1]]),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (types.SimpleNamespace(a=1), {"a": 1}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (collections.UserDict({"a": 1}), {"a": 1}),
    (werkzeug.datastructures.MultiDict([("a", "1"), ("a", "2")]), {"a": ["1", "2"]}),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda v: type(v).__name__)
def test_value_is_readable(room: Callable[..., Room], value: Any, expected: Any) -> None:
    """As a fact, and inside another one."""
    made = room()
    logger.info("event", value=value, inside={"of": [value]})

    (line,) = made.lines
    assert expected == line["value"]
    assert {"of": [expected]} == line["inside"]


def test_objects_are_named_without_a_query(room: Callable[..., Room]) -> None:
    """An object of an ORM is its class; nothing of it is asked."""
    made = room()
    logger.info("event", order=Order())

    assert "Order" in made.lines[0]["order"]
