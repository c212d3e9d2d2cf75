"""Every server, from its first request to its signal: nothing is lost, doubled or mixed up."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.serving import APP, Program, program
from tests.otlp_sink import OtlpSink
from tests.servers import free_port
from tests.waiting import PATIENCE_S, slowness, until

REQUESTS = 120
SERVER_SPAN = 2
EXIT_S = 6.0
"""The budget of an exit is 5 s; the server's own end is in the rest."""
UWSGI = Path(sys.executable).parent / "uwsgi"
GRACEFUL = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")
AT_ONCE = ("--die-on-term",)

needs_uwsgi = pytest.mark.skipif(
    not UWSGI.exists(), reason="needs uWSGI (a C compiler): make install EXTRAS=db,dev,uwsgi"
)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    """A collector."""
    with OtlpSink() as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, sink: OtlpSink) -> Iterator[Program]:
    """A program that knows the collector."""
    with program(tmp_path, sink.url) as made:
        yield made


def names(count: int, prefix: str = "id") -> list[str]:
    """Request IDs; the position is the item asked for."""
    return [f"{prefix}-{number}" for number in range(count)]


def requests_at(sink: OtlpSink) -> list[str]:
    """Request IDs of the server spans that arrived, sorted."""
    spans = [span for span in list(sink.spans) if span["kind"] == SERVER_SPAN]
    return sorted(span["attributes"]["request_id"] for span in spans)


def lines_at(sink: OtlpSink, body: str) -> int:
    """Log records of a body that arrived."""
    return sum(record["name"] == body for record in list(sink.logs))


def assert_complete(shop: Program, sink: OtlpSink, ids: list[str]) -> None:
    """Each request has its span, its two lines in the file and at the collector, each once."""
    assert sorted(ids) == requests_at(sink)
    lines = [line for line in shop.lines("shop") if line["message"] == "item asked for"]
    assert sorted(ids) == sorted(line["request_id"] for line in lines)
    assert sorted(ids) == sorted(line["request_id"] for line in shop.lines("shop.access"))
    assert len(ids) == lines_at(sink, "item asked for")
    assert 2 * len(ids) <= len((shop.logs / "shop.log").read_text().splitlines())


# --- uWSGI ---------------------------------------------------------------------------------------
def start_uwsgi(shop: Program, *options: str) -> int:
    """Two workers; the port of uWSGI's own statistics."""
    stats = free_port()
    here = ("--http-socket", f"127.0.0.1:{shop.port}", "--stats", f"127.0.0.1:{stats}")
    app = ("--virtualenv", sys.prefix, "--wsgi-file", "shop.py", "--callable", "app")
    shop.start(str(UWSGI), *here, *app, "--master", "--processes", "2", *options)
    return stats


def workers_idle(stats: int) -> bool:
    """Whether all workers loaded the application and none is in a request."""
    with socket.create_connection(("127.0.0.1", stats), PATIENCE_S) as connection:
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    workers = json.loads(text)["workers"]
    return all(worker["apps"] and worker["status"] == "idle" for worker in workers)


def deliver_the_rest(shop: Program) -> None:
    """Start once more if the end left something on disk, as a deployment would."""
    if spooled(shop):
        stats = start_uwsgi(shop, *AT_ONCE)
        until(lambda: not spooled(shop), "the spool is empty")
        until(lambda: workers_idle(stats), "idle workers")
        shop.end()


