"""The log is searched by how long requests took: exact, and without parsing every line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proletto_otel.core.errors import ConfigError
from proletto_otel.error_logging import get_logger
from proletto_otel.logs.search import walk
from proletto_otel.logs.search.query import LogQuery, Matcher
from proletto_otel.logs.search.took import milliseconds, shown, took
from tests.logs.search.conftest import Log, room
from tests.logs.search.test_packed import compress

__all__ = ["room"]
shop = get_logger("shop")
DURATIONS = (0.001, 0.9, 7, 99.999, 100, 250, 250.001, 1200.5, 65_000)


def written(made: Callable[..., Log], **settings: object) -> Log:
    """Lines of these durations, and others that only look as if they had one."""
    log = made(**settings)
    shop.info("the first line", number=99)
    for number, ms in enumerate(DURATIONS):
        shop.info("request", duration_ms=ms, number=number)
    shop.info("no duration", number=100)
    shop.info("a text", duration_ms="300", number=101)
    shop.info("a truth", duration_ms=True, number=102)
    shop.info("nothing", duration_ms=None, number=103)
    shop.info("within another fact", call={"duration_ms": 300}, number=104)
    shop.info("both", call={"duration_ms": 1}, duration_ms=300, number=105)
    shop.info('quoted "duration_ms":300', number=106)
    return log


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"duration_min": 250}, {5, 6, 7, 8, 105}),
        ({"duration_min": 250.001}, {6, 7, 8, 105}),
        ({"duration_max": 7}, {0, 1, 2}),
        ({"duration_min": 7, "duration_max": 250}, {2, 3, 4, 5}),
        ({"duration_min": 1e6}, set()),
        ({"duration_min": 0}, {*range(9), 105}),
        ({"duration_min": 250, "text": "both"}, {105}),
        ({"duration_min": 250, "text": "both", "level": "ERROR"}, set()),
    ],
)
def test_both_bounds_belong_to_the_range(
    log: Callable[..., Log], query: dict[str, float], numbers: set[int]
) -> None:
    """Numbers of the field alone count: no text, no truth value, nothing within another fact."""
    made = written(log)

    found = made.search.search(LogQuery(**query), budget_s=2).lines
    assert numbers == {line.record["number"] for line in found}
    assert numbers == {line.record["number"] for line in tail(made, query)}


def tail(made: Log, query: dict[str, float]) -> list[walk.LogLine]:
    """The same of the live tail, from the beginning of the file."""
    oldest = made.search.search(budget_s=2).lines[-1]
    rest = made.search.tail(oldest.cursor, LogQuery(**query)).lines
    return list(rest)


def test_rotated_and_compressed_files_are_searched(log: Callable[..., Log]) -> None:
    """A slow request is found in whichever file its line is."""
    made = log(log_json_max_bytes=20_000, log_backups=20)
    for number in range(300):
        shop.info("request", number=number, duration_ms=float(number))
    assert 2 < len(compress(made))

    page = made.search.search(LogQuery(duration_min=4.5, duration_max=99), limit=1000, budget_s=2)
    assert list(range(99, 4, -1)) == [line.record["number"] for line in page.lines]


def test_fast_requests_are_not_parsed(
    log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bound rules out costs no JSON: a page has 150 ms."""
    made = written(log)
    parsed: list[bytes] = []

    def counted(file: object, offset: int, text: bytes) -> walk.LogLine | None:
        parsed.append(text)
        return original(file, offset, text)  # type: ignore[arg-type]  # as it came

    original = walk.parsed
    monkeypatch.setattr(walk, "parsed", counted)
    found = made.search.search(LogQuery(duration_min=1000), budget_s=2).lines

    assert [8, 7] == [line.record["number"] for line in found]
    assert 2 == len(parsed)


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False, min_value=0), st.integers(-9, 10**18)), min_size=1
    ),
    st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    st.floats(min_value=0, allow_nan=False),
)
@example([math.inf, 1.0], 0.0, math.inf)
def test_prefilter_loses_no_line(values: list[float], one: float, other: float) -> None:
    """Whatever numbers there are and however they are written."""
    wanted = took(min(one, other), max(one, other))
    assert wanted is not None
    for value in values:
        line = json.dumps({"duration_ms": value}, separators=(",", ":")).encode()
        assert wanted.holds(value) <= wanted.within(line)
        assert wanted.within(line) == bool(wanted.positions(line))


def test_what_is_no_range_is_refused() -> None:
    """With the name of the parameter, what came and what fits."""
    with pytest.raises(ConfigError, match=r"duration_max='100': expected at least .* 250\.5"):
        Matcher(LogQuery(duration_min=250.5, duration_max=100))
    for text in ("abc", "-1", "nan", "inf", "1e999", "1 s", "１٢x"):
        with pytest.raises(ConfigError, match=r"duration_min=.*expected milliseconds"):
            milliseconds("duration_min", text)
    assert [250.5, 250.0, None] == [milliseconds("x", t) for t in ("250.5", "250ms", "")]
    assert ["250", "0.001", "1200.5"] == [shown(value) for value in (250.0, 0.001, 1200.5)]
    for bound in (math.inf, math.nan):
        with pytest.raises(ConfigError, match=r"duration_"):
            Matcher(LogQuery(duration_min=bound))
    assert took(None, None) is None
    open_ended = took(1, None)
    assert open_ended is not None
    assert math.inf == open_ended.most
