"""Sanitising: plain, bounded, printable, and it never raises."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import pathlib
import re
import types
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers, MultiDict

from proletto_otel.core.config import Config
from proletto_otel.core.parsing import Secret
from proletto_otel.core.redaction import plain_values, sanitise
from proletto_otel.core.redaction.redactor import Redactor
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
    """An object with a representation that would run code of the application."""

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
    """A text becomes one line; its control characters are ASCII escapes."""
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


def test_a_text_with_lines_is_one_line_as_text_and_stays_in_a_block(clean: Sanitiser) -> None:
    for _ in range(2):  # the second time from what is remembered
        assert clean.block("first line\nsecond line") == "first line\nsecond line"
        assert clean.text("first line\nsecond line") == "first line\\nsecond line"


def test_a_callback_sees_every_text() -> None:
    seen: list[str] = []
    clean = Sanitiser(Redactor(callback=lambda text: seen.append(text) or text))
    for _ in range(3):
        clean.text("the order is broken")
    assert seen == ["the order is broken"] * 3


def test_only_a_bounded_number_of_clean_texts_is_remembered(clean: Sanitiser) -> None:
    for i in range(3000):
        clean.text(f"order {i} is broken")
        clean.text(f"password={i}hunter{i}")
    clean.text("x y" * 100)
    kept = clean._unchanged
    assert 0 < len(kept) <= 512
    assert all(len(text) <= 256 and "password" not in text for text in kept)


def test_long_text_is_cut(clean: Sanitiser) -> None:
    """A text of 10 MB becomes 32 KB and tells its length."""
    shown = clean.text("x y " * 2_500_000)

    assert sanitise.MAX_TEXT == len(shown)
    assert shown.endswith("...[cut, 10000000 characters]")


def test_secret_across_the_cut(clean: Sanitiser) -> None:
    """A secret that lies across the cut does not show its first half."""
    shown = clean.text("x" * (sanitise.MAX_TEXT - 60) + " password=" + "hunter2secret" * 20)

    assert "hunter2" not in shown


@pytest.mark.parametrize("form", ["{}", "{} and more", "'{}' and", '{{"a": "{}"}}'])
@pytest.mark.parametrize("before", [10, 100, 300, 2000])
def test_no_part_of_a_secret_stays_at_the_cut(clean: Sanitiser, form: str, before: int) -> None:
    """Wherever the cut falls in a token, and though redaction shortens what is before it."""
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    for shift in range(0, 45, 4):
        start = sanitise.MAX_TEXT - before + shift
        for filling in ("x y z ", "password=hunter2 "):
            text = (filling * 7000)[:start] + " " + form.format(token) + " end" * 2000

            assert "a1B2c3D4" not in clean.text(text)
            assert "a1B2c3D4" not in str(clean.value(text.encode()))


class Moment(datetime.datetime):
    """A subclass as pandas, pendulum and freezegun have one."""

    def isoformat(self, *args: Any) -> str:  # type: ignore[override]
        raise AssertionError("code of the application was run")

    __str__ = __repr__ = isoformat  # type: ignore[assignment]


class Day(datetime.date):
    """A subclass of a date."""


class Price(decimal.Decimal):
    """A subclass of a decimal."""

    def __str__(self) -> str:
        raise AssertionError("code of the application was run")


class AppError(Exception):
    """Its text would run code of the application."""

    def __str__(self) -> str:
        raise AssertionError("code of the application was run")


@dataclasses.dataclass(slots=True)
class Slotted:
    """A dataclass without a dictionary."""

    user: str
    token: str
    _secret_sauce: str = dataclasses.field(default="no", repr=False)


class LazyString:
    """A translation, as flask-babel has it."""

    def __init__(self, text: str) -> None:
        self._args = (text,)

    def __str__(self) -> str:
        raise AssertionError("code of the application was run")


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Moment(2025, 5, 10, 6, 35), "2025-05-10T06:35:00"),
        (Day(2025, 5, 10), "2025-05-10"),
        (datetime.timedelta(seconds=90), "0:01:30"),
        (datetime.timezone.utc, "UTC"),
        (Price("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (1 + 2j, "(1+2j)"),
        (AppError("token=abc", 3), "AppError: token=[redacted]"),
        (AppError(), "<tests.core.redaction.test_sanitise.AppError>"),
        (Slotted("bob", "pw"), {"user": "bob", "token": "[redacted]"}),
        (LazyString("Hello"), "Hello"),
        ({"a": 1}.keys(), ["a"]),
        ({"password": 1}.items(), [["password", "[redacted]"]]),
        (types.MappingProxyType({"password": "x"}), {"password": "[redacted]"}),
        (collections.UserDict({"password": "x"}), {"password": "[redacted]"}),
        (collections.ChainMap({"a": 1}, {"token": "x"}), [{"a": 1}, {"token": "[redacted]"}]),
        (types.SimpleNamespace(token="x", n=1), {"token": "[redacted]", "n": 1}),
        (collections.deque([1, 2]), [1, 2]),
        (array.array("i", [1, 2]), [1, 2]),
        (memoryview(b"abc"), "abc"),
        (re.compile("a+"), "a+"),
        (functools.partial(math.sqrt, 2), "<partial sqrt>"),
        (math, "<module math>"),
        (Access.READ, "READ"),
        (Day, "<class tests.core.redaction.test_sanitise.Day>"),
        (Headers([("Cookie", "a=b"), ("Host", "h")]), {"Cookie": "[redacted]", "Host": "h"}),
        (MultiDict([("a", "1"), ("a", "2")]), {"a": ["1", "2"]}),
    ],
)
def test_values_have_a_readable_form(clean: Sanitiser, value: Any, shown: Any) -> None:
    """What people log is shown without running code of the application."""
    assert shown == clean.value(value)


def test_orm_objects_are_named_by_their_key() -> None:
    """An object of SQLAlchemy shows its primary key as loaded; an expired one asks no database."""
    from sqlalchemy import Column, Integer, String, create_engine, event
    from sqlalchemy.orm import Session, declarative_base

    class Order(declarative_base()):  # type: ignore[misc]
        __tablename__ = "orders"
        id = Column(Integer, primary_key=True)
        token = Column(String)

    engine = create_engine("sqlite://")
    Order.metadata.create_all(engine)
    with Session(engine) as session:
        order = Order(id=17, token="x")
        assert "Order>" in Sanitiser().value(order)
        session.add(order)
        session.commit()
        queries: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *args: queries.append(args[2]))

        assert Sanitiser().value(order).endswith("Order 17>")
        assert [] == queries


def test_long_texts_of_one_record_share_a_budget(clean: Sanitiser) -> None:
    """A hundred fields of 32 KB are no line of 3 MB."""
    shown = clean.fields({f"field{n}": "x y z " * 5400 for n in range(100)})

    assert len(json.dumps(shown)) < 2 * sanitise.MAX_RECORD
    assert "[too many]" == shown["field99"]


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
