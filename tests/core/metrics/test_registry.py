"""Own metric cells: exact, bounded, cheap to keep."""

import ast
import signal
import sys
import threading
from pathlib import Path

import pytest

import proletto_otel
from proletto_otel.core.conventions import OVERFLOW, Metric, prometheus_name
from proletto_otel.core.metrics import registry as module
from proletto_otel.core.metrics.registry import MAX_CELLS, Cell, Histogram, Registry

PACKAGE = Path(proletto_otel.__file__).parent
ORDERS = Metric(
    name="shop.orders", kind="counter", unit="{order}", description="Orders.", attributes=("route",)
)
DURATION = Metric(
    name="shop.duration", kind="histogram", unit="s", description="Time.", bounds=(0.1, 1)
)


def test_series_are_capped_and_the_total_is_kept() -> None:
    """Past 2,000 series the rest share one overflow series and no count is lost."""
    registry = Registry()
    counter = registry.counter(ORDERS)

    for i in range(MAX_CELLS + 500):
        counter.cell((f"/r{i}",)).add(1)

    points = registry.collect()[0].points
    assert MAX_CELLS + 1 == len(points)
    assert MAX_CELLS + 500 == sum(p.value for p in points if isinstance(p.value, (int, float)))
    assert [500] == [p.value for p in points if p.attributes == ((OVERFLOW, True),)]


def test_histogram_counts_upper_edge_inside() -> None:
    """A value equal to an edge belongs to the bucket below it, as Prometheus' `le` says."""
    cell = Registry().histogram(DURATION).cell()

    for value in (0.1, 0.5, 1, 3):
        cell.observe(value)

    assert Histogram((0.1, 1), [1, 2, 1], 4.6, 4, 0.1, 3) == cell.read()


def test_additions_from_threads_are_exact() -> None:
    """Totals stay exact although a cell takes no lock."""
    cell, interval = Cell(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for _ in range(50_000):
            cell.add(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert cell.value == 200_000


def test_additions_inside_signal_handlers_are_exact() -> None:
    """A signal handler that counts neither dead-locks nor loses an addition."""
    cell, handled = Cell(), [0]

    def on_alarm(*_: object) -> None:
        handled[0] += 1
        cell.add(1)

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(200_000):
            cell.add(1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert handled[0] > 0
    assert 200_000 + handled[0] == cell.value


def test_reset_keeps_cells_that_callers_hold() -> None:
    """After a fork the child counts from zero with the cells resolved before."""
    registry = Registry()
    cell = registry.counter(ORDERS).cell(("/a",))
    cell.add(5)

    registry.reset()
    cell.add(1)

    assert [1] == [p.value for p in registry.collect()[0].points]


def test_clear_makes_room_for_other_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set-up that is undone leaves no series that the next one would share its cap with."""
    monkeypatch.setattr(module, "MAX_CELLS", 2)
    registry = Registry()
    orders = registry.counter(ORDERS)
    for name in "abc":
        orders.cell((name,)).add(1)
    registry.clear()
    assert [] == registry.collect()

    orders.cell(("d",)).add(1)
    (family,) = registry.collect()

    assert [((("route", "d"),), 1)] == [(p.attributes, p.value) for p in family.points]


def test_absent_attribute_is_left_out() -> None:
    """`None` means the attribute does not exist, not an empty text."""
    registry = Registry()
    registry.counter(ORDERS).cell((None,)).add(1)

    assert () == registry.collect()[0].points[0].attributes


def test_second_callback_replaces_the_first() -> None:
    """Setting up twice does not discard the callbacks (as the SDK does) nor double them."""
    registry = Registry()
    registry.observe(ORDERS, lambda: [((None,), 1)])
    registry.observe(ORDERS, lambda: [((None,), 2)])

    assert [[2]] == [[p.value for p in f.points] for f in registry.collect()]


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        (
            "http_server_request_duration_seconds",
            ("http.server.request.duration", "histogram", "s"),
        ),
        ("http_server_active_requests", ("http.server.active_requests", "updown", "{request}")),
        ("system_cpu_utilization_ratio", ("system.cpu.utilization", "gauge", "1")),
        ("process_memory_usage_bytes", ("process.memory.usage", "updown", "By")),
        ("proletto_errors_total", ("proletto.errors", "counter", "{error}")),
        ("shop_seconds_total", ("shop.seconds", "counter", "s")),
    ],
)
def test_prometheus_names(expected: str, arguments: tuple[str, str, str]) -> None:
    """Names follow the rules of Prometheus' OTLP receiver."""
    assert expected == prometheus_name(*arguments)


GOLDEN = Path(__file__).with_name("prometheus_names.tsv").read_text().splitlines()[1:]


def test_names_are_those_of_prometheus_own_translator() -> None:
    """Every unit and per-unit, names that end in a unit, `total` or `ratio` already, odd ones."""
    wrong = []
    for name, unit, counter, gauge, other in (line.split("\t") for line in GOLDEN):
        expected = {"counter": counter, "gauge": gauge, "updown": other, "histogram": other}
        made = {kind: prometheus_name(name, kind, unit) for kind in expected}
        wrong += [(name, unit, made)] if made != expected else []

    assert len(GOLDEN) > 800
    assert [] == wrong


def test_no_addition_calls_anything_while_it_adds() -> None:
    """A call between reading and storing lets threads and signal handlers in: counts are lost."""
    calls = (ast.Call, ast.IfExp, ast.BoolOp, ast.ListComp, ast.GeneratorExp)
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AugAssign) and not isinstance(node.target, ast.Name)
        and any(isinstance(part, calls) for part in ast.walk(node))
    ]  # fmt: skip

    assert [] == found
