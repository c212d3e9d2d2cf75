"""A Prometheus or Loki as pages ask it: with a deadline, a small cache and a circuit breaker.

A page waits one second at most, whatever the server does: its name may not resolve, it may hang or
send a byte each second. So the question runs in a thread of its own, one at a time for each server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson

from proletto_otel.export.endpoint import Endpoint
from proletto_otel.export.http_connection import Answer, HttpConnection, Unreachable
from proletto_otel.runtime.circuit_breaker import Breaker
from proletto_otel.runtime.single_flight import SharedCall

DEADLINE_S = 1.0
"""The longest time a page waits for everything that it asks of one server."""
FRESH_S = 5.0
"""How long an answer is used again: as often as the quickest page asks."""
MAX_CACHED = 32
MAX_ANSWER_BYTES = 4_000_000
"""20 hosts × 8 metrics × 150 points take 0.8 MB."""
MAX_SHOWN = 200
"""Characters of the server's own message that are repeated."""
T = TypeVar("T")


class NoAnswer(Exception):
    """Nothing to show came; its text is for the page."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question."""

    value: Any = None
    problem: str = ""
    """Why there is no value; empty when there is."""
    is_outage: bool = False
    """Whether the server is to be left alone for a while."""
    at: float = 0.0
    """Monotonic seconds."""


class Backend:
    """One server.

    Args:
        name: What people call it.
        variable: Beginning of the names of its settings.
        endpoint: Where it is, with the headers of every request.
        clock: Monotonic seconds.
    """

    def __init__(
        self, name: str, variable: str, endpoint: Endpoint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.name, self._variable, self._endpoint, self._clock = name, variable, endpoint, clock
        self._begin()

    @property
    def shown(self) -> str:
        """The server in messages, without user and password."""
        return f"{self.name} at {self._endpoint.peer.shown}"

    def deadline(self) -> float:
        """Until when a page that begins now may wait."""
        return self._clock() + DEADLINE_S

    def ask(
        self, questions: tuple[str, ...], read: Callable[[list[Any]], T],
        extra_until: float | None = None,
    ) -> T:  # fmt: skip
        """Ask for paths of its API, and *read* the `result` of each.

        Args:
            questions: Paths with their parameters.
            read: Makes what the page shows of the results; what it raises is no answer.
            extra_until: For what a page can do without, the `deadline` of the whole page. A server
                that does not answer such a question in time still gets the next one.

        Raises:
            NoAnswer: with the reason.
        """
        if os.getpid() != self._pid:  # the parent's connection and thread are not this process's
            self._begin()
        deadline = self.deadline() if extra_until is None else extra_until
        if not self._turn.acquire(timeout=max(deadline - self._clock(), 0.0)):
            raise NoAnswer(f"{self.shown} is asked by others of this worker: try again.")
        try:
            outcome = self._cached(questions)
            if outcome is None:
                outcome = self._ask(questions, read, deadline)
                if extra_until is None or not outcome.is_outage:
                    self._learn(questions, outcome)
        finally:
            self._turn.release()
        if outcome.problem:
            raise NoAnswer(outcome.problem)
        return cast(T, outcome.value)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._breaker = Breaker(self._clock)
        self._connection = HttpConnection(self._endpoint.peer, DEADLINE_S)
        self._call: SharedCall[Outcome] | None = None
        self._cache: dict[tuple[str, ...], Outcome] = {}
        self._last_problem = ""

    def _cached(self, questions: tuple[str, ...]) -> Outcome | None:
        found = self._cache.get(questions)
        return found if found and self._clock() - found.at < FRESH_S else None

    def _ask(
        self, questions: tuple[str, ...], read: Callable[[list[Any]], Any], deadline: float
    ) -> Outcome:
        if not self._breaker.ready():
            wait = max(round(self._breaker.wait_s()), 1)
            return Outcome(problem=f"{self._last_problem} It is asked again in {wait} s.")
        if self._call is not None and not self._call.over:
            return Outcome(problem=f"{self.shown} has not answered the last question yet.")
        call = self._call = SharedCall(
            "proletto-query", lambda: self._fetch(questions, read, deadline), self._clock()
        )
        call.wait(deadline - self._clock())
        return (call.result if call.over else None) or self._outage("timeout")

    def _learn(self, questions: tuple[str, ...], outcome: Outcome) -> None:
        if outcome.is_outage:
            self._breaker.failed()
            self._last_problem = outcome.problem
        elif outcome.at:  # the server was asked
            self._breaker.succeeded()
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[questions] = outcome

    def _fetch(
        self, questions: tuple[str, ...], read: Callable[[list[Any]], Any], deadline: float
    ) -> Outcome:
        """Runs in the thread; raises nothing."""
        results = []
        try:
            for question in questions:
                left_s = max(deadline - self._clock(), 0.01)
                target = self._endpoint.path + question
                answer = self._connection.get(self._endpoint, target, left_s, MAX_ANSWER_BYTES)
                refused = self._refusal(answer)
                if refused is not None:
                    return refused
                results.append(orjson.loads(answer.body)["data"]["result"])
            return Outcome(read(results), at=self._clock())
        except Unreachable as error:
            return self._outage(str(error))
        except Exception:  # whatever an answer of another kind than expected leads to
            return self._outage("its answer is not understood; is it the right address?")
        finally:
            # not kept open: each worker would hold one to each server for nobody
            self._connection.close()

    def _refusal(self, answer: Answer) -> Outcome | None:
        if answer.status in (401, 403):
            problem = (
                f"{self.shown} refuses us ({answer.status}): {self._variable}_HEADERS, or the user"
                f" and password in {self._variable}_URL."
            )
            return Outcome(problem=problem, at=self._clock())
        if answer.status in (400, 422):
            said = answer.body.decode("utf-8", "replace")[:MAX_SHOWN]
            problem = f"{self.shown} refuses the question ({answer.status}): {said}"
            return Outcome(problem=problem, at=self._clock())
        if answer.status != 200:
            return self._outage(f"it answers {answer.status}")
        if len(answer.body) >= MAX_ANSWER_BYTES:
            return Outcome(
                problem=f"{self.shown} has more to say than fits: choose a shorter time.",
                at=self._clock(),
            )
        return None

    def _outage(self, why: str) -> Outcome:
        end = "" if why.endswith("?") else "."
        return Outcome(problem=f"{self.shown} cannot be read: {why}{end}", is_outage=True)
