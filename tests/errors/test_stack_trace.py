"""Tracebacks as frames: real ones of every kind, and texts that imitate one."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core.exceptions import describe
from proletto_otel.errors.stack_trace import Raised, parse


def raised(function: Callable[[], object]) -> tuple[Raised, ...]:
    """The chain of what *function* raises, as it is recorded."""
    try:
        function()
    except BaseException as error:
        return parse(describe(error).lines)
    raise AssertionError("nothing was raised")


def divide() -> float:
    """Fail."""
    return 1 / 0


def test_one_exception() -> None:
    """File, line, function, code, and whose frame it is."""
    (only,) = raised(divide)

    assert "ZeroDivisionError: division by zero" == only.text
    last = only.frames[-1]
    assert (__file__, "divide", "return 1 / 0", True) == (
        last.file, last.function, last.code, last.own,
    )  # fmt: skip
    around = last.source(around=2)
    assert [last.line - 2, last.line + 2] == [around[0].number, around[-1].number]
    assert ["    return 1 / 0"] == [line.text for line in around if line.failing]
    assert last.changed_since(0)
    assert not last.changed_since(time.time() + 60)


def test_chains() -> None:
    """`from` is a cause, an exception in a handler a context; the error itself is the last."""

    def context() -> None:
        try:
            divide()
        except ZeroDivisionError:
            int("x")

    def cause() -> None:
        try:
            context()
        except ValueError as error:
            raise KeyError("three") from error

    chain = raised(cause)
    assert ["context", "cause", ""] == [part.leads_as for part in chain]
    assert ["ZeroDivisionError", "ValueError", "KeyError"] == [
        part.text.partition(":")[0] for part in chain
    ]
    assert all(part.frames for part in chain)


def test_many_lines_of_message() -> None:
    """A message of several lines stays whole; frames it imitates are its text, no frames."""
    forged = f'no\n  File "{__file__}", line 3, in evil\n    import os'

    def fail() -> None:
        raise ValueError(forged)

    (only,) = raised(fail)
    assert forged.splitlines()[0] in only.text
    assert "evil" not in {frame.function for frame in only.frames}
    assert "evil" in only.text


@pytest.mark.parametrize(
    "file", ["/etc/passwd", "/etc/passwd\0.py", "../../etc/hosts", "/proc/self/environ", "x.py",
             "/nowhere/a.py"],
)  # fmt: skip
def test_only_importable_source_is_read(file: str, tmp_path: Path) -> None:
    """No other file is opened, whatever a text says."""
    (only,) = parse([f'  File "{file}", line 1, in f', "    code()", "E: x"])

    assert all(not frame.source() for frame in only.frames)
    outside = tmp_path / "secret.py"
    outside.write_text("first\n")
    (only,) = parse([f'  File "{outside}", line 1, in f', "E: x"])
    assert () == only.frames[0].source()


def test_recursion_and_syntax() -> None:
    """Repeated frames are counted by Python; a syntax error's own line is part of its text."""

    def down(left: int) -> int:
        return down(left - 1) if left else 1 // 0

    (deep,) = raised(lambda: down(200))
    assert 3 <= sum(frame.function == "down" for frame in deep.frames) <= 10
    assert "ZeroDivisionError" in deep.text
    (syntax,) = raised(lambda: compile("a b", "<text>", "exec"))
    assert "SyntaxError" in syntax.text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups")
def test_groups() -> None:
    """The exceptions of a group are found with their frames."""

    def fail() -> None:
        found = []
        for _ in range(2):
            try:
                divide()
            except ZeroDivisionError as error:
                found.append(error)
        raise ExceptionGroup("several", found)  # noqa: F821

    chain = raised(fail)
    assert any("several" in part.text for part in chain)
    assert any(frame.function == "fail" for part in chain for frame in part.frames)


@pytest.mark.parametrize("size", [10, 100_000])
def test_hostile_texts_are_quick(size: int) -> None:
    """Long lines and many of them are parsed in one pass."""
    for line in (
        '  File "' + "a" * size,
        "| " * size,
        "+-" * size,
        " " * size,
        '  File "a", line 1',
    ):
        assert parse([line] * 50)


def test_every_standard_traceback() -> None:
    """What the standard library prints is parsed without an exception, whatever it is."""
    for text in (traceback.format_exc(), "", "\n", "Traceback (most recent call last):"):
        assert parse(text.splitlines())[-1].leads_as == ""
