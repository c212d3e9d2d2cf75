"""What error groups cost: `python -m bench.error_groups --occurrences 100000`.

Records are made by the real pipeline from real tracebacks, counted, and written as the ticker does.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.log_search import to_the_end
from proletto_otel.core import config
from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.logs.search.search import LogSearch
from proletto_otel.setup import logs
from proletto_otel.state.store import Store

DEPTH = 18
"""Frames of a traceback."""


def fail(kind: type[Exception], depth: int, message: str) -> None:
    """Raise from some calls below."""
    if depth:
        fail(kind, depth - 1, message)
    raise kind(message)


def record(kinds: list[type[Exception]], chance: random.Random) -> None:
    """Log one error of a request; some kinds are far more frequent than others."""
    identifier = f"{chance.getrandbits(128):032x}"
    context = RequestContext(identifier, identifier, identifier[:16])
    context.user_id = f"user-{chance.randrange(20_000)}"
    token = enter(context)
    log = get_logger("shop")
    log.info("order loaded", order=chance.randrange(10**6))
    try:
        fail(kinds[int(len(kinds) * chance.random() ** 3)], DEPTH, f"order {identifier} refused")
    except Exception:
        log.exception("payment failed", order=chance.randrange(10**6), component="pay")
    leave(token)


def measure(name: str, read: Callable[[], object], times: int = 9) -> None:
    """Print the median CPU time of some runs."""
    took = []
    for _ in range(times):
        began = time.process_time()
        answer = read()
        took.append((time.process_time() - began) * 1000)
    print(f"{name:<40} {statistics.median(took):8.2f} ms   {answer}")


def main() -> None:
    """Write, then read as pages do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--occurrences", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=2000)
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="error-groups-"))
    made, _ = config.load(
        {"log_console": False, "log_files": False, "capture_uncaught": False}, {}, {}
    )
    installed, _ = logs.install(made)
    groups = ErrorGroups(Store(directory), version="1.4.2")
    pipeline.listen(groups.count)
    pipeline.hand_over()
    chance = random.Random(7)
    kinds = [type(f"Error{n}", (Exception,), {}) for n in range(arguments.groups)]
    writing, calls = 0.0, 0
    for number in range(arguments.occurrences):
        record(kinds, chance)
        if number % 40 == 39:
            began = time.process_time()
            groups.write_down()
            writing, calls = writing + time.process_time() - began, calls + 1
            if number % 4000 == 3999:
                groups.keep_within_limits()
    groups.write_down()
    totals = groups.totals()
    size = sum(path.stat().st_size for path in directory.glob("store.sqlite*"))
    print(f"{arguments.occurrences:,} occurrences, {sum(totals.groups.values()):,} groups")
    print(f"store: {size / 2**20:.1f} MiB, {totals.stored:,} occurrences stored in"
          f" {totals.stored_bytes / 2**20:.1f} MiB,"
          f" {totals.stored_bytes / max(totals.stored, 1):.0f} bytes each")  # fmt: skip
    print(f"writing: {writing / arguments.occurrences * 1e6:.0f} µs CPU an occurrence")
    key = groups.groups(sort="count")[0].fingerprint
    request = groups.occurrences(key)[25].request_id
    measure("list of 50 with trend", lambda: len(groups.groups()))
    measure("list by count in the last day", lambda: len(groups.groups(sort="recent")))
    measure("list of 50 with a text", lambda: len(groups.groups(query="Error17")))
    measure("groups by state", groups.count_groups)
    measure("one group, trend of 30 days", lambda: groups.group(key, trend_s=30 * 86_400) and 1)
    measure("its 50 latest occurrences", lambda: len(groups.occurrences(key)))
    measure("errors of a request", lambda: len(groups.occurrences_of_request(request)))
    measure("totals", lambda: groups.totals().stored)
    # as the log page finds errors whose lines are gone: there are no files
    search = LogSearch(None, errors=groups, clock=time.process_time)
    measure("log search: newest 50", lambda: len(search.search(limit=50).lines))
    measure("log search: its request", lambda: len(search.of_request(request).lines))
    absent = LogQuery(text="no such words")
    measure("log search: an absent text", lambda: to_the_end(search, absent), 3)
    installed.uninstall()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
