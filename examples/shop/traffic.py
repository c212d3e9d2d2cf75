"""Visitors of the shop: a steady, bounded stream of mixed requests."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

VISITORS = 4
TIMEOUT_S = 5.0
# what visitors do, and how often of 100 times
MIX = {
    "look around": 24,
    "look at a product": 22,
    "order": 18,
    "pay": 18,
    "log in": 5,
    "get lost": 5,
    "read the report": 4,
    "want a refund": 4,
}


class Traffic:
    """About *rate* requests a second from four visitors; slow answers slow it, nothing piles up."""

    def __init__(self, url: str, rate: float) -> None:
        self.url = url
        self.answers: Counter[int | str] = Counter()
        """How often each status came; `no answer` where none did."""
        self._pause_s = VISITORS / rate
        self._orders: list[int] = []
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(VISITORS)]

    @property
    def newest_order(self) -> int:
        """The order placed last, or 1."""
        return self._orders[-1] if self._orders else 1

    def start(self) -> None:
        """Let the visitors in."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the visitors to leave; does not wait for their last request."""
        self._end.set()

    def call(self, method: str, path: str, body: object = None, request_id: str = "") -> int | str:
        """Send one request; returns the status, or `no answer`."""
        headers = {"Content-Type": "application/json"}
        if request_id:
            headers["X-Request-ID"] = request_id
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)
        status: int | str
        try:
            with urlopen(request, timeout=TIMEOUT_S) as answer:
                status = answer.status
                self._remember(json.load(answer))
        except HTTPError as error:
            status = error.code
            error.close()
        except (OSError, HTTPException, ValueError):
            status = "no answer"
        with self._lock:
            self.answers[status] += 1
        return status

    def _visit(self) -> None:
        due = time.monotonic() + random.uniform(0, self._pause_s)
        while not self._end.wait(max(0.0, due - time.monotonic())):
            self._act(random.choices(list(MIX), list(MIX.values()))[0])
            due = max(due + self._pause_s, time.monotonic())

    def _act(self, wish: str) -> None:
        order_id = random.choice(self._orders or [1])
        product_id = random.randint(1, 5)
        if wish == "look around":
            self.call("GET", "/")
        elif wish == "look at a product":
            self.call("GET", f"/products/{product_id}")
        elif wish == "order":
            self.call("POST", "/orders", {"product_id": product_id, "quantity": 1})
        elif wish == "pay":
            self.call("POST", f"/orders/{order_id}/payment")
        elif wish == "log in":
            self.call("POST", "/login", {"customer": "ada", "password": "correct horse"})
        elif wish == "get lost":
            self.call("GET", f"/old-page-{random.randint(1, 1000)}")
        elif wish == "read the report":
            self.call("GET", "/reports/daily")
        else:
            self.call("POST", f"/orders/{order_id}/refund")

    def _remember(self, answer: dict[str, object]) -> None:
        if isinstance(order_id := answer.get("order_id"), int):
            self._orders = [*self._orders[-99:], order_id]
