"""A process that says every secret of the corpus in every way there is, and what became of it.

`python -m tests.faults.secrets_app` prints one JSON line on its stdout's end: the status.
"""

from __future__ import annotations

import builtins
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask, request
from opentelemetry import trace

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import ErrorCapture, handle_errors, log_function_call, logger
from tests.corpus import ordinary, secrets

MARK = "status: "
PIECE = 1200
"""Characters of one text for Slack, which cuts at 2,000."""
stdlib = logging.getLogger("elsewhere")


class Failure(Exception):
    """An error of the application."""


def fail(text: str, kind: type[Exception] = Failure) -> None:
    """The one place where all errors come from: Slack hears of it once."""
    raise kind(text)


@log_function_call(level="INFO", exception_level="INFO")
def called(text: str, *rest: str, note: Any = None) -> str:
    """Give back what it got."""
    return text


@log_function_call(level="INFO", exception_level="INFO")
def called_in_vain(text: str, kind: type[Exception]) -> None:
    """Fail with what it got."""
    fail(text, kind)


@handle_errors(component="shop", level="INFO")
def handled(text: str, kind: type[Exception]) -> None:
    """Fail, and nobody hears."""
    fail(text, kind)


def make_app() -> Flask:
    """Routes that say what they were asked."""
    app = Flask("shop")

    @app.route("/say/<path:what>")
    def say(what: str) -> str:
        logger.info("said", headers=dict(request.headers), url=request.url, arguments=request.args)
        return "yes"

    @app.post("/fail")
    def failing() -> str:
        text = request.get_json()["text"]
        span = trace.get_current_span()
        span.set_attribute("note", text)
        span.add_event(text, {"note": text})
        span.update_name(text)
        try:
            fail(text, kinds[int(request.args["kind"])])
        except Exception:
            logger.exception("it failed")
            raise
        return "no"

    return app


kinds: list[type[Exception]] = [Failure]


def say_all(text: str, number: int, client: Any, tracer: Any) -> None:
    """Every way of a text into telemetry."""
    kind = kinds[number % len(kinds)]
    logger.info(text)
    logger.info("%s and %r", text, {"n": text})
    logger.info("keyword", note=text, number=number, nested=nested(text))
    stdlib.info(text)
    stdlib.info("extra of %s", text, extra={"note": text, "deep": nested(text)})
    called(text, text, note=nested(text))
    for broken in (called_in_vain, handled):
        with suppress(Exception):
            broken(text, kind)
    raise_all(text, kind)
    child_spans(text, tracer, kind)
    query = quote(text)
    headers = {"User-Agent": text, "Referer": "http://h/?" + query, "X-Note": text, "Cookie": text}
    clean = {name: " ".join(value.splitlines()) for name, value in headers.items()}
    client.get(f"/say/{quote(text)}?q={query}", headers=clean)
    client.get("/say/it?" + urlencode({"q": text}))
    client.post(f"/fail?kind={number % len(kinds)}", json={"text": text})


def nested(text: str) -> dict[Any, Any]:
    """The text wherever a value may hold one."""
    return {"a": [{"b": (text, {text})}], "c": text.encode(), "d": ValueError(text), text: 1}


def raise_all(text: str, kind: type[Exception]) -> None:
    """Chains, groups, notes, statements; an error that was logged and is raised again."""
    try:
        try:
            fail(text)
        except Failure as first:
            raise kind(f"(sqlite3.OperationalError) near x\n[SQL: {text}]") from first
    except Exception:
        logger.info("chain", exc_info=True)
    with suppress(Exception), ErrorCapture("shop", level="INFO", note=text):
        try:
            fail(text, kind)
        except Exception as error:
            if sys.version_info >= (3, 11):
                error.add_note(text)
            logger.exception("first")
            raise
    if sys.version_info >= (3, 11):
        try:
            raise builtins.ExceptionGroup(text, [kind(text), ValueError(text)])
        except builtins.ExceptionGroup:
            logger.info("group", exc_info=True)


