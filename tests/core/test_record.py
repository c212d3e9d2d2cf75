"""A record does what a dataclass does; only the compiler does not run for it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from inspect import signature
from typing import Any

import pytest

from proletto_otel.core.record import record


@record(frozen=True, slots=True)
class Price:
    """What something costs."""

    amount: float
    currency: str = "EUR"
    tags: list[str] = field(default_factory=list, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StockPrice:
    """The same, made by the standard library."""

    amount: float
    currency: str = "EUR"
    tags: list[str] = field(default_factory=list, compare=False, repr=False)


@record(kw_only=True)
class Order:
    """Something that changes."""

    number: int
    prices: dict[str, Price] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"order {self.number}"


@pytest.mark.parametrize("kind", [Price, StockPrice])
def test_record_is_made_compared_and_shown_as_a_dataclass(kind: Any) -> None:
    """Arguments by position and by name, defaults, equality, hash and text are the same."""
    price = kind(2.5, tags=["new"])

    assert (2.5, "EUR", ["new"]) == (price.amount, price.currency, price.tags)
    assert kind(amount=2.5, currency="EUR") == price != kind(2.5, "USD")
    assert (2.5, "EUR") != price
    assert {price} == {kind(2.5)}
    assert f"{kind.__name__}(amount=2.5, currency='EUR')" == repr(price)
    assert kind(1.0).tags is not kind(1.0).tags


@record(frozen=True, slots=True)
class Offer(Price):
    """A price for a while."""

    until: str = "Sunday"


@dataclass(frozen=True, slots=True)
class StockOffer(StockPrice):
    """The same, made by the standard library."""

    until: str = "Sunday"


@pytest.mark.parametrize("kind", [Offer, StockOffer])
def test_record_below_a_record_has_its_fields_too(kind: Any) -> None:
    """They come first, with their defaults."""
    offer = kind(2.5, tags=["new"])

    assert ["amount", "currency", "tags", "until"] == [each.name for each in fields(kind)]
    assert (2.5, "EUR", ["new"], "Sunday") == (
        offer.amount, offer.currency, offer.tags, offer.until,
    )  # fmt: skip
    assert kind(2.5, "EUR", [], "Monday") == replace(offer, until="Monday")
    assert f"{kind.__name__}(amount=2.5, currency='EUR', until='Sunday')" == repr(offer)
    assert offer == copy.deepcopy(offer) == pickle.loads(pickle.dumps(offer))
    assert offer != Price(2.5)


@pytest.mark.parametrize("kind", [Price, StockPrice])
def test_functions_for_dataclasses_know_a_record(kind: Any) -> None:
    """`fields`, `replace`, `asdict`, copies and pickles."""
    price = kind(2.5, tags=["new"])

    assert ["amount", "currency", "tags"] == [each.name for each in fields(kind)]
    assert kind(3.0, "EUR", ["new"]) == replace(price, amount=3.0)
    assert {"amount": 2.5, "currency": "EUR", "tags": ["new"]} == asdict(price)
    assert price == copy.deepcopy(price) == pickle.loads(pickle.dumps(price))


@pytest.mark.parametrize("kind", [Price, StockPrice])
def test_frozen_record_refuses_changes(kind: Any) -> None:
    """Neither a field nor a new attribute can be set, and nothing be deleted."""
    price = kind(2.5)

    with pytest.raises(FrozenInstanceError):
        price.amount = 3.0
    with pytest.raises((FrozenInstanceError, TypeError)):
        price.note = "cheap"
    with pytest.raises(FrozenInstanceError):
        del price.amount
    assert 2.5 == price.amount


@pytest.mark.parametrize("kind", [Price, StockPrice])
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        ((), {"currency": "USD"}),
        ((1.0, "USD", [], "more"), {}),
        ((1.0,), {"amount": 1.0}),
        ((1.0,), {"note": "cheap"}),
        ((), {"note": "cheap"}),
        ((), {"currency": "USD", "tags": [], "note": "cheap"}),
    ],
)
def test_arguments_that_are_not_its_fields_are_refused(
    kind: Any, values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Too many, too few, twice the same, and unknown ones."""
    with pytest.raises(TypeError):
        kind(*values, **named)


def test_changeable_record_by_name_only() -> None:
    """Without `frozen` it can be changed and is no key; its own methods stay."""
    order = Order(number=7)
    order.prices["a"] = Price(1.0)
    order.number = 8

    assert "order 8" == repr(order)
    assert Order(number=8, prices={"a": Price(1.0)}) == order != Order(number=8)
    with pytest.raises(TypeError):
        hash(order)
    with pytest.raises(TypeError):
        Order(7)  # type: ignore[misc]  # it must not be possible


def test_help_shows_the_fields() -> None:
    """The signature is that of a dataclass; a class below with its own `__init__` shows that."""

    class Discount(Price):
        def __init__(self, percent: int) -> None: ...

    assert str(signature(StockPrice)) == str(signature(Price))
    assert "(*, number: 'int', prices: 'dict[str, Price]' = <factory>) -> None" == str(
        signature(Order)
    )
    assert "(percent: 'int') -> 'None'" == str(signature(Discount))
