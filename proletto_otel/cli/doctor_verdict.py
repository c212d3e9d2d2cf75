"""What `doctor` says of one check, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


class WrongError(Exception):
    """A check found something to mend."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.fix = fix


class NotAsked(Exception):
    """A check does not apply here, and why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check."""

    name: str
    state: str
    """`well`, `wrong` or `skipped`."""
    said: str
    seconds: float = 0.0
    fix: str = ""


def judge(name: str, check: Callable[[], str]) -> Verdict:
    """Run *check*: what it returns is well, a `WrongError` has its remedy."""
    began = time.monotonic()
    try:
        state, said, fix = "well", check(), ""
    except WrongError as error:
        state, said, fix = "wrong", str(error), error.fix
    except NotAsked as error:
        state, said, fix = "skipped", str(error), ""
    except Exception as error:
        # doctor is asked when things are broken, so it never breaks itself
        state, said, fix = "wrong", f"could not be checked: {error!r}", "report this line"
    return Verdict(name, state, said, round(time.monotonic() - began, 3), fix)


def skipped(name: str, why: str) -> Verdict:
    """A check that would only repeat another verdict."""
    return Verdict(name, "skipped", why)
