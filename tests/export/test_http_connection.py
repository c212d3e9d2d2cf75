"""Export requests go where OpenTelemetry's variables say, soon or not at all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.config import Config, load
from proletto_otel.export import connect
from proletto_otel.export.encoding import otlp
from proletto_otel.export.endpoint import Endpoint, endpoint, is_configured
from proletto_otel.export.http_connection import Answer, HttpConnection, Unreachable
from proletto_otel.export.payload import GZIP, Payload
from tests.otlp_sink import OtlpSink, Reply
from tests.waiting import slowness


def config(**environ: str) -> Config:
    """The settings under these environment variables, without the common prefix."""
    settings, warnings = load({}, {}, {f"OTEL_EXPORTER_OTLP_{k}": v for k, v in environ.items()})
    assert not warnings
    return settings


def payload(encoding: str = "") -> Payload:
    """A request with one log record."""
    record = otlp.log_record(
        time_ns=1, severity_number=9, severity_text="INFO", body="hello", attributes=b""
    )
    return Payload.of(otlp.request(b"", [(b"", [record])]), 1, encoding)


def post(
    to: Endpoint, what: Payload, read_timeout_s: float = 2.0, clock: Callable[[], float] = time.time
) -> Answer:
    """Send over a connection of its own."""
    with contextlib.closing(HttpConnection(to.peer, read_timeout_s, clock)) as session:
        return session.post(to, what, 5.0)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as started:
        yield started


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http://localhost:4318/v1/logs"),
        ({"ENDPOINT": "https://c.example"}, "https://c.example:443/v1/logs"),
        ({"ENDPOINT": "https://c.example/otlp/"}, "https://c.example:443/otlp/v1/logs"),
        ({"ENDPOINT": "http://a:1", "LOGS_ENDPOINT": "http://b:2/in"}, "http://b:2/in"),
        ({"ENDPOINT": "http://a:1", "LOGS_ENDPOINT": "http://b:2"}, "http://b:2/"),
        ({"ENDPOINT": "http://a:1", "TRACES_ENDPOINT": "http://b:2"}, "http://a:1/v1/logs"),
        ({"ENDPOINT": "http://[::1]:4318"}, "http://[::1]:4318/v1/logs"),
        ({"ENDPOINT": "http://u:p@a:1/?key=secret"}, "http://a:1/v1/logs"),
    ],
)
def test_urls_are_built_as_opentelemetry_says(environ: dict[str, str], expected: str) -> None:
    """The base URL gets the signal's path; a signal's own URL is used as it is."""
    found = endpoint(config(**environ), "logs", {})

    assert expected == found.shown


def test_default_is_known_from_a_setting() -> None:
    """Only who named an endpoint gets a line for each outage."""
    assert not is_configured(config())
    assert is_configured(config(LOGS_ENDPOINT="http://b:2/in"))


def test_headers_of_the_signal_win(sink: OtlpSink) -> None:
    """Headers for all signals, then those of one, then the account in the URL."""
    settings = config(
        ENDPOINT=f"http://me:w%3Ard@127.0.0.1:{sink.port}", HEADERS="a=1,b=1", LOGS_HEADERS="b=2"
    )
    logs = endpoint(settings, "logs", {})
    answer = post(logs, payload())
    (request,) = sink.requests

    assert 200 == answer.status
    assert ("1", "2") == (request.headers["a"], request.headers["b"])
    assert "Basic bWU6dzpyZA==" == request.headers["authorization"]
    assert "w:rd" not in repr(logs)


@pytest.mark.parametrize("encoding", ["", GZIP])
def test_body_arrives_under_its_encoding(sink: OtlpSink, encoding: str) -> None:
    """With gzip or without, the server reads the same records."""
    logs = endpoint(config(ENDPOINT=sink.url), "logs", {})
    post(logs, payload(encoding))

    assert ["hello"] == [record["name"] for record in sink.logs]
    assert encoding == sink.requests[0].headers.get("content-encoding", "")


def test_connection_is_kept_and_renewed(sink: OtlpSink) -> None:
    """Requests share a connection; one the server closed meanwhile is replaced unnoticed."""
    logs = endpoint(config(ENDPOINT=sink.url), "logs", {})
    session = HttpConnection(logs.peer, 2.0)
    session.post(logs, payload(), 5.0)
    session.post(logs, payload(), 5.0)
    assert 1 == len(sink._open)
    sink.stop()
    sink.start()

    assert 200 == session.post(logs, payload(), 5.0).status
    session.close()


def test_refused_connection_is_unreachable(sink: OtlpSink) -> None:
    """Nobody listens: that is said at once and in words."""
    logs = endpoint(config(ENDPOINT=sink.url), "logs", {})
    sink.stop()

    with pytest.raises(Unreachable, match="connection refused"):
        post(logs, payload())


def test_silent_server_is_unreachable(sink: OtlpSink) -> None:
    """A server that never answers is given up after the timeout."""
    logs = endpoint(config(ENDPOINT=sink.url), "logs", {})
    sink.hanging.set()

    with pytest.raises(Unreachable, match="timeout"):
        post(logs, payload(), 0.1)
    sink.hanging.clear()


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_answer_that_drips_is_given_up(begin: bytes) -> None:
    """A byte now and then keeps no connection: the time is that of the whole answer."""
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        peer, _ = server.accept()
        with peer, contextlib.suppress(OSError):
            peer.sendall(begin)
            while not over.wait(0.05):
                peer.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        logs = endpoint(config(ENDPOINT=f"http://127.0.0.1:{server.getsockname()[1]}"), "logs", {})
        began = time.monotonic()
        try:
            with pytest.raises(Unreachable, match="timeout"):
                post(logs, payload(), 0.3)
        finally:
            over.set()
            thread.join()

    assert time.monotonic() - began < 5 * slowness()


def test_answer_that_is_not_http_is_unreachable() -> None:
    """Whatever speaks on that port, the export thread gets one kind of error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_talk_nonsense, args=(server,), daemon=True).start()
        logs = endpoint(config(ENDPOINT=f"http://127.0.0.1:{server.getsockname()[1]}"), "logs", {})
        with pytest.raises(Unreachable, match="BadStatusLine"):
            post(logs, payload())