def child_spans(text: str, tracer: Any, kind: type[Exception]) -> None:
    """What instrumentations of databases and clients put on their spans."""
    facts = {"db.statement": text, "http.url": text, "url.full": "http://h/?q=" + quote(text)}
    with suppress(Exception), tracer.start_as_current_span("SELECT", attributes=facts) as span:
        span.set_attribute("db.query.parameters", [text, text])
        span.add_event(text, {"note": text})
        span.update_name(text)
        fail(text, kind)


def say_keyed(client: Any) -> None:
    """Secrets that only their names tell."""
    for name, value in secrets.keyed():
        logger.info("keyed", **{name: value}, deep={name: [value], "pairs": [(name, value)]})
        stdlib.info("keyed", extra={name: value})
        called("x", note={name: value})
        client.get("/say/it?" + urlencode({"page": 1, name: value}), headers=as_header(name, value))


def as_header(name: str, value: str) -> dict[str, str]:
    """A header; servers lose the capitals within a name, which are where its words begin."""
    return {name: value} if "-" in name or name == name.lower() else {}


def pieces() -> Iterator[str]:
    """The corpus in texts that Slack shows whole."""
    # a key without an end hides all behind it
    found = sorted(secrets.canaries(), key=lambda c: "PRIVATE KEY" in c.text)
    piece = ""
    for canary in found:
        if len(piece) + len(canary.text) > PIECE or "PRIVATE KEY" in piece:
            yield piece
            piece = ""
        piece += canary.text + "\n"
    yield piece


def say_to_slack() -> int:
    """Errors of different kinds, so that each has its message; their number."""
    texts = list(pieces())
    texts += [""] * (len(texts) % 2)
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    for number, (message, detail) in enumerate(pairs):
        try:
            fail(detail, type(f"Slack{number}", (Exception,), {}))
        except Exception:
            logger.exception(f"piece {number}\n{message}")
    return len(pairs)


def main(mode: str) -> None:
    """Say everything, wait until it is where it belongs, tell the totals."""
    app = make_app()
    telemetry = setup_telemetry(app)
    telemetry.activate()
    client, tracer = app.test_client(), trace.get_tracer("sqlalchemy")
    found = secrets.canaries()
    told = say_to_slack() if mode == "slack" else 0
    if mode == "groups":
        kinds[:] = [type(f"Kind{n}", (Exception,), {}) for n in range(len(found))]
    for number, canary in enumerate(found):
        say_all(canary.text, number, client, tracer)
        if number % 50 == 0:
            wait(telemetry, "database")
    say_keyed(client)
    for line in ordinary.lines():
        logger.info(line, ordinary=line)
    deadline = time.monotonic() + 40
    flushed = False
    while not flushed and mode == "slack" and time.monotonic() < deadline:
        flushed = telemetry.flush(20)
    if mode != "slack":
        flushed = telemetry.flush(5)
    groups = len(telemetry.errors.groups(limit=1000))
    status = settled(telemetry) | {"flushed": flushed, "told": told, "groups": groups}
    print(MARK + json.dumps(status, default=str), file=sys.stderr, flush=True)


def settled(telemetry: Any) -> dict[str, Any]:
    """The status once no record is on its way from one count to the next, or after a while."""
    deadline = time.monotonic() + 10
    while True:
        exporter = telemetry.components.exporter
        pending = {f"otlp_{signal}": exporter.pending(signal) for signal in ("traces", "logs")}
        status: dict[str, Any] = telemetry.status() | {"pending": pending}
        if not misses(status) or time.monotonic() > deadline:
            return status
        time.sleep(0.05)


def misses(status: dict[str, Any]) -> dict[str, int]:
    """By how much emitted and delivered + spooled + dropped + pending differ, by sink."""
    found = {}
    for name, counts in status["records"].items():
        known = counts["delivered"] + counts["spooled"] + sum(counts["dropped"].values())
        known += status["pending"].get(name, 0)
        if name != "otlp_metrics" and counts["emitted"] != known:  # requests, not records
            found[name] = counts["emitted"] - known
    return found


def wait(telemetry: Any, sink: str) -> None:
    """Let a sink catch up: its queue is bounded."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not telemetry.status()["sinks"].get(sink, {}).get("pending"):
            return
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
