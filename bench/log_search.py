"""What a search of the structured log costs: `python -m bench.log_search --lines 1000000`.

The lines go through the real pipeline and file sink, rotated files included.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from proletto_otel.core import config
from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.search.block_index import Indexes
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.logs.search.search import LogSearch
from proletto_otel.setup import logs
from proletto_otel.setup.log_search import log_search
from proletto_otel.state.store import Store
from proletto_otel.state.viewing import Viewing

MB = 1e6


def write(lines: int) -> list[str]:
    """Log requests of about three lines each, one in thirty failing; some of their IDs."""
    shop, chance, known = get_logger("shop.orders"), random.Random(7), []
    written = number = 0
    while written < lines:
        number += 1
        identifier = f"{chance.getrandbits(128):032x}"
        context = RequestContext(identifier, identifier, identifier[:16])
        context.user_id = f"user-{chance.randrange(5000)}"
        token = enter(context)
        shop.info("order loaded", order=number, items=chance.randrange(9), path="/orders/<int:id>")
        shop.info("price computed", order=number, total=chance.randrange(99999), currency="EUR")
        if chance.random() < 0.1:
            shop.error("payment refused", order=number, component="pay", reason="limit reached")
        leave(token)
        written += 3 if chance.random() < 0.1 else 2
        if number % 1000 == 0:
            known.append(identifier)
    return known


def measure(name: str, search: Callable[[], object], times: int = 5) -> None:
    """Print the median CPU time of some runs, and what the last one said."""
    took = []
    for _ in range(times):
        began = time.process_time()
        answer = search()
        took.append((time.process_time() - began) * 1000)
    print(f"{name:<46} {statistics.median(took):8.2f} ms   {answer}")


def to_the_end(search: LogSearch, query: LogQuery) -> str:
    """Follow the cursor until everything was searched."""
    cursor, calls, found, worst = None, 0, 0, 0.0
    while calls == 0 or cursor is not None:
        page = search.search(query, cursor=cursor)
        cursor, calls, found = page.cursor, calls + 1, found + len(page.lines)
        worst = max(worst, page.took_ms)
    return f"{found} found in {calls} calls of at most {worst:.0f} ms"


def first(search: LogSearch, query: LogQuery) -> str:
    """One call."""
    page = search.search(query, limit=100)
    return f"{len(page.lines)} lines, {page.searched_bytes / MB:.1f} MB read"


def main() -> None:
    """Write, search without and with index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    lines = parser.parse_args().lines
    directory = Path(tempfile.mkdtemp(prefix="log-search-"))
    values = {
        "log_dir": str(directory), "log_console": False, "log_json_max_bytes": 100_000_000,
        "log_backups": 20, "log_max_bytes": 1_000_000, "capture_uncaught": False,
    }  # fmt: skip
    made, _ = config.load(values, {}, {})
    installed, _ = logs.install(made)
    groups = ErrorGroups(Store(directory / "state"))
    pipeline.listen(groups.count, logs=False)
    pipeline.hand_over()
    known = write(lines)
    groups.write_down()
    pipeline.deferred.flush()
    found = log_search(pipeline.sinks, directory / "state", Viewing(None))
    # CPU time also for the budget of a call: other programs on the machine do not count
    search = LogSearch(
        found.path, indexes=Indexes(directory / "state" / "log_index"), clock=time.process_time
    )
    both = LogSearch(
        found.path, indexes=Indexes(directory / "state" / "log_index"), clock=time.process_time,
        errors=groups,
    )  # fmt: skip
    files = [path for path in directory.glob("*_structured.json*") if path.suffix != ".lock"]
    size = sum(path.stat().st_size for path in files)
    print(f"{lines:,} lines, {size / MB:.0f} MB in {len(files)} files")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    oldest = LogQuery(request_id=known[len(known) // 10])
    measure("newest 100 errors", lambda: first(search, LogQuery(level="ERROR")))
    measure("the same, stored errors too", lambda: first(both, LogQuery(level="ERROR")))
    measure("newest 100 lines", lambda: first(search, LogQuery()))
    measure("the same, stored errors too", lambda: first(both, LogQuery()))
    measure("newest 100 of a text", lambda: first(search, LogQuery(text="limit reached")))
    measure("request ID, no index", lambda: to_the_end(search, oldest), 3)
    measure("absent text", lambda: to_the_end(search, LogQuery(text="no such words")), 3)
    cpu = time.process_time()
    while search.index_some():
        pass
    took = time.process_time() - cpu
    held = sum(path.stat().st_size for path in (directory / "state" / "log_index").iterdir())
    print(f"index: {size / MB / took:.0f} MB/s, {held / MB:.2f} MB")
    to_the_end(search, oldest)
    measure("request ID, with index", lambda: to_the_end(search, oldest), 9)
    absent = LogQuery(request_id="0" * 32)
    measure("absent request ID, with index", lambda: to_the_end(search, absent), 9)
    measure("level CRITICAL, with index", lambda: to_the_end(search, LogQuery(level="CRITICAL")))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"memory: {grown / 1000:.1f} MB more at most")
    installed.uninstall()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
