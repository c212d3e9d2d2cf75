"""Sanitising: plain, bounded, printable, and it never raises."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proletto_otel.core.config import Config
from proletto_otel.core.parsing import Secret
from proletto_otel.core.redaction import plain_values, sanitise
from proletto_otel.core.redaction.sanitise import Sanitiser

HOSTILE = ["\n", "\r", "\x1b", "\x9b", "\u202e", "\u2028", "\x7f", "\x00", "\ud800", "\u2066"]


class Colour(enum.Enum):
    RED = 1


class Point(collections.namedtuple("Point", "x password")):
    pass


@dataclasses.dataclass
class Login:
    user: str
    password: str


class Lazy:
    """An object whose representation would run code of the application."""

    def __repr__(self) -> str:
        raise AssertionError("__repr__ was called")

    __str__ = __repr__


class Broken(collections.UserDict):  # type: ignore[type-arg]
    def __init__(self) -> None:
        """Leave it without the dictionary that it wraps."""


class Hostile(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("items")

    def __len__(self) -> int:
        raise RuntimeError("len")


@pytest.fixture
def clean() -> Sanitiser:
    """A sanitiser with its defaults."""
    return Sanitiser()


@pytest.mark.parametrize("char", HOSTILE)
def test_control_characters_are_escaped(clean: Sanitiser, char: str) -> None:
    """A text becomes one line whose control characters are ASCII escapes."""
    for text in (char, f"a{char}b", f"long text with {char} in it, and <script>"):
        shown = clean.text(text)

        assert char not in shown
        assert ascii(char)[1:-1] in shown
        assert shown.encode() is not None


def test_other_scripts_stay(clean: Sanitiser) -> None:
    """Letters of every script and emoji are no control characters."""
    text = "Grüße 日本語 🙂 👩\u200d🚀 a\u00a0b"

    assert text == clean.text(text)


@pytest.mark.parametrize("kind", ["text", "block"])
def test_colours_go_other_controls_show(clean: Sanitiser, kind: str) -> None:
    """Coloured output (Werkzeug, click) is readable; what moves the cursor stays visible."""
    text = "\x1b[31m\x1b[1mWARNING:\x1b[0m a development server \x1b[38;5;9mred\x1b[m \x1b[2J"

    assert "WARNING: a development server red \\x1b[2J" == getattr(clean, kind)(text)


def test_a_colour_hides_no_secret(clean: Sanitiser) -> None:
    """A key stays beside its value, whatever is between them."""
    assert "hunter2" not in clean.text("pass\x1b[1mword=\x1b[0m\x1b[32mhunter2secret")


def test_block_keeps_lines(clean: Sanitiser) -> None:
    """In a traceback newlines and tabs stay."""
    assert "a\n\tb\\x1b\\r" == clean.block("a\n\tb\x1b\r")


def test_long_text_is_cut(clean: Sanitiser) -> None:
    """A text of 10 MB becomes 32 KB and tells its length."""
    shown = clean.text("x y " * 2_500_000)

    assert sanitise.MAX_TEXT == len(shown)
    assert shown.endswith("...[cut, 10000000 characters]")


def test_secret_across_the_cut(clean: Sanitiser) -> None:
    """A secret that lies across the cut does not show its first half."""
    shown = clean.text("x" * (sanitise.MAX_TEXT - 60) + " password=" + "hunter2secret" * 20)

    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**30, str(10**30)),
        (2**63 - 1, 2**63 - 1),
        pytest.param(10**5000, "[integer of 16610 bits]", id="huge"),
        (b"caf\xc3\xa9", "café"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.date(2025, 5, 10), "2025-05-10"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (Colour.RED, "RED"),
        (Point(1, "pw"), {"x": 1, "password": "[redacted]"}),
        (Login("bob", "pw"), {"user": "bob", "password": "[redacted]"}),
        (Secret("pw"), "[redacted]"),
        ({1: 2, None: 3, (1, "a"): 4}, {"1": 2, "None": 3, "1,a": 4}),
        ({3}, [3]),
        (ValueError("token=abc"), "ValueError: token=[redacted]"),
        (["--password", "pw", "-v"], ["--password", "[redacted]", "-v"]),
        (Lazy(), "<tests.core.redaction.test_sanitise.Lazy>"),
        ([Lazy(), 1], ["<tests.core.redaction.test_sanitise.Lazy>", 1]),
    ],
)
def test_values_become_plain(clean: Sanitiser, value: Any, shown: Any) -> None:
    """Every value becomes a JSON type; objects are named, not printed."""
    assert shown == clean.value(value)
    assert {"v": shown} == clean.fields({"v": value})


def test_generators_are_not_iterated(clean: Sanitiser) -> None:
    """A generator that is logged still has all its items."""

    def three() -> Iterator[int]:
        yield from range(3)

    items = three()
    clean.fields({"items": items})

    assert [0, 1, 2] == list(items)


def test_cycles_are_marked(clean: Sanitiser) -> None:
    """A value that contains itself ends at the second time."""
    loop: dict[str, Any] = {"n": 1}
    loop["self"] = loop

    assert {"n": 1, "self": "[cycle]"} == clean.value(loop)


def test_the_same_value_twice_is_no_cycle(clean: Sanitiser) -> None:
    """Sharing is not a cycle."""
    shared = [1]

    assert [[1], [1]] == clean.value([shared, shared])


def test_deep_values_end(clean: Sanitiser) -> None:
    """A value 5,000 levels deep keeps its first six."""
    deep: Any = "end"
    for _ in range(5000):
        deep = [deep]

    assert "[[[[[['[too deep]']]]]]]" == str(clean.value(deep))


def test_wide_values_are_bounded(clean: Sanitiser) -> None:
    """A million elements become a hundred; many levels of a hundred stay bounded in all."""
    shown = clean.value(list(range(1_000_000)))
    assert 101 == len(shown)
    assert "[999900 more]" == shown[-1]

    level: Any = 1
    for _ in range(5):
        level = [level] * 100
    assert len(json.dumps(clean.value(level))) < 100_000


def test_texts_are_bounded_in_all(clean: Sanitiser) -> None:
    """Many long texts in one value share one budget."""
    assert len(json.dumps(clean.value(["x y " * 8000] * 100))) < 2 * plain_values.MAX_TOTAL


def test_bad_value_spares_its_neighbours(clean: Sanitiser) -> None:
    """A value that cannot be read costs nobody else."""
    assert {"a": 1, "bad": "[unreadable]", "b": {"bad": "[unreadable]", "c": 2}} == clean.fields(
        {"a": 1, "bad": Broken(), "b": {"bad": Broken(), "c": 2}}
    )


def test_a_subclass_of_dict_is_read_as_it_is_stored(clean: Sanitiser) -> None:
    """Methods of the application, which may raise or query, are not called."""
    assert {"v": {"a": 1}} == clean.fields({"v": Hostile(a=1)})


def test_too_many_fields(clean: Sanitiser) -> None:
    """A record keeps its first hundred facts."""
    assert 100 == len(clean.fields({f"k{i}": i for i in range(1000)}))


def test_remembered_names_are_bounded(clean: Sanitiser) -> None:
    """Ever new names do not fill the memory."""
    for i in range(20_000):
        clean.fields({f"name{i}": i})

    assert len(clean._known) <= sanitise.MAX_KNOWN_KEYS


def test_names_are_cleaned(clean: Sanitiser) -> None:
    """A name is a text of the caller's like any other."""
    assert {"a\\nb": 1, "<builtins.object>": 2} == clean.value({"a\nb": 1, object(): 2})


def test_bad_pattern_of_the_environment_is_left_out() -> None:
    """The app starts with the patterns that compile."""
    config = Config(redact_patterns=("(", r"B-\d+"))

    assert "[redacted]" == sanitise.from_config(config).text("B-17")


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.builds(object)
    | st.builds(Hostile)
    | st.builds(Broken),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(st.characters(), max_size=20), ANY, max_size=5))
def test_every_value_can_be_written_as_json(fields: dict[str, Any]) -> None:
    """Whatever is logged can be encoded, in one line."""
    line = json.dumps(Sanitiser().fields(fields), allow_nan=False, ensure_ascii=False)

    assert "\n" not in line
    line.encode("utf-8")
