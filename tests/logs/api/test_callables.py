"""The decorators on every kind of callable: what they do there, and which types checkers see."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound

from proletto_otel import background
from proletto_otel.core.conventions import MESSAGE
from proletto_otel.error_logging import ErrorCapture, handle_errors, log_function_call, logger
from tests.logs.api.test_decorators import errors_counted
from tests.logs.conftest import Room
from tests.waiting import PATIENCE_S

Install = Callable[..., Room]


class Shop:
    """Each kind of attribute that is called or computed."""

    @handle_errors(component="static", fallback_value=0)
    @staticmethod
    def static() -> float:
        return 1 / 0

    @handle_errors(component="class", fallback_value=0)
    @classmethod
    def of_class(cls) -> float:
        return 1 / 0

    @handle_errors(component="property", fallback_value=0)  # type: ignore[prop-decorator]  # mypy
    @property
    def price(self) -> float:
        return 1 / 0

    @handle_errors(component="cached", fallback_value=0)
    @functools.cached_property
    def cached(self) -> float:
        return 1 / 0

    def add(self, first: int, second: int) -> float:
        return first / second

    partial: Any = handle_errors(component="partial", fallback_value=0)(
        functools.partialmethod(add, 1)  # type: ignore[arg-type]  # no callable by its stub
    )


class AsyncCallable:
    """An object that is called as a coroutine function is."""

    async def __call__(self) -> float:
        return 1 / 0


def test_descriptors_stay_what_they_are(room: Install) -> None:
    """Static and class methods, properties, cached properties, partial methods."""
    made, shop = room(), Shop()

    found: list[Any] = [Shop.static(), Shop.of_class(), shop.price, shop.cached, shop.partial(0)]

    assert [0] * 5 == found
    assert 0.5 == shop.partial(2)
    assert ["static", "class", "property", "cached", "partial"] == [
        line["component"] for line in made.lines
    ]
    assert isinstance(vars(Shop)["price"], property)


def test_partials_and_callable_objects(room: Install) -> None:
    """`functools.partial` and objects with an async `__call__` are awaited inside."""
    made = room()

    async def divide(x: int, y: int) -> float:
        return x / y

    caught = handle_errors(functools.partial(divide, 1))
    assert asyncio.run(caught(0)) is None
    assert 0.5 == asyncio.run(caught(2))
    assert asyncio.run(handle_errors(AsyncCallable())()) is None

    assert ["partial failed", "AsyncCallable failed"] == [line[MESSAGE] for line in made.lines]


@pytest.mark.parametrize("decorate", [handle_errors, log_function_call])
@pytest.mark.parametrize("thing", [Shop, 7, "text"])
def test_what_is_no_function_is_refused(decorate: Any, thing: Any) -> None:
    """A class would turn into a function: that is said where it is decorated."""
    with pytest.raises(TypeError, match="is no function"):
        decorate(thing)


def test_fallback_is_not_shared() -> None:
    """What one caller adds to its fallback is not in the next one's."""

    @handle_errors(fallback_value={"orders": []})
    def orders() -> dict[str, list[int]]:
        raise LookupError("gone")

    orders()["orders"].append(7)

    assert {"orders": []} == orders()


def test_abort_in_a_logged_function_is_no_error(room: Install) -> None:
    """404 and redirects are answers: no ERROR, no count; 500 is an error."""
    made = room(log_level="DEBUG")
    before = errors_counted()

    @log_function_call
    def view(error: HTTPException) -> None:
        raise error

    for error in (NotFound(), HTTPException(), InternalServerError()):
        with pytest.raises(HTTPException):
            view(error)

    assert ["DEBUG", "DEBUG", "ERROR"] == [line["level"] for line in made.lines]
    assert 1 == errors_counted() - before


def test_cancellation_is_no_error(room: Install) -> None:
    """A cancelled task ends as asyncio wants it, whatever is caught; nothing is logged."""
    made = room()

    @log_function_call
    @handle_errors(exceptions=BaseException, reraise=False)
    async def work() -> None:
        with ErrorCapture(exceptions=BaseException, reraise=False):
            await asyncio.sleep(60)

    async def main() -> bool:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert [] == made.lines


