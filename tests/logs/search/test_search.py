"""Log search: what was logged is found again, newest first, over rotated files, bounded."""

from __future__ import annotations

from collections.abc import Callable

from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.search.query import LogQuery
from tests.logs.search.conftest import Log

shop = get_logger("shop")
pay = get_logger("shop.pay")


def serve(number: int, user: str = "") -> str:
    """Log one request's lines; its ID."""
    context = RequestContext(f"{number:032x}", f"f{number:031x}", "b" * 16)
    context.user_id = user or None
    token = enter(context)
    shop.info("cart loaded", items=number)
    pay.warning("card slow", component="pay", took_ms=number)
    leave(token)
    return context.request_id


def test_newest_first(log: Callable[..., Log]) -> None:
    """Without a query, every line comes, the newest first, in pages that join."""
    made = log()
    for number in range(25):
        shop.info("event %s", number)
    first = made.search.search(limit=10)
    second = made.search.search(limit=100, cursor=first.cursor)

    found = [line.message for line in (*first.lines, *second.lines)]
    assert [f"event {n}" for n in range(24, -1, -1)] == found
    assert (False, True) == (first.complete, second.complete)
    assert second.cursor is None


def test_every_filter(log: Callable[..., Log]) -> None:
    """Request ID, trace ID, level, logger, component, user and text each find their lines."""
    made = log()
    ids = [serve(number, user=f"u{number % 3}") for number in range(30)]

    def count(**query: str) -> int:
        return len(made.search.search(LogQuery(**query)).lines)

    assert 2 == count(request_id=ids[4])
    assert 2 == count(identifier=ids[4])
    assert 2 == count(trace_id=f"f{4:031x}")
    assert 30 == count(level="warning")
    assert 0 == count(level="ERROR")
    assert 30 == count(logger="shop.pay")
    assert 60 == count(logger="shop")
    assert 0 == count(logger="sho")
    assert 30 == count(component="pay")
    assert 20 == count(user="u1")
    assert 30 == count(text="CARD sl")
    assert 2 == count(text="29")
    assert 1 == count(pattern=r"cart l.*d$", request_id=ids[3])


def test_rotated_files_are_searched(log: Callable[..., Log]) -> None:
    """A request is found in whichever rotated file its lines are."""
    made = log(log_json_max_bytes=20_000)
    ids = [serve(number) for number in range(200)]

    assert len(made.files) == 6
    for request_id in ids[-60:]:
        page = made.search.of_request(request_id)
        assert ["cart loaded", "card slow"] == [line.message for line in page.lines]
    assert ["cart loaded", "card slow"] == [
        line.message for line in made.search.of_request(ids[-1]).lines
    ]
