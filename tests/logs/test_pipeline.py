"""One record, the same everywhere; nothing a sink or a caller does hurts the program."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from proletto_otel.core import context
from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.api.loggers import get_logger, logger
from proletto_otel.logs.pipeline import MAX_EARLY, console_only, pipeline
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.sink import Sink
from tests.logs.conftest import Room, attributes, balance

Install = Callable[..., Room]


class ListSink(Sink):
    """One's own sink, as the documentation shows it."""

    name = "list"

    def __init__(self, level: int = 0) -> None:
        self.level = level
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        self.records.append(record)


def test_json_line_is_the_one_of_the_specification(room: Install) -> None:
    """The structured record has the specification's fields in its order, facts at the top level."""
    made = room(environment="production")
    try:
        raise ConnectionError("Connection refused")
    except ConnectionError:
        logger.error(
            "Failed to connect to database", exc_info=True, user_id="12345", component="database"
        )

    line = made.lines[0]
    assert [
        "timestamp", "level", "logger", "message", "module", "function", "line", "process_id",
        "thread_id", "environment", "fingerprint", "exception", "user_id", "component",
    ] == list(line)  # fmt: skip
    assert ("ERROR", "proletto", "Failed to connect to database") == (
        line["level"], line["logger"], line["message"],
    )  # fmt: skip
    assert ("test_pipeline", "test_json_line_is_the_one_of_the_specification", "production") == (
        line["module"], line["function"], line["environment"],
    )  # fmt: skip
    assert ("ConnectionError", "Connection refused") == (
        line["exception"]["type"], line["exception"]["message"],
    )  # fmt: skip
    assert "Traceback (most recent call last):" == line["exception"]["traceback"][0]
    assert 23 == len(line["timestamp"])
    assert 16 == len(line["fingerprint"])


