"""The stores as `doctor` asks them: through Grafana, so that its data sources are proved, too."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proletto_otel.cli.doctor_verdict import WrongError

TIMEOUT_S = 5.0
POLL_S = 0.3


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores, as Grafana reaches them."""

    grafana: str
    user: str
    password: str = field(repr=False)
    wait_s: float

    def get(self, path: str, **parameters: Any) -> Any:
        """JSON from Grafana.

        Raises:
            urllib.error.HTTPError, OSError: it did not answer 200.
        """
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return self._answer(urllib.request.Request(f"{self._base}{path}{query}"), TIMEOUT_S)

    def post(self, path: str, body: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """JSON from Grafana, after sending it *body*.

        Raises:
            urllib.error.HTTPError, OSError: it did not answer 2xx.
        """
        request = urllib.request.Request(f"{self._base}{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        return self._answer(request, timeout_s)

    @property
    def _base(self) -> str:
        return self.grafana.rstrip("/")

    def _answer(self, request: urllib.request.Request, timeout_s: float) -> Any:
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.loads(answer.read() or b"null")

    def store(self, uid: str, path: str, **parameters: Any) -> Any:
        """JSON from a store, through Grafana's proxy, so that its data source is proved, too."""
        return self.get(f"/api/datasources/proxy/uid/{uid}{path}", **parameters)

    def promql(self, expression: str) -> Any:
        """The series of an instant query."""
        return self.store("prometheus", "/api/v1/query", query=expression)["data"]["result"]

    def find(self, what: str, ask: Callable[[], Any], fix: str) -> Any:
        """Ask until there is something; what went wrong last is said when there is nothing."""
        deadline, last = time.monotonic() + self.wait_s, "nothing found"
        while True:
            try:
                if found := ask():
                    return found
            except urllib.error.HTTPError as error:
                # Caught first, because it is an OSError, too.
                last = f"HTTP {error.code}"
            except OSError as error:
                last = str(getattr(error, "reason", error))
            # Asked again until then: batches wait in the exporter, the collector and the stores.
            if time.monotonic() > deadline:
                raise WrongError(f"{what}: not within {self.wait_s:g} s ({last})", fix)
            time.sleep(POLL_S)