def test_facts_of_an_outer_block_are_kept(room: Install) -> None:
    """The inner function logs the exception first; the outer block's facts are on that record."""
    made = room()

    @handle_errors(reraise=True, attempt=2)
    def inner() -> None:
        raise LookupError("gone")

    @handle_errors(component="outermost", region="eu")
    def outer() -> None:
        with ErrorCapture(component="user_service", user_id=7):
            inner()

    outer()
    logger.error("after", exc_info=ValueError("x"))
    with ErrorCapture(component="mine", reraise=False):
        try:
            raise ValueError("boom")
        except ValueError:
            logger.exception("logged by hand", component="own")
            raise

    first, after, own = made.lines
    assert ("user_service", 7, 2, "eu") == tuple(
        first[name] for name in ("component", "user_id", "attempt", "region")
    )
    assert "component" not in after
    assert "own" == own["component"]


def test_endless_recursion_is_reported(room: Install) -> None:
    """The function that calls itself is decorated: the error has its traceback all the same."""
    made = room()

    @handle_errors(fallback_value="the end")
    def again(n: int) -> str:
        return again(n + 1)

    assert "the end" == again(0)

    (line,) = made.lines
    assert "RecursionError" == line["exception"]["type"]
    assert "again" in str(line["exception"]["traceback"])
    assert 16 == len(line["fingerprint"])


def test_failed_job_keeps_its_facts(room: Install) -> None:
    """Who logs the exception of a `background` job stands outside; its ID and facts are there."""
    made = room()

    @background(queue="mail")
    def job() -> None:
        raise LookupError("gone")

    try:
        job()
    except LookupError:
        logger.exception("task failed")  # as Celery and schedulers do

    (line,) = made.lines
    assert "mail" == line["queue"]
    assert 32 == len(line["request_id"])


TYPED = """
from collections.abc import AsyncIterator, Iterator
from proletto_otel.error_logging import ErrorCapture, handle_errors, log_function_call

@handle_errors
async def fetch(x: int) -> str: return str(x)
@handle_errors
def numbers() -> Iterator[int]: yield 1
@handle_errors
async def stream() -> AsyncIterator[int]: yield 1
@handle_errors
def plain(x: int) -> str: return str(x)
@handle_errors(fallback_value=0)
def divide(x: int) -> float: return 1 / x
@log_function_call
async def logged(x: int) -> str: return str(x)
@log_function_call(level="INFO")
def steps() -> Iterator[int]: yield 1

def value() -> int:
    with ErrorCapture(component="x"):
        return 1
def value_or_none() -> int | None:
    with ErrorCapture(reraise=False):
        return 1
    return None
async def later() -> int:
    async with ErrorCapture():
        return 1

class Shop:
    @handle_errors
    def method(self, x: int) -> str: return str(x)
    @staticmethod
    @handle_errors
    def static(x: int) -> str: return str(x)
    @classmethod
    @handle_errors
    def made(cls, x: int) -> str: return str(x)

async def main() -> None:
    reveal_type(await fetch(1))
    reveal_type(next(numbers()))
    async for item in stream():
        reveal_type(item)
    reveal_type(plain(1))
    reveal_type(divide(1))
    reveal_type(await logged(1))
    reveal_type(next(steps()))
    reveal_type(Shop().method(1))
    reveal_type(Shop.static(1))
    reveal_type(Shop.made(1))
    with ErrorCapture() as captured:
        reveal_type(captured.error)
"""
REVEALED = [
    "str | None", "int", "int", "str | None", "float", "str", "int", "str | None", "str | None",
    "str | None", "BaseException | None",
]  # fmt: skip


def test_type_checkers_are_told_the_truth(tmp_path: Path) -> None:
    """Under `mypy --strict`: the types of each kind, and no error in functions that capture."""
    path = tmp_path / "typed.py"
    path.write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(path)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert [] == [line for line in done.stdout.splitlines() if " error: " in line]
    revealed = [line.split('"')[1] for line in done.stdout.splitlines() if "Revealed" in line]
    assert REVEALED == [text.replace("builtins.", "") for text in revealed]