def test_sinks_agree(room: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """Console, text file, structured file and OTLP tell the same event with the same facts."""
    made = room()
    logger.warning("stock is low", sku="A-7", left=2)

    console = capsys.readouterr().out
    assert console == made.text()
    assert " - proletto - WARNING - stock is low sku=A-7 left=2\n" in console
    assert ("stock is low", "A-7", 2) == tuple(
        made.lines[0][name] for name in (MESSAGE, "sku", "left")
    )
    sent = made.otlp[0]
    assert ("stock is low", 13, "WARN") == (
        sent.body.string_value, sent.severity_number, sent.severity_text,
    )  # fmt: skip
    assert ("A-7", 2) == tuple(attributes(sent)[name] for name in ("sku", "left"))
    assert "" == made.text("_error.log")


def test_error_file_takes_errors_only(room: Install) -> None:
    """`proletto_error.log` holds ERROR and CRITICAL."""
    made = room()
    for write in (logger.info, logger.warning, logger.error, logger.critical):
        write("event")

    assert ["ERROR", "CRITICAL"] == [
        line.split(" - ")[2] for line in made.text("_error.log").splitlines()
    ]


def test_level_below_the_minimum_is_not_recorded(room: Install) -> None:
    """`LOG_LEVEL` is the minimum level to record."""
    made = room(log_level="WARNING")
    logger.info("no")
    logging.getLogger("other").info("no")
    logger.warning("yes")

    assert ["yes"] == [line[MESSAGE] for line in made.lines]


def test_record_carries_request_and_trace(room: Install) -> None:
    """Every line of every sink has the request ID; structured ones the trace and span ID too."""
    made = room()
    token = context.enter(context.RequestContext("req-1", "a" * 32, "b" * 16))
    context.bind(tenant="t1")
    try:
        logging.getLogger("library").info("from a library")
    finally:
        context.leave(token)
    logger.info("outside")

    assert ("req-1", "a" * 32, "b" * 16, "t1") == tuple(
        made.lines[0][name] for name in ("request_id", "trace_id", "span_id", "tenant")
    )
    assert made.text().splitlines()[0].endswith(" request_id=req-1")
    sent = made.otlp[0]
    assert ("a" * 32, "b" * 16, "req-1", 1) == (
        sent.trace_id.hex(), sent.span_id.hex(), attributes(sent)["request_id"], sent.flags,
    )  # fmt: skip
    assert "request_id" not in made.lines[1]


def test_child_span_of_the_request_is_the_span_of_the_line(room: Install) -> None:
    """Inside a child span the line names that span."""
    from opentelemetry.sdk.trace import TracerProvider

    made = room()
    with TracerProvider().get_tracer("t").start_as_current_span("child") as span:
        logger.info("inside")

    assert f"{span.get_span_context().span_id:016x}" == made.lines[0]["span_id"]


def test_reserved_fact_is_renamed(room: Install) -> None:
    """A fact named like a field of the record gets a trailing underscore; nothing is lost."""
    made = room()
    logger.info("event", level=3, level_=4, message="m", name="n")

    line = made.lines[0]
    assert ("INFO", "event") == (line["level"], line[MESSAGE])
    assert (3, 4, "m", "n") == (line["level__"], line["level_"], line["message_"], line["name"])


def test_secret_reaches_no_sink(room: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret is redacted once, before the sinks."""
    made = room()
    logger.error("login failed password=hunter2secret", token="hunter2secret", user="ann")

    everywhere = capsys.readouterr().out + made.text() + made.text("_error.log")
    everywhere += made.text("_structured.json") + repr(made.items)
    assert "hunter2secret" not in everywhere
    assert "ann" in everywhere


@pytest.mark.parametrize(
    "forged", ["x\n2025-05-10 - proletto - INFO - forged", "x\r\x1b[2Jforged", "x\u2028\x9b forged"]
)
def test_one_record_is_one_line(room: Install, forged: str) -> None:
    """Control characters in a message, a fact or an exception forge no line."""
    made = room()
    try:
        raise ValueError(forged)
    except ValueError:
        logger.error(forged, exc_info=True, note=forged)

    assert 1 == len(made.lines)
    unindented = [line for line in made.text().split("\n") if line and not line.startswith("  ")]
    assert 1 == len(unindented)
    assert all(ord(c) >= 32 or c == "\n" for c in made.text())


def test_long_message_is_cut_and_says_so(room: Install) -> None:
    """A message of 10 MB is cut to 32 KB, with its original length beside it."""
    made = room()
    logger.info("x" * 10_000_000)

    line = made.lines[0]
    assert 32_768 == len(line[MESSAGE])
    assert (True, 10_000_000) == (line["truncated"], line["original_length"])


def test_records_before_setup_are_handed_over(
    room: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """Used before set-up the logger prints, and the files get those lines when it comes."""
    logger.info("early", n=1)
    get_logger("shop").warning("early too")
    assert 2 == len(capsys.readouterr().out.splitlines())

    made = room(environment="production")

    assert [("early", "production"), ("early too", "production")] == [
        (line[MESSAGE], line["environment"]) for line in made.lines
    ]
    assert ["early", "early too"] == [sent.body.string_value for sent in made.otlp]
    assert "" == capsys.readouterr().out


def test_early_records_beyond_the_limit_are_counted(room: Install) -> None:
    """Of what is logged before set-up the last 1,000 are kept, the rest is counted."""
    for n in range(MAX_EARLY + 7):
        logger.info("early", n=n)

    made = room()

    assert MAX_EARLY == len(made.lines)
    assert 7 == made.lines[0]["n"]
    assert 7 == ledger.totals()["file"]["dropped"]["before_setup"]
    assert (MAX_EARLY + 7, MAX_EARLY + 7) == balance("file")


def test_own_sink_gets_records_of_its_level(room: Install) -> None:
    """One's own sink is a class with a name and `write`."""
    room()
    sink = ListSink(level=logging.ERROR)
    pipeline.add(sink)
    logger.info("no")
    logger.error("yes", n=1)

    assert [("yes", {"n": 1})] == [(r.message, r.fields) for r in sink.records]
    assert 1 == sink.status()["sent"]


@pytest.mark.usefixtures("lenient")
def test_broken_sink_hurts_neither_caller_nor_neighbours(room: Install) -> None:
    """A sink that raises is counted; the other sinks get the record."""

    class Broken(ListSink):
        def write(self, record: Record) -> None:
            raise RuntimeError("broken")

    made = room()
    pipeline.use([Broken(), *pipeline.sinks])
    logger.error("event")

    assert ["event"] == [line[MESSAGE] for line in made.lines]
    assert 1 == ledger.totals()["list"]["dropped"]["error"]
    assert (1, 1) == balance("list")


def test_sink_that_logs_does_not_feed_itself(
    room: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a sink logs while it writes goes to the console only."""

    class Talking(ListSink):
        def write(self, record: Record) -> None:
            super().write(record)
            logging.getLogger("client").warning("sending")

    made = room()
    talking = Talking()
    pipeline.add(talking)
    logger.info("event")

    assert ["event"] == [record.message for record in talking.records]
    assert ["event"] == [line[MESSAGE] for line in made.lines]
    assert "sending" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["proletto_otel", "proletto_otel.logs", "opentelemetry.sdk"])
def test_telemetry_about_telemetry_stays_on_the_console(
    room: Install, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Our own records and OpenTelemetry's go to the console only, and not too often."""
    made = room()
    for _ in range(100):
        logging.getLogger(name).warning("trouble")

    assert [] == made.lines
    assert [] == made.items
    assert 30 == capsys.readouterr().out.count("trouble")


def test_client_records_while_exporting_stay_on_the_console(room: Install) -> None:
    """A client's records made while telemetry is sent are not exported; the program's own are."""
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

    made = room()
    client = logging.getLogger("urllib3.connectionpool")
    client.warning("the program's")
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    client.warning("the exporter's")
    detach(token)
    with console_only():
        logger.warning("the sink's")

    assert ["the program's"] == [line[MESSAGE] for line in made.lines]


def test_errors_are_counted(room: Install) -> None:
    """`proletto.errors` counts by level, component and exception type."""
    from proletto_otel.core.metrics.registry import registry

    room()
    try:
        raise KeyError("x")
    except KeyError:
        logger.error("failed", component="cart", exc_info=True)
    logger.warning("no error")

    family = next(f for f in registry.collect() if f.name == "proletto.errors")
    counted = [dict(p.attributes) for p in family.points if p.value]
    assert [{"level": "ERROR", "component": "cart", "exception.type": "KeyError"}] == counted


def test_breadcrumbs_lead_to_the_error(room: Install) -> None:
    """An error's record knows the last log events of its request, and only of its request."""
    room(breadcrumbs=2)
    sink = ListSink(level=logging.ERROR)
    pipeline.add(sink)
    logger.info("elsewhere")
    with context.background():
        for step in ("one", "two", "three"):
            logger.info(step)
        logger.error("failed")

    assert ["two", "three"] == [crumb.message for crumb in sink.records[0].breadcrumbs]


def test_same_event_without_exception_has_one_fingerprint(room: Install) -> None:
    """Numbers and IDs in a message do not make another error."""
    made = room()

    def fail(number: int) -> None:
        logger.error(f"order {number} failed")

    fail(1)
    fail(22)
    logger.error("something else")

    first, second, other = (line["fingerprint"] for line in made.lines)
    assert first == second
    assert first != other


def test_level_without_a_name_is_recorded(room: Install) -> None:
    """A level between the usual ones travels with its number's name."""
    made = room()
    logging.getLogger("x").log(35, "odd")

    assert "Level 35" == made.lines[0]["level"]
    assert 13 == made.otlp[0].severity_number


def test_json_takes_integers_of_any_size(room: Install) -> None:
    """An integer that orjson refuses does not cost the line."""
    made = room()
    logger.info("big", n=10**30, inside={"n": 2**70})

    assert "big" == made.lines[0][MESSAGE]
    json.dumps(made.lines[0])


def test_uninstall_leaves_the_program_as_it_was(room: Install) -> None:
    """After `uninstall` nothing of ours is on the root logger and records are printed again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    made = room()
    assert handlers != root.handlers
    made.logs.uninstall()

    assert (handlers, level) == (list(root.handlers), root.level)
    assert not pipeline.ready


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_logger_can_be_copied_and_sent(room: Install, copied: Callable[[Any], Any]) -> None:
    """What holds a logger can be copied, or pickled for another process; name and facts stay."""
    made = room()
    held = {"logger": get_logger("shop", order=7)}
    copied(held)["logger"].warning("here")

    assert [("shop", "here", 7)] == [
        (line["logger"], line[MESSAGE], line["order"]) for line in made.lines
    ]


def test_logger_is_named_by_app_name(room: Install) -> None:
    """`APP_NAME` names the logger and the files' prefix."""
    made = room(app_name="shop")
    logger.info("hello")

    line = json.loads((made.directory / "shop_structured.json").read_text())
    assert "shop" == line["logger"]
    assert {"shop.log", "shop_structured.json"} == {p.name for p in made.directory.iterdir()}
