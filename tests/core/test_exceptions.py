"""Exceptions as facts: the standard library's text, a stable fingerprint, never an exception."""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proletto_otel.core import exceptions, frames
from proletto_otel.core.exceptions import describe, fingerprint
from proletto_otel.core.redaction import sanitise
from proletto_otel.core.redaction.redactor import Redactor
from tests.corpus import secrets


class ShopError(Exception):
    """An error of an application."""


class Unprintable(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Frozen(Exception):
    """It takes no attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    frames.forget()
    yield
    exceptions.configure(locals_too=False)
    sanitise.configure(None)


def caught(function: Callable[[], Any]) -> BaseException:
    """The exception *function* raises."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def plain() -> None:
    raise ValueError("boom")


def in_a_long_line() -> None:
    first = {"a": 1}
    first["a"] + first["missing key"] + 3


def chained() -> None:
    try:
        plain()
    except ValueError as error:
        raise ShopError("order 7 failed") from error


def in_context() -> None:
    try:
        plain()
    except ValueError:
        {}["order"]


def suppressed() -> None:
    try:
        plain()
    except ValueError:
        raise ShopError("alone") from None


def in_a_circle() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def recursive() -> None:
    recursive()


def between(n: int = 7) -> None:
    if n:
        between(n - 1)
    else:
        plain()


def no_message() -> None:
    raise ShopError


def many_lines() -> None:
    raise ShopError("first\nsecond\n\tthird")


def at_exit() -> None:
    raise SystemExit(3)


def syntax() -> None:
    compile("x = (1,\ny = 2", "shop.cfg", "exec")


def from_text() -> None:
    exec(compile("def f():\n    1/0\nf()", "<made>", "exec"), {})


def misspelt_name() -> None:
    plane()  # type: ignore[name-defined]  # noqa: F821  the error is the point


def misspelt_attribute() -> None:
    [].appendd(1)  # type: ignore[attr-defined]  # the error is the point


def noted() -> None:
    error = ShopError("with notes")
    error.add_note("first note\nof two lines")  # type: ignore[attr-defined]  # 3.11 and later
    error.add_note("second note")  # type: ignore[attr-defined]  # 3.11 and later
    raise error


def grouped() -> None:
    errors = [caught(plain), caught(chained)]
    raise ExceptionGroup("two", errors)  # type: ignore[name-defined]  # noqa: F821  3.11 and later


RAISING = [
    plain, in_a_long_line, chained, in_context, suppressed, in_a_circle, recursive, between,
    no_message, many_lines, at_exit, syntax, from_text, misspelt_name, misspelt_attribute,
]  # fmt: skip
if sys.version_info >= (3, 11):
    RAISING += [noted, grouped]


@pytest.mark.parametrize("function", RAISING, ids=lambda f: f.__name__)
def test_text_is_the_standard_librarys(function: Callable[[], None]) -> None:
    """The traceback is what `traceback.format_exception` writes, also when it comes from memory."""
    error = caught(function)
    expected = "".join(traceback.format_exception(error))

    assert expected == describe(error).traceback
    again = caught(function)
    assert "".join(traceback.format_exception(again)) == describe(again).traceback


def test_without_traceback() -> None:
    """An exception that was never raised has its final line only."""
    assert "ValueError: boom\n" == describe(ValueError("boom")).traceback


def test_same_line_different_call() -> None:
    """Two calls in one line are two positions."""

    def run(flag: bool) -> None:
        int("a") if flag else float("b")

    first, second = caught(lambda: run(True)), caught(lambda: run(False))

    assert "".join(traceback.format_exception(first)) == describe(first).traceback
    assert "".join(traceback.format_exception(second)) == describe(second).traceback


def test_facts() -> None:
    """Type, message, place and lines tell errors apart."""
    facts = describe(caught(many_lines))

    assert "tests.core.test_exceptions.ShopError" == facts.type
    assert "ShopError" == facts.short_type
    assert "first\\nsecond\\n\\tthird" == facts.message
    assert facts.where.startswith("tests/core/test_exceptions.py:")
    assert facts.where.endswith("many_lines")
    assert facts.lines[0] == "Traceback (most recent call last):"


def test_place_is_the_applications() -> None:
    """An error inside a library is blamed on the application's innermost line."""
    import json

    assert (
        describe(caught(lambda: json.loads("{"))).where.split(":")[0].endswith("test_exceptions.py")
    )


@pytest.mark.parametrize(
    ("filename", "ours"),
    [
        (__file__, True),
        ("/srv/shop/payment.py", True),
        (traceback.__file__, False),
        ("/srv/venv/lib/python3.11/site-packages/flask/app.py", False),
        ("<frozen importlib._bootstrap>", False),
        (frames.__file__, False),
    ],
)
def test_in_app(filename: str, ours: bool) -> None:
    """Python's files, installed packages and this library are not the application."""
    assert ours == exceptions.in_app(filename)


def test_message_does_not_change_the_fingerprint() -> None:
    """The same error with other values in its text is the same error."""

    def charge(n: int) -> None:
        raise ShopError(f"order {n}")

    prints = {fingerprint(caught(lambda n=n: charge(n))) for n in range(3)}  # type: ignore[misc]

    assert 1 == len(prints)
    assert 16 == len(prints.pop())


def test_line_does_not_change_the_fingerprint() -> None:
    """The same error on another line of the same function is the same error."""

    def charge(early: bool) -> None:
        if early:
            raise ShopError("no card")
        raise ShopError("no money")

    first, second = caught(lambda: charge(True)), caught(lambda: charge(False))

    assert describe(first).location != describe(second).location
    assert fingerprint(first) == fingerprint(second)


def test_type_and_function_change_the_fingerprint() -> None:
    """Another type or another function is another error."""
    assert 3 == len({fingerprint(caught(f)) for f in (plain, no_message, many_lines)})


def test_described_once() -> None:
    """A second look costs nothing, until the traceback has grown."""
    error = caught(plain)
    first = describe(error)
    assert first is describe(error)

    def raise_again() -> None:
        raise error

    assert first.traceback != describe(caught(raise_again)).traceback


@pytest.mark.parametrize("kind", [Unprintable, Frozen])
def test_resisting_exceptions(kind: type[Exception]) -> None:
    """An exception with a text or attributes that fail is described all the same."""

    def throw() -> None:
        raise kind("x")

    facts = describe(caught(throw))

    assert kind.__name__ == facts.short_type
    assert "in throw" in facts.traceback


def test_exception_stays_picklable() -> None:
    """A described exception goes to another process as before."""
    error = caught(plain)
    describe(error)

    assert "boom" == str(pickle.loads(pickle.dumps(error)))
    assert describe(copy.deepcopy(error)).message == "boom"


def test_long_tracebacks_keep_their_end() -> None:
    """Of a traceback beyond 32 KB the last lines stay: they say what happened."""
    error = caught(lambda: caught_in_chain(5))
    whole = "".join(traceback.format_exception(error))

    shown = describe(error).traceback

    assert len(shown) == sanitise.MAX_TEXT < len(whole)
    marker, _, rest = shown.partition("\n")
    assert f"[cut, {len(whole)} characters]..." == marker
    assert whole.endswith(rest)
    assert rest.endswith("the newest\n")


def test_end_of_one_long_message_is_after_its_cut() -> None:
    """A message beyond 32 KB is cut itself; the line that raised it is still shown before it."""

    def throw() -> None:
        raise ShopError("x y " * 7000)

    facts = describe(caught(throw))

    assert facts.traceback.endswith("x y x y \n")
    assert "in throw" in facts.traceback


def caught_in_chain(n: int) -> None:
    """Raise from *n* exceptions with long messages."""
    try:
        if n:
            caught_in_chain(n - 1)
    except ShopError as error:
        raise ShopError("x y " * 5000 + "the newest") from error
    raise ShopError("x y " * 5000)


@pytest.mark.parametrize("links", [2, 10, 50])
def test_one_record_redacts_no_more_than_it_shows(links: int) -> None:
    """However many long messages a chain has, those that are cut away are not redacted first."""
    read: list[int] = []
    redactor = Redactor(callback=lambda text: read.append(len(text)) or text)
    sanitise.configure(sanitise.Sanitiser(redactor))

    shown = describe(caught(lambda: caught_in_chain(links))).traceback

    assert len(shown) == sanitise.MAX_TEXT
    assert shown.endswith("the newest\n")
    # one text, the message that reached its end, and the newest message for the facts
    assert sum(size for size in read if size > 1000) <= 3 * sanitise.MAX_TEXT


def test_notes_leave_room_for_the_traceback() -> None:
    """Twenty notes of 20 KB are neither redacted nor shown in full; the first ones are."""
    read: list[int] = []
    redactor = Redactor(callback=lambda text: read.append(len(text)) or text)
    sanitise.configure(sanitise.Sanitiser(redactor))
    error = caught(plain)
    error.__notes__ = ["first", *["x y " * 5000] * 19]  # type: ignore[attr-defined]

    shown = describe(error).traceback

    assert "\nValueError: boom\nfirst\n" in shown
    assert sum(read) <= 3 * sanitise.MAX_TEXT


def test_no_canary_in_messages() -> None:
    """Secrets in messages, notes and chains reach neither message nor traceback."""
    for canary in secrets.canaries():

        def throw(text: str = canary.text) -> None:
            try:
                raise ValueError(text)
            except ValueError as error:
                raise ShopError(text) from error

        facts = describe(caught(throw))
        assert canary.secret not in facts.traceback + facts.message, canary


def test_literal_secrets_of_source_lines() -> None:
    """A password written into the code is not shown with its line."""

    def connect(password: str) -> None:
        raise ShopError("refused")

    facts = describe(caught(lambda: connect(password="hunter2-literal")))

    assert "hunter2" not in facts.traceback
    assert 'connect(password="[redacted]")' in facts.traceback


def test_other_rules_forget_kept_text() -> None:
    """When redaction changes, kept frames are made anew."""
    before = describe(caught(plain)).traceback
    sanitise.configure(sanitise.Sanitiser(Redactor(patterns=["boom"])))

    assert "boom" in before
    assert "boom" not in describe(caught(plain)).traceback


def test_locals_only_when_asked() -> None:
    """Local variables stay out of reports, or come redacted."""

    def charge() -> None:
        order, password = 7, "hunter2"
        raise ShopError(f"{order} {len(password)}")

    assert describe(caught(charge)).locals is None
    exceptions.configure(locals_too=True)
    assert {"order": 7, "password": "[redacted]"} == describe(caught(charge)).locals


def test_kept_texts_are_bounded() -> None:
    """Code made at run time does not fill the memory."""
    for i in range(frames.MAX_FRAMES // 2 + 100):
        code = compile(f"def f():\n    1/0\nf() # {i}", f"<made {i}>", "exec")
        describe(caught(lambda code=code: exec(code, {})))  # type: ignore[misc]

    assert len(frames._frames) <= frames.MAX_FRAMES
    assert len(frames._stacks) <= frames.MAX_STACKS


def failing(message: str) -> Exception:
    """An error from always the same place."""
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def test_error_that_comes_again_is_described_alike() -> None:
    """The same error by the same way has the same facts, another message its own."""
    first, again, other = (exceptions.describe(failing(text)) for text in ("a", "a", "b"))

    assert first is again
    assert ("a", "b") == (first.message, other.message)
    assert other.traceback.endswith("ValueError: b\n")


def test_what_belongs_to_one_error_is_not_said_of_the_next() -> None:
    """Notes, causes and contexts are of the error that has them."""
    plain, caused = failing("a"), failing("a")
    caused.__cause__ = KeyError("first")

    assert "KeyError" in exceptions.describe(caused).traceback
    assert "KeyError" not in exceptions.describe(plain).traceback


def test_repeated_errors_are_kept_within_bounds() -> None:
    """A thousand messages fill no table, and a long text is not kept at all."""
    for number in range(1000):
        exceptions.describe(failing(f"order {number}"))
    assert len(exceptions._repeated) <= exceptions.MAX_REPEATED

    long = "x" * (exceptions.MAX_REPEATED_TEXT + 1)
    assert exceptions.describe(failing(long)) is not exceptions.describe(failing(long))


def test_forms_are_made_once_for_an_error_that_repeats() -> None:
    """What a sink makes of the facts serves the next occurrence, too."""
    made: list[str] = []

    def make(facts: exceptions.ExceptionFacts) -> str:
        made.append(facts.message)
        return facts.message

    for _ in range(3):
        assert "again" == exceptions.describe(failing("again")).form("test", make)
    assert ["again"] == made