@needs_uwsgi
@pytest.mark.parametrize("options", [(), ("--enable-threads",), ("--lazy-apps",)], ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uwsgi_loses_nothing_when_its_workers_are_idle(
    shop: Program, sink: OtlpSink, options: tuple[str, ...], number: signal.Signals
) -> None:
    """Any worker tells the total; a signal sends what waits, or leaves it to the next start."""
    stats = start_uwsgi(shop, *AT_ONCE, *options)
    ids = names(REQUESTS)

    shop.ask(ids)
    until(lambda: {REQUESTS} == {shop.counted() for _ in range(6)}, "exact totals")
    until(lambda: workers_idle(stats), "idle workers")
    shop.end(number)
    deliver_the_rest(shop)

    assert_complete(shop, sink, ids)


@needs_uwsgi
@pytest.mark.parametrize("options", [("--master",), ("--master", "--lazy-apps"), ()], ids=" ".join)
def test_uwsgi_workers_begin_without_a_request(shop: Program, options: tuple[str, ...]) -> None:
    """Some seconds after its start; the master has no thread of ours beside which it would fork.

    uWSGI forks without Python's lock: a thread that held it just then left the worker waiting for
    it for ever, one start of ten.
    """
    app = ("--virtualenv", sys.prefix, "--wsgi-file", "shop.py", "--callable", "app")
    address = ("--http-socket", f"127.0.0.1:{shop.port}", "--enable-threads")
    workers = ("--processes", "2") if options else ()
    shop.start(str(UWSGI), *address, *app, *options, *workers, serves=False)
    master = shop.family()[0]
    if options:
        until(lambda: "spawned uWSGI worker 2" in shop.output)
        assert 1 == master.num_threads()

    expected = {process.pid for process in shop.family()} - ({master.pid} if options else set())
    until(lambda: expected <= publishers(shop), "numbers of each worker")

    assert (2 if options else 1) == len(expected)
    assert expected == publishers(shop)
    # A signal while it loads the application is lost on a worker; uWSGI waits a minute for it then.
    until(lambda: expected <= shop.ask(names(16)), "each worker answers")
    shop.end(signal.SIGINT)


@needs_uwsgi
def test_uwsgi_that_stops_gracefully_loses_nothing_even_in_a_request(
    shop: Program, sink: OtlpSink
) -> None:
    """uWSGI skips every exit hook of a worker it kills in a request; a graceful stop does not."""
    start_uwsgi(shop, *GRACEFUL)
    ids = names(REQUESTS)

    shop.ask(ids)
    shop.end()  # at once: the last response may be on its way to its end
    deliver_the_rest(shop)

    assert_complete(shop, sink, ids)


@needs_uwsgi
def test_uwsgi_default_settings_send_without_a_further_request(
    shop: Program, sink: OtlpSink
) -> None:
    """Telemetry does not wait for the next request or the end; the master sends nothing."""
    start_uwsgi(shop, *AT_ONCE)
    ids = names(20)

    shop.ask(ids)
    until(lambda: sorted(ids) == requests_at(sink), "spans without another request")

    assert shop.process is not None
    speakers = {span["resource"]["process.pid"] for span in sink.spans}
    assert shop.process.pid not in speakers
    shop.end()


# --- the development server ----------------------------------------------------------------------
RUN = """
if __name__ == "__main__":
    app.run(port={port}, debug=True)
"""


@pytest.mark.parametrize("way", ["flask run --debug", "app.run(debug=True)"])
def test_the_reloader_parent_is_silent_and_a_reload_goes_on(
    shop: Program, sink: OtlpSink, way: str
) -> None:
    """Requests are counted once, by the child; a change of the code reloads, the sum goes on."""
    shop.app.write_text(APP + RUN.format(port=shop.port))
    flask = ("-m", "flask", "--app", "shop", "run", "--debug", "--port", str(shop.port))
    shop.start(sys.executable, *(flask if way.startswith("flask") else ("shop.py",)))
    assert shop.process is not None
    parent = shop.process.pid
    first, second = names(20, "first"), names(20, "second")

    (child,) = shop.ask(first)
    # longer than the parent would need to start by itself
    until(lambda: len(first) == shop.counted(), "each counted once")
    until(lambda: time.time() - psutil.Process(parent).create_time() > 5)
    assert child != parent
    assert [] == state_files(parent)
    assert {child} == publishers(shop)

    shop.app.write_text(shop.app.read_text().replace("VERSION = 1", "VERSION = 2"))
    until(lambda: [child] != serving(shop, parent) and shop._answers(), "a new child")
    (after,) = shop.ask(second)
    both = sorted(first + second)
    until(lambda: len(both) == shop.counted(), "the sum over the reload")
    until(lambda: both == requests_at(sink), "all spans, each once")

    assert after not in (parent, child)
    assert {child, after} == {span["resource"]["process.pid"] for span in sink.spans}
    assert parent not in publishers(shop)
    assert both == sorted(line["request_id"] for line in shop.lines("shop"))


def serving(shop: Program, parent: int) -> list[int]:
    """The reloader's child."""
    return [child.pid for child in psutil.Process(parent).children()]


def publishers(shop: Program) -> set[int]:
    """Processes that left numbers in the state directory."""
    files = (shop.logs / ".state").glob("*/workers/*-*.*")
    return {int(path.name.partition("-")[0]) for path in files}


def state_files(pid: int) -> list[str]:
    """Open files of the process that only a started telemetry has: leader lock, store, numbers."""
    state = os.sep + ".state" + os.sep
    return [file.path for file in psutil.Process(pid).open_files() if state in file.path]


# --- programs that serve nobody ------------------------------------------------------------------
SCRIPT = """
import logging, time
from proletto_otel import setup_telemetry

telemetry = setup_telemetry(app_name="shop", log_console=False)
{activate}
for number in range(200):
    with telemetry.tracer.start_as_current_span(f"job {{number}}"):
        logging.getLogger("shop").info("job done", extra={{"item": number}})
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("activate", ["", "telemetry.activate()"])
def test_a_script_that_gets_sigterm_loses_nothing(
    shop: Program, sink: OtlpSink, activate: str
) -> None:
    """SIGTERM is as good as an exit, and still what the parent sees the program end by."""
    shop.app.write_text(SCRIPT.format(activate=activate))
    shop.start(sys.executable, "shop.py", serves=False)
    until(lambda: "ready" in shop.output)

    assert shop.end() < EXIT_S * slowness()

    assert shop.process is not None
    assert -signal.SIGTERM == shop.process.returncode
    assert sorted(f"job {n}" for n in range(200)) == sorted(span["name"] for span in sink.spans)
    assert 200 == lines_at(sink, "job done")
    assert 200 == len(shop.lines("shop"))


CHILDREN = """
import logging, multiprocessing, sys, time
from proletto_otel import setup_telemetry

telemetry = setup_telemetry(app_name="shop", log_console=False)


def work(number, wait):
    for step in range(50):
        with telemetry.tracer.start_as_current_span(f"step {number}.{step}"):
            logging.getLogger("shop").info("step done", extra={"item": number})
    wait.set()
    time.sleep(60 if number == 3 else 0)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with telemetry.tracer.start_as_current_span("begin"):
        telemetry.activate()
    done = [context.Event() for _ in range(4)]
    children = [context.Process(target=work, args=(n, done[n])) for n in range(4)]
    for child in children:
        child.start()
    for event in done:
        event.wait(30)
    children[3].terminate()
    for child in children:
        child.join(15)
    print([child.exitcode for child in children], flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_lose_nothing(
    shop: Program, sink: OtlpSink, method: str
) -> None:
    """Children leave without atexit, one by SIGTERM; each sends what is its own, once."""
    shop.app.write_text(CHILDREN)
    shop.start(sys.executable, "shop.py", method, serves=False)
    assert shop.process is not None
    shop.process.wait(PATIENCE_S)

    assert f"[0, 0, 0, {-signal.SIGTERM}]" in shop.output
    steps = [f"step {number}.{step}" for number in range(4) for step in range(50)]
    assert sorted([*steps, "begin"]) == sorted(span["name"] for span in sink.spans)
    assert 200 == lines_at(sink, "step done")
    assert 200 == len(shop.lines("shop"))


# --- threads -------------------------------------------------------------------------------------
def start_gunicorn(shop: Program, *options: str) -> None:
    """gunicorn on the program's port."""
    where = ("-b", f"127.0.0.1:{shop.port}")
    shop.start(sys.executable, "-m", "gunicorn", *where, *options, "shop:app")


TWO_LINES = """    import time
    time.sleep(0.002)
    logging.getLogger("shop.later").info("a little later", extra={"item": item})
    return jsonify"""


PATCHED_S = 4.0
"""A process activates by itself after three seconds."""

CONCURRENT = {
    "gthread": ("--worker-class", "gthread", "--threads", "8"),
    "gevent": ("--worker-class", "gevent"),
    "gevent, loaded before the fork": ("--worker-class", "gevent", "--preload"),
}


@pytest.mark.parametrize("options", CONCURRENT.values(), ids=CONCURRENT)
def test_requests_at_the_same_time_keep_their_ids_apart(
    shop: Program, sink: OtlpSink, options: tuple[str, ...]
) -> None:
    """Threads or greenlets, 500 requests: each line and each span has the ID of its request."""
    shop.app.write_text(APP.replace("    return jsonify", TWO_LINES))
    start_gunicorn(shop, "--workers", "1", *options)
    ids = names(500)

    shop.ask(ids, clients=16)
    shop.end()

    assert_complete(shop, sink, ids)
    lines = [line for line in shop.lines("shop") if "item" in line] + shop.lines("shop.later")
    assert 1000 == len(lines)
    assert [] == [line for line in lines if f"id-{line['item']}" != line["request_id"]]
    spans = {span["attributes"]["request_id"]: span for span in sink.spans}
    own = {name: f"/item/{number}" for number, name in enumerate(ids)}
    assert own == {name: span["attributes"]["url.path"] for name, span in spans.items()}
    traces = {name: span["trace_id"] for name, span in spans.items()}
    assert [] == [line for line in lines if traces[line["request_id"]] != line["trace_id"]]


@pytest.mark.parametrize("options", CONCURRENT.values(), ids=CONCURRENT)
def test_a_worker_that_is_patched_after_the_fork_logs_nothing_of_its_own(
    shop: Program, options: tuple[str, ...]
) -> None:
    """gevent's patch comes while our first thread waits: that thread ends without an error."""
    start_gunicorn(shop, "--workers", "1", *options)
    shop.ask(names(10), clients=1)
    time.sleep(PATCHED_S)
    shop.end()

    odd = [line for line in shop.lines("shop") if line["message"] != "item asked for"]
    assert [] == odd


@pytest.mark.parametrize("options", CONCURRENT.values(), ids=CONCURRENT)
def test_a_worker_that_nobody_asks_for_a_while_sends_what_it_does_then(
    shop: Program, sink: OtlpSink, options: tuple[str, ...]
) -> None:
    """It activates by itself: what it starts is alive, whoever patched threads meanwhile."""
    shop.start(
        sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{shop.port}", "--workers", "1",
        *options, "shop:app", serves=False,
    )  # fmt: skip
    until(lambda: "Booting worker" in shop.output)
    until(lambda: publishers(shop), "it activated by itself")

    ids = names(5)
    shop.ask(ids, clients=1)
    until(lambda: sorted(ids) == requests_at(sink), "spans before its end")
    shop.end()

    assert_complete(shop, sink, ids)


# --- no collector --------------------------------------------------------------------------------
def test_an_absent_collector_costs_one_warning_and_nothing_else(
    tmp_path: Path, sink: OtlpSink
) -> None:
    """It starts, serves, ends in time; the next start delivers what was kept, once."""
    missing = free_port()
    ids = names(400)
    options = ("--workers", "1", "--worker-class", "gthread", "--threads", "2")
    with (
        program(tmp_path / "present", sink.url) as present,
        program(tmp_path / "absent", f"http://127.0.0.1:{missing}") as absent,
    ):
        for each in (present, absent):
            each.app.write_text(APP.replace("log_console=False", "log_console=True"))
            start_gunicorn(each, *options)
        times = interleaved([present, absent], ids)
        until(lambda: spooled(absent), "records on disk")
        assert present.end() < EXIT_S * slowness()
        ended = absent.end()
        assert ended < EXIT_S * slowness()
        warned = f"the collector at http://127.0.0.1:{missing} does not answer"
        assert 1 == absent.output.count(warned), absent.output
        assert_complete(present, sink, ids)

        with OtlpSink(missing) as late:
            start_gunicorn(absent, *options)
            until(lambda: len(ids) <= len(requests_at(late)), "the spooled spans")
            until(lambda: len(ids) <= lines_at(late, "item asked for"), "the spooled lines")
            absent.end()
            assert_complete(absent, late, ids)
            assert not spooled(absent)
    for name, taken in zip(("present", "absent"), times, strict=True):
        cuts = statistics.quantiles(taken, n=100)
        figures = f"p50 {cuts[49] * 1e3:.2f} ms, p99 {cuts[98] * 1e3:.2f} ms"
        print(f"collector {name}: {figures}")
    print(f"exit without collector: {ended:.2f} s")


def interleaved(programs: list[Program], ids: list[str]) -> list[list[float]]:
    """Ask all programs in turn, one request at a time; the durations in seconds."""
    times: list[list[float]] = [[] for _ in programs]
    for number, name in enumerate(ids):
        for which, each in enumerate(programs):
            began = time.perf_counter()
            assert 200 == each.get(f"/item/{number}", X_Request_ID=name)[0]
            times[which].append(time.perf_counter() - began)
    return times


def spooled(shop: Program) -> list[Path]:
    """Undelivered parcels on disk."""
    found = (shop.logs / ".state").glob("*/spool/**/*")
    return [path for path in found if path.is_file() and path.stat().st_size]
