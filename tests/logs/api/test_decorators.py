"""Decorators and the capture: as the specification's examples use them, on every kind of call."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from werkzeug.exceptions import NotFound

from proletto_otel.core import context
from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.metrics.registry import registry
from proletto_otel.error_logging import (
    ErrorCapture,
    get_logger,
    handle_errors,
    log_function_call,
    logger,
)
from tests.logs.conftest import Room, attributes

Install = Callable[..., Room]


def errors_counted() -> float:
    families = [f for f in registry.collect() if f.name == "proletto.errors"]
    return sum(p.value for f in families for p in f.points if isinstance(p.value, (int, float)))


# --- the specification's examples ---------------------------------------------------------------
def test_important_calculation(room: Install) -> None:
    """`@log_function_call(level=logger.DEBUG)` logs parameters and return value."""
    made = room(log_level="DEBUG")

    @log_function_call(level=logger.DEBUG)
    def important_calculation(x: float, y: float) -> float:
        return x / y

    assert 2.5 == important_calculation(5, y=2)

    line = made.lines[0]
    name = "test_important_calculation.<locals>.important_calculation"
    assert ("DEBUG", f"{name} returned") == (line["level"], line[MESSAGE])
    assert ({"x": 5, "y": 2}, 2.5) == (line["arguments"], line["result"])
    assert line["duration_ms"] >= 0
    assert "test_decorators" == line["module"]


def test_safe_division(room: Install) -> None:
    """`@handle_errors(reraise=False, fallback_value=0)`: one record, one count, the fallback."""
    made = room()

    @handle_errors(reraise=False, fallback_value=0)
    def safe_division(x: int, y: int) -> float:
        return x / y

    assert 0 == safe_division(1, 0)
    assert 3 == safe_division(6, 2)

    assert ["ERROR"] == [line["level"] for line in made.lines]
    assert "ZeroDivisionError" == made.lines[0]["exception"]["type"]
    assert made.lines[0]["exception"]["traceback"][-1].startswith("ZeroDivisionError")
    assert 1 == errors_counted()


def test_user_operation(room: Install) -> None:
    """`with ErrorCapture(component=…, user_id=…, reraise=False)` puts its facts on the record."""
    made = room()

    def user_operation(user_id: str) -> int | None:
        with ErrorCapture(component="user_service", user_id=user_id, reraise=False) as captured:
            raise ConnectionError("refused")
        assert isinstance(captured.error, ConnectionError)
        assert made.lines[0]["fingerprint"] == captured.fingerprint
        return None

    assert user_operation("12345") is None

    line = made.lines[0]
    assert ("user_service", "12345", "user_operation") == (
        line["component"], line["user_id"], line["function"].rpartition(".")[2],
    )  # fmt: skip


# --- every kind of function ---------------------------------------------------------------------
class Shop:
    """One function of each kind."""

    @log_function_call(level="INFO")
    def plain(self, n: int) -> int:
        """Doc."""
        return n + 1

    @log_function_call(level="INFO")
    async def coroutine(self, n: int) -> int:
        return n + 1

    @log_function_call(level="INFO")
    def generator(self, n: int) -> Iterator[int]:
        yield from range(n)

    @log_function_call(level="INFO")
    async def stream(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @classmethod
    @log_function_call(level="INFO")
    def under_classmethod(cls, n: int) -> int:
        return n + 1

    @log_function_call(level="INFO")
    @classmethod
    def over_classmethod(cls, n: int) -> int:
        return n + 1

    @log_function_call(level="INFO")
    @staticmethod
    def static(n: int) -> int:
        return n + 1


async def collected(stream: AsyncIterator[int]) -> list[int]:
    return [item async for item in stream]


@pytest.mark.parametrize(
    ("name", "call", "expected"),
    [
        ("plain", lambda s: s.plain(2), 3),
        ("coroutine", lambda s: asyncio.run(s.coroutine(2)), 3),
        ("generator", lambda s: list(s.generator(2)), [0, 1]),
        ("stream", lambda s: asyncio.run(collected(s.stream(2))), [0, 1]),
        ("under_classmethod", lambda s: s.under_classmethod(2), 3),
        ("over_classmethod", lambda s: Shop.over_classmethod(2), 3),
        ("static", lambda s: s.static(2), 3),
    ],
)
def test_every_kind_of_function(
    room: Install, name: str, call: Callable[[Shop], Any], expected: Any
) -> None:
    """Plain, async, generator, async generator, method: one record, the same result."""
    made = room()

    assert expected == call(Shop())
    assert [(f"Shop.{name} returned", {"n": 2})] == [
        (line[MESSAGE], line["arguments"]) for line in made.lines
    ]


def test_wrapped_functions_stay_what_they_are() -> None:
    """Name, documentation, signature and kind are kept."""
    assert ("plain", "Doc.") == (Shop.plain.__name__, Shop.plain.__doc__)
    assert ["self", "n"] == list(inspect.signature(Shop.plain).parameters)
    assert inspect.iscoroutinefunction(Shop.coroutine)
    assert inspect.isgeneratorfunction(Shop.generator)
    assert inspect.isasyncgenfunction(Shop.stream)


def test_bare_forms(room: Install) -> None:
    """Both decorators work without parentheses."""
    made = room(log_level="DEBUG")

    @log_function_call
    def one() -> int:
        return 1

    @handle_errors
    def two() -> int:
        raise ValueError

    assert (1, None) == (one(), two())
    assert ["DEBUG", "ERROR"] == [line["level"] for line in made.lines]


def test_generator_is_driven_by_its_consumer(room: Install) -> None:
    """A wrapped generator takes what is sent and thrown, and is not run ahead."""
    room()
    steps: list[Any] = []

    @log_function_call(level="INFO")
    def talk() -> Any:
        steps.append("began")
        try:
            steps.append((yield "first"))
        except KeyError:
            steps.append("thrown")
        return "end"

    talking = talk()
    assert [] == steps
    assert "first" == next(talking)
    with pytest.raises(StopIteration) as stopped:
        talking.send("sent")
    assert ("end", ["began", "sent"]) == (stopped.value.value, steps)

    talking = talk()
    next(talking)
    with pytest.raises(StopIteration):
        talking.throw(KeyError())
    assert "thrown" == steps[-1]


def test_async_generator_is_driven_by_its_consumer(room: Install) -> None:
    """The same for an async generator: sent, thrown, closed early."""
    made = room()
    steps: list[Any] = []

    @log_function_call(level="INFO")
    async def talk() -> Any:
        try:
            steps.append((yield "first"))
            try:
                yield "second"
            except KeyError:
                steps.append("thrown")
                yield "third"
        finally:
            steps.append("closed")

    async def drive() -> list[Any]:
        talking = talk()
        seen = [await talking.__anext__(), await talking.asend("sent")]
        seen.append(await talking.athrow(KeyError()))
        await talking.aclose()
        return seen

    assert ["first", "second", "third"] == asyncio.run(drive())
    assert ["sent", "thrown", "closed"] == steps
    assert 1 == len(made.lines)


# --- what must not happen -----------------------------------------------------------------------
class Lazy:
    """Loads when printed or iterated, as an ORM object does."""

    loads = 0

    def __repr__(self) -> str:
        Lazy.loads += 1
        return "loaded"

    def __iter__(self) -> Iterator[int]:
        Lazy.loads += 1
        return iter([1])

    def __len__(self) -> int:
        Lazy.loads += 1
        return 1


def test_arguments_are_not_touched(room: Install) -> None:
    """Generators are not used up, lazy objects not loaded, secrets not shown, sizes bounded."""
    made = room()

    @log_function_call(level="INFO")
    def work(items: Iterator[int], lazy: Lazy, big: list[int], text: str, *, password: str) -> Any:
        return items

    source = (n for n in range(3))
    result = work(source, Lazy(), list(range(1_000_000)), "x" * 10_000_000, password="hunter2x")

    assert [0, 1, 2] == list(result)
    assert 0 == Lazy.loads
    line = made.lines[0]
    assert "hunter2x" not in made.text() + made.text("_structured.json")
    assert all(len(str(value)) <= 1024 for value in line["arguments"].values())
    assert "generator" in line["result"]


def test_arguments_are_those_of_the_call(room: Install) -> None:
    """What the function does to its arguments later does not show."""
    made = room()

    @log_function_call(level="INFO")
    def clear(items: list[int]) -> None:
        items.clear()

    clear([1, 2])
    assert {"items": [1, 2]} == made.lines[0]["arguments"]


def test_exception_of_a_logged_call_goes_on(room: Install) -> None:
    """An exception is logged once with the arguments and leaves unchanged."""
    made = room()
    error = KeyError("x")

    @log_function_call
    def fail(n: int) -> None:
        raise error

    with pytest.raises(KeyError) as raised:
        fail(7)

    assert raised.value is error
    assert [("ERROR", {"n": 7})] == [(x["level"], x["arguments"]) for x in made.lines]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exits_are_never_swallowed(room: Install, error: type[BaseException]) -> None:
    """`KeyboardInterrupt`, `SystemExit` and `GeneratorExit` pass, unlogged, whatever was asked."""
    made = room()

    @handle_errors(exceptions=(BaseException,))
    def leave() -> None:
        raise error

    with pytest.raises(error):
        leave()
    with pytest.raises(error), ErrorCapture(reraise=False, exceptions=BaseException):
        raise error

    assert [] == made.lines


def test_http_exception_is_an_answer(room: Install) -> None:
    """`abort(404)` passes `handle_errors` unless it is asked for by name."""
    made = room()

    @handle_errors()
    def view() -> None:
        raise NotFound

    @handle_errors(exceptions=(NotFound,), fallback_value="mine")
    def asked() -> str:
        raise NotFound

    with pytest.raises(NotFound):
        view()
    assert [] == made.lines
    assert "mine" == asked()
    assert 1 == len(made.lines)


def test_other_exceptions_pass(room: Install) -> None:
    """Only the kinds asked for are handled."""
    made = room()

    @handle_errors(exceptions=(KeyError,), fallback_value=1)
    def fail() -> int:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert [] == made.lines


def test_one_failure_is_one_record(room: Install) -> None:
    """Decorators and captures around each other log an exception once."""
    made = room()

    @log_function_call
    @handle_errors(reraise=True, component="inner")
    def fail() -> None:
        raise ValueError("once")

    with context.background(), ErrorCapture("outer", reraise=False):
        fail()

    assert ["inner"] == [line["component"] for line in made.lines]
    assert 1 == errors_counted()


def test_capture_puts_facts_and_exception_on_the_span(room: Install) -> None:
    """The facts are on the span, the exception is its event, clean."""
    from opentelemetry.sdk.trace import TracerProvider

    room()
    text = "password=" + "hunter2" + "secret"
    tracer = TracerProvider().get_tracer("t")
    with (
        tracer.start_as_current_span("job") as span,
        ErrorCapture("cart", reraise=False, sku="A", left=2),
    ):
        raise ValueError(text)

    assert ("cart", "A", 2) == tuple(
        (span.attributes or {})[name] for name in ("component", "sku", "left")
    )
    (event,) = span.events
    assert "ValueError" == (event.attributes or {})["exception.type"]
    assert "hunter2secret" not in str(event.attributes)


def test_async_forms(room: Install) -> None:
    """`handle_errors` on a coroutine, `async with ErrorCapture`."""
    made = room()

    @handle_errors(fallback_value="fallback")
    async def fail() -> str:
        raise ValueError

    async def main() -> str:
        async with ErrorCapture("block", reraise=False):
            raise KeyError
        return await fail()

    assert "fallback" == asyncio.run(main())
    assert 2 == len(made.lines)


def test_everything_works_without_setup(capsys: pytest.CaptureFixture[str]) -> None:
    """Without `setup_telemetry` records are printed and nothing else changes."""

    @handle_errors(fallback_value=0)
    @log_function_call(level="INFO")
    def fail(n: int) -> int:
        raise ValueError("printed")

    assert 0 == fail(1)
    assert "ValueError: printed" in capsys.readouterr().out


def test_logger_offers_what_both_worlds_expect(room: Install) -> None:
    """Levels as constants, `bind`, `getChild`, `isEnabledFor`, `setLevel`."""
    made = room()
    assert (10, 20, 30, 40, 50) == (
        logger.DEBUG, logger.INFO, logger.WARNING, logger.ERROR, logger.CRITICAL,
    )  # fmt: skip
    child = logger.bind(shop="A").getChild("cart")
    child.info("event", item=1)
    child.unbind("shop").info("event")
    get_logger("other", tenant="t").info("event")
    child.setLevel("DEBUG")
    child.debug("seen")

    assert [("proletto.cart", "A"), ("proletto.cart", None), ("other", None)] == [
        (line["logger"], line.get("shop")) for line in made.lines[:3]
    ]
    assert ["t", "seen"] == [made.lines[2]["tenant"], made.lines[3][MESSAGE]]
    assert not logger.isEnabledFor(logging.DEBUG)
    assert child.isEnabledFor(logging.DEBUG)


def test_exception_travels_as_otlp(room: Install) -> None:
    """The OTLP record has type, message and stack trace, and the fingerprint."""
    made = room()
    with ErrorCapture("cart", reraise=False):
        raise LookupError("gone")

    found = attributes(made.otlp[0])
    assert ("LookupError", "gone") == (found["exception.type"], found["exception.message"])
    assert found["exception.stacktrace"].startswith("Traceback (most recent call last):")
    assert made.lines[0]["fingerprint"] == found["proletto.error.fingerprint"]
    assert found["code.function.name"].endswith("test_exception_travels_as_otlp")