def _talk_nonsense(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"220 smtp ready\r\n\r\n")


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("nonsense", None), ("", None), ("1e400", None)],
)
def test_retry_after_is_read(sink: OtlpSink, header: str, expected: float | None) -> None:
    """Seconds are understood; nonsense is as if it was not there."""
    sink.replies.append(Reply(503, retry_after=header))
    logs = endpoint(config(ENDPOINT=sink.url), "logs", {})

    assert expected == post(logs, payload()).retry_after_s


def test_retry_after_may_be_a_date(sink: OtlpSink) -> None:
    """A date counts from now."""
    sink.replies.append(Reply(429, retry_after=formatdate(1000, usegmt=True)))
    logs = endpoint(config(ENDPOINT=sink.url), "logs", {})

    assert 40.0 == post(logs, payload(), clock=lambda: 960.0).retry_after_s


def test_proxy_is_used_but_never_for_loopback(sink: OtlpSink) -> None:
    """A proxy of the environment serves other hosts, with its own account."""
    environ = {"http_proxy": f"http://u:p@127.0.0.1:{sink.port}", "no_proxy": "internal"}
    far = endpoint(config(ENDPOINT="http://collector.example"), "logs", environ)
    post(far, payload())
    near = [
        endpoint(config(ENDPOINT=url), "logs", environ).peer.proxy
        for url in ("http://localhost:4318", "http://127.0.0.9:1", "http://[::1]:1",
                    "http://a.internal")
    ]  # fmt: skip

    assert "http://collector.example:80/v1/logs" == sink.requests[0].path
    assert "Basic dTpw" == sink.requests[0].headers["proxy-authorization"]
    assert [None] * 4 == near


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    place = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", place / "key.pem", "-out", place / "cert.pem"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("needs openssl: apt-get install openssl")
    return place / "cert.pem", place / "key.pem"


def test_tls_trusts_the_named_certificate_only(
    sink: OtlpSink, certificate: tuple[Path, Path]
) -> None:
    """With the certificate named and ours shown it works, with another one it is refused."""
    cert, key = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    tls.load_verify_locations(cert)
    tls.verify_mode = ssl.CERT_REQUIRED
    assert sink._server is not None
    sink._server.socket = tls.wrap_socket(sink._server.socket, server_side=True)
    url = f"https://localhost:{sink.port}"
    trusted = config(
        ENDPOINT=url, CERTIFICATE=str(cert), CLIENT_CERTIFICATE=str(cert), CLIENT_KEY=str(key)
    )
    good, bad = endpoint(trusted, "logs", {}), endpoint(config(ENDPOINT=url), "logs", {})

    assert 200 == post(good, payload(GZIP)).status
    with pytest.raises(Unreachable, match="certificate refused"):
        post(bad, payload())


def test_missing_certificate_file_is_unreachable() -> None:
    """A wrong path is reported as such, and is no error of the application."""
    logs = endpoint(config(ENDPOINT="https://localhost:1", CERTIFICATE="/nowhere.pem"), "logs", {})

    with pytest.raises(Unreachable, match="certificate file not found"):
        post(logs, payload())


def test_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead name server costs the connect time, not its own patience; its answer is used later."""
    answered = threading.Event()
    real = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]
    monkeypatch.setattr(connect, "_ask", lambda host, port: answered.wait(30) and real)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connect.addresses("collector.example", 1, 0.05)
    assert time.monotonic() - began < 20 * slowness()
    answered.set()

    assert real == connect.addresses("collector.example", 1, 20)


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", f"{'a' * 64}.example", "\u00e4" * 64 + ".example"]
)
def test_unknown_host_is_unreachable(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name nobody knows, or that can be none, is reported as such, not taken for a slow one."""

    def answer(host: str | bytes, port: int, **options: Any) -> Any:
        if isinstance(host, str):  # as the resolver does; a machine without a network asks no other
            host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    logs = endpoint(config(ENDPOINT=f"http://{host}"), "logs", {})

    with pytest.raises(Unreachable, match=r"^host name not found$"):
        post(logs, payload())
