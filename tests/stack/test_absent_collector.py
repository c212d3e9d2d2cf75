"""Without a collector the service starts, serves and ends; what it had to say arrives later."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.stack.servers import wait_for
from tests.stack.system import System
from tests.stack.test_end_to_end import COUNT, TERM_SECONDS
from tests.stack.traffic import Request, Service, requests

REQUESTS = 40


@pytest.fixture
def without_collector(system: System) -> Iterator[System]:
    """The system while nobody listens on the OTLP port."""
    system.stop("collector")
    yield system
    if "collector" not in system.servers:
        system.start_collector()


def arrived(system: System, service: Service, made: list[Request]) -> None:
    """Every request has its span and its lines, each once."""
    ids = sorted(request.request_id for request in made)
    spans = wait_for(
        "spans",
        lambda: found if len(found := system.tempo.of(service.name)) >= len(ids) else None,
    )
    assert ids == sorted(span.attributes["request_id"] for span in spans if span.kind == 2)

    # The access log has one line for each request.
    query = f'{{service_name="{service.name}"}} | logger="shop.access" | request_id!=""'
    lines = wait_for(
        "lines", lambda: found if len(found := system.logql(query)) >= len(ids) else None
    )
    assert ids == sorted(labels["request_id"] for labels, _ in lines)


def warnings(service: Service) -> list[str]:
    """The lines about the collector that the service printed."""
    console = service.server.log.read_text()
    port = service.otlp.rpartition(":")[2]
    return [line for line in console.splitlines() if re.search(rf"\b{port}\b", line)]


def test_spool_survives_a_restart(
    without_collector: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The collector is absent: one warning, a quick end; the next start delivers the rest."""
    system = without_collector
    service = Service("absent-restart", tmp_path_factory.mktemp("a"), system.otlp, ("--workers=1",))
    made = requests(service.name, REQUESTS)
    service.start()
    try:
        service.call_all(made)
        wait_for("the warning", lambda: warnings(service))
        service.terminate(TERM_SECONDS)
        said = warnings(service)

        system.start_collector()
        service.start()
        arrived(system, service, made)
        service.terminate(TERM_SECONDS)
    finally:
        service.server.stop()

    assert 1 == len(said), said
    query = f'sum({COUNT}{{service_name="{service.name}"}})'
    assert REQUESTS == wait_for("counts", lambda: system.total(query))


def test_running_service_catches_up(
    without_collector: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The collector comes up later: a service that still runs delivers what it kept."""
    system = without_collector
    service = Service("absent-later", tmp_path_factory.mktemp("b"), system.otlp, ("--workers=2",))
    made = requests(service.name, REQUESTS)
    service.start()
    try:
        service.call_all(made)
        wait_for("the warning", lambda: warnings(service))

        system.start_collector()
        arrived(system, service, made)
        service.terminate(TERM_SECONDS)
    finally:
        service.server.stop()
