"""Runs one configuration in a process of its own, for `subjects.Subject`.

    python subject.py CONFIGURATION

A command per line of standard input, `["measure", {"kind": "hello", "requests": 100}]`; an answer
per line of standard output. What the application prints goes to the file `output` of its folder.
"""

from __future__ import annotations

import gc
import io
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from application import KINDS, REQUEST_ID, Kind

Environ = dict[str, Any]


def environ_of(path: str) -> Environ:
    """The WSGI environment of a GET request, as a server behind a load balancer makes it."""
    return {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
        "RAW_URI": path, "REQUEST_URI": path, "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "shop.example.com", "SERVER_PORT": "80", "REMOTE_ADDR": "203.0.113.9",
        "HTTP_HOST": "shop.example.com", "HTTP_ACCEPT": "application/json",
        "HTTP_ACCEPT_ENCODING": "gzip, br",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip


class Client:
    """Calls the application as a server does; its public methods are the commands."""

    def __init__(self, app: Any, flush: Callable[[], object]) -> None:
        self._app = app
        self._flush = flush
        self._sent = dict.fromkeys(KINDS, 0)
        self._next_number = 1
        self._status = ""
        self._response_headers: list[tuple[str, str]] = []

    def measure(self, kind: str, requests: int) -> float:
        """CPU microseconds a request: all threads, and the export of all that was recorded."""
        gc.collect()
        before = cpu_seconds()
        self.send(kind, requests)
        self._flush()
        return (cpu_seconds() - before) / requests * 1e6

    def send(self, kind: str, requests: int) -> None:
        """Send requests, each with a number, request ID and client port of its own."""
        described = KINDS[kind]
        template = environ_of(described.path)
        first, self._next_number = self._next_number, self._next_number + requests
        self._sent[kind] += requests
        for number in range(first, first + requests):
            body = self._call(self._environ(template, described, number))
        if not self._status.startswith(str(described.status)) or not body:
            raise RuntimeError(f"{kind} was answered {self._status!r}, {body!r}")

    def _environ(self, template: Environ, kind: Kind, number: int) -> Environ:
        environ = template.copy()
        environ["wsgi.input"] = io.BytesIO()
        environ["REMOTE_PORT"] = str(30_000 + number % 30_000)
        environ["HTTP_X_REQUEST_ID"] = REQUEST_ID.format(number)
        path = kind.path.replace("{number}", str(number))
        environ["PATH_INFO"] = environ["RAW_URI"] = environ["REQUEST_URI"] = path
        return environ

    def _call(self, environ: Environ) -> bytes:
        chunks = self._app(environ, self._start_response)
        body = b"".join(chunks)
        if close := getattr(chunks, "close", None):
            close()
        return body

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        self._status, self._response_headers = status, headers
        return lambda data: None

    def flush(self) -> None:
        """Send what waits."""
        self._flush()

    def sent(self) -> dict[str, int]:
        """How many requests of each kind were sent."""
        return self._sent

    def counted(self) -> float:
        """How many requests `/metrics` has counted; scrapes of itself are left out."""
        time.sleep(1.5)  # workers share their numbers within a second
        scrape = environ_of("/metrics") | {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1"}
        text = self._call(scrape | {"wsgi.input": io.BytesIO()}).decode()
        pattern = r"^http_server_request_duration_seconds_count(\S*) (\S+)"
        found = re.findall(pattern, text, re.MULTILINE)
        return sum(float(count) for labels, count in found if "/metrics" not in labels)


def cpu_seconds() -> float:
    """CPU time of this process with all its threads and the children that it waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def main(configuration: str) -> None:
    """Build the configuration and answer commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from configurations import CONFIGURATIONS  # what it prints goes to the file

    client = Client(*CONFIGURATIONS[configuration]())
    print(json.dumps({"answer": "ready"}), file=answers)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            reply = {"answer": getattr(client, command)(**arguments)}
        except Exception:
            reply = {"failure": traceback.format_exc()}
        print(json.dumps(reply), file=answers)
    os._exit(0)  # what the exit would send is of no interest any more


if __name__ == "__main__":
    main(sys.argv[1])
