"""What may be wrong with log files: rotation while one reads, torn, foreign and huge lines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core.errors import ConfigError
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.search import blocks
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.logs.search.search import GONE, LogSearch
from proletto_otel.setup.log_search import log_search
from proletto_otel.state.viewing import Viewing
from tests.logs.search.conftest import Log
from tests.logs.search.test_search import serve

shop = get_logger("shop")

WRITER = """
import sys
from proletto_otel import setup_telemetry
from proletto_otel.core.context import background
from proletto_otel.error_logging import get_logger
telemetry = setup_telemetry(log_dir=sys.argv[1], log_console=False, log_json_max_bytes=100_000,
    log_backups=200, capture_uncaught=False)
for n in range(int(sys.argv[3])):
    with background(request_id=f"w{sys.argv[2]}-{n}"):
        get_logger("w").info("job begins", number=n)
        get_logger("w").error("job failed", number=n)
telemetry.shutdown()
"""


def structured(log: Log) -> Path:
    """The file that is searched."""
    assert log.search.path is not None
    return log.search.path


def test_many_processes_rotating(tmp_path: Path) -> None:
    """What several processes write is all found, while they write and rotate and afterwards."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    subprocess.run([*command, "first", "1"], check=True)
    search = LogSearch(tmp_path / "proletto_structured.json")
    cursor, seen = search.tail().cursor, []
    workers = [subprocess.Popen([*command, str(number), "400"]) for number in range(3)]
    while any(worker.poll() is None for worker in workers):
        page = search.tail(cursor)
        cursor, seen = page.cursor, [*seen, *page.lines]
        assert not page.gone
    until = time.monotonic() + 60
    while sum(line.logger == "w" for line in seen) < 2400 and time.monotonic() < until:
        page = search.tail(cursor)
        cursor, seen = page.cursor, [*seen, *page.lines]
    assert [0, 0, 0] == [worker.returncode for worker in workers]

    assert len(list(tmp_path.glob("*_structured.json.*"))) > 5
    ids = {f"w{worker}-{n}" for worker in range(3) for n in range(400)}
    found: list[str] = []
    cursor = None
    errors = LogQuery(level="ERROR", since=seen[0].at)
    while found == [] or cursor is not None:
        page = search.search(errors, cursor=cursor, budget_s=2)
        cursor, found = page.cursor, found + [line.request_id for line in page.lines]
    assert (1200, ids) == (len(found), set(found))  # the first one was before
    assert ["job begins", "job failed"] == [
        line.message for line in search.of_request("w1-7", budget_s=2).lines
    ]
    # a tail that began before the first line has each one once
    tailed = [line.cursor for line in seen if line.request_id in ids]
    assert (2400, 2400) == (len(tailed), len(set(tailed)))


def test_cursor_survives_rotation(log: Callable[..., Log]) -> None:
    """A page goes on where it was when files were renamed meanwhile."""
    made = log(log_json_max_bytes=20_000, log_backups=50)
    for number in range(100):
        shop.info("first %s", number)
    page = made.search.search(limit=5)
    for number in range(300):
        shop.info("later %s", number)

    rest = made.search.search(cursor=page.cursor, limit=1000)
    found = [line.message for line in (*page.lines, *rest.lines)]
    assert [f"first {n}" for n in range(99, -1, -1)] == found


def test_cursor_of_a_deleted_file(log: Callable[..., Log]) -> None:
    """Where a file is gone the page says so, also when its inode number is used again."""
    made = log(log_json_max_bytes=20_000, log_backups=2)
    shop.info("the first")
    (line,) = made.search.search().lines
    for number in range(400):
        shop.info("later %s", number)

    for page in (made.search.search(cursor=line.cursor), made.search.around(line.cursor)):
        assert (True, (GONE,), ()) == (page.gone, page.notes, page.lines)
    tail = made.search.tail(line.cursor)
    assert tail.gone
    assert made.search.tail(tail.cursor).complete
    again = made.search.tail("ffff-1-0")
    assert again.gone
    assert made.search.search(cursor="no cursor").problem


def test_torn_last_line(log: Callable[..., Log]) -> None:
    """A line that is being written is not shown; when it is whole, the tail has it."""
    made = log()
    shop.info("whole")
    tail = made.search.tail()
    shop.info("next")
    line = structured(made).read_bytes().splitlines()[-1] + b"\n"
    with structured(made).open("ab") as file:
        file.write(line[:50])
        file.flush()
        assert ["next", "whole"] == [found.message for found in made.search.search().lines]
        first = made.search.tail(tail.cursor)
        assert ["next"] == [found.message for found in first.lines]
        file.write(line[50:])
    assert ["next"] == [found.message for found in made.search.tail(first.cursor).lines]


def test_foreign_lines(log: Callable[..., Log]) -> None:
    """Plain text, other JSON and bytes that are no UTF-8 disturb nothing; they are counted."""
    made = log()
    shop.info("before")
    with structured(made).open("ab") as file:
        file.write(b"plain text\n[1, 2]\n\n")
        file.write(b'{"timestamp":"2026-01-31T08:00:00.000","level":"INFO","message":"caf\xe9"}\n')
        file.write(b'{"timestamp":17,"message":{"a":NaN}}\n')
    shop.info("after")

    page = made.search.search()
    assert ["after", "{'a': nan}", "caf�", "before"] == [line.message for line in page.lines]
    assert 3 == page.unreadable
    assert 1 == len(made.search.search(LogQuery(text="CAF")).lines)


def test_lines_of_megabytes(log: Callable[..., Log]) -> None:
    """A line over 1 MB is left out and counted, whatever blocks it covers; one below is found."""
    made = log()
    shop.info("before")
    with structured(made).open("ab") as file:
        file.write(b'{"timestamp":"2026-01-31T08:00:00.000","a":"' + b"x" * 2_500_000 + b'"}\n')
        file.write(b'{"timestamp":"2026-01-31T08:00:00.000","a":"' + b"y" * 700_000 + b'"}\n')
    shop.info("after")

    page = made.search.search(budget_s=2)
    assert ["after", "", "before"] == [line.message for line in page.lines]
    assert 1 == page.unreadable
    begin = made.search.search(limit=3, budget_s=2).lines[-1]
    seen, cursor = [], begin.cursor
    for _ in range(40):
        page = made.search.tail(cursor)
        cursor, seen = page.cursor or "", [*seen, *page.lines]
    assert ["before", "", "after"] == [line.message for line in seen]


def test_nested_facts_do_not_match(log: Callable[..., Log]) -> None:
    """What a fact imitates is not taken for a field of the line."""
    made = log()
    shop.info("body", body={"level": "ERROR", "logger": "pay", "request_id": "r-1", "user_id": "u"})

    for query in ({"level": "ERROR"}, {"logger": "pay"}, {"request_id": "r-1"}, {"user": "u"}):
        assert () == made.search.search(LogQuery(**query)).lines
    assert 1 == len(made.search.search(LogQuery(text="r-1")).lines)


@pytest.mark.parametrize("text", ['say "hi"', "C:\\temp", "tab\there", "Größe", "日本", "%s", "Ω"])
def test_odd_texts(log: Callable[..., Log], text: str) -> None:
    """Quotes, backslashes and letters beyond ASCII are found, in any case."""
    made = log()
    shop.info("event", said=text)
    shop.info("event", number=10**40, said=text)  # written by the slow encoder

    shown = made.search.search().lines[0].facts["said"]
    assert 2 == len(made.search.search(LogQuery(text=shown.upper())).lines)
    assert 2 == len(made.search.search(LogQuery(text=shown.lower())).lines)


def test_patterns(log: Callable[..., Log]) -> None:
    """A regular expression that can take for ever is refused with the reason, others run."""
    made = log()
    shop.info("a" * 2000 + "!")
    for pattern in ("(a+)+$", "(a|aa)*b", r"(a)\1", "(?=a)a", "a?" * 40 + "a" * 40, "(", "x" * 999,
                    ".*.*.*.*b"):  # fmt: skip
        with pytest.raises(ConfigError, match="pattern"):
            made.search.search(LogQuery(pattern=pattern))
    for pattern in ("^a+!", "A{3}", "[ab]+", "(foo|a)a"):
        assert 1 == len(made.search.search(LogQuery(pattern=pattern)).lines), pattern
    with pytest.raises(ConfigError, match="level"):
        made.search.search(LogQuery(level="LOUD"))


def test_one_search_at_a_time(log: Callable[..., Log]) -> None:
    """While a search runs in this worker another is asked to come again; nobody waits."""
    made = log()
    shop.info("event")
    pages: list[bool] = []
    with made.search._opened():
        other = threading.Thread(target=lambda: pages.append(made.search.search().busy))
        other.start()
        other.join()
        page = made.search.tail()
        assert page.busy
        assert page.retry_after_s > 0
    assert [True] == pages
    assert not made.search.search().busy


def test_budget(log: Callable[..., Log]) -> None:
    """Out of time a search says how far it came; following its cursor finds everything once."""
    made = log(log_json_max_bytes=10_000_000)
    ids = [serve(number) for number in range(2500)]
    now = iter(range(100_000))
    search = LogSearch(structured(made), clock=lambda: float(next(now)))

    page = search.search(LogQuery(level="WARNING"), limit=1000, budget_s=0.1)
    assert not page.complete
    assert page.searched_back_to is not None
    found, calls = list(page.lines), 1
    while page.cursor is not None:
        page = search.search(LogQuery(level="WARNING"), limit=1000, cursor=page.cursor)
        found, calls = [*found, *page.lines], calls + 1
    assert calls > 3
    assert ids[::-1] == [line.request_id for line in found]


def test_time_range(log: Callable[..., Log]) -> None:
    """From and until hold, and blocks outside are not read."""
    made = log(log_json_max_bytes=10_000_000)
    for number in range(3000):
        shop.info("event %s", number)
    at = [line.at for line in made.search.search(limit=1000).lines]
    begin, end = at[700], at[300]

    page = made.search.search(LogQuery(since=begin, until=end), limit=1000)
    assert all(begin <= line.at <= end for line in page.lines)
    assert sum(begin <= moment <= end for moment in at) == len(page.lines)
    assert () == made.search.search(LogQuery(until=begin - 86_400)).lines
    assert made.search.search(LogQuery(until=begin - 86_400)).searched_bytes <= blocks.BLOCK


def test_around(log: Callable[..., Log]) -> None:
    """The lines before and after one, also across blocks."""
    made = log(log_json_max_bytes=10_000_000)
    for number in range(3000):
        shop.info("event %s", number)
    (line,) = made.search.search(LogQuery(text="event 1500")).lines

    page = made.search.around(line.cursor, before=3, after=2)
    assert [f"event {n}" for n in range(1497, 1503)] == [found.message for found in page.lines]
    oldest = made.search.search(LogQuery(text="event 0"), budget_s=2).lines[-1]
    assert ["event 0", "event 1"] == [
        found.message for found in made.search.around(oldest.cursor, after=1).lines
    ]


def test_tail_is_capped(log: Callable[..., Log]) -> None:
    """A tail returns a part of what waits and goes on, filtered if asked."""
    made = log()
    shop.info("before")
    start = made.search.tail()
    for number in range(100):
        (shop.warning if number % 10 == 0 else shop.info)("event %s", number)

    part = made.search.tail(start.cursor, max_bytes=3000)
    assert not part.complete
    assert 0 < len(part.lines) < 15
    rest = made.search.tail(part.cursor)
    assert [f"event {n}" for n in range(100)] == [
        line.message for line in (*part.lines, *rest.lines)
    ]
    assert rest.complete
    loud = made.search.tail(start.cursor, LogQuery(level="WARNING"))
    assert 10 == len(loud.lines)


def test_no_file(log: Callable[..., Log], tmp_path: Path) -> None:
    """Nothing written yet, switched off, not readable, compressed: each says so."""
    made = log()
    assert "no line was written yet" in made.search.search().problem
    shop.info("event")
    structured(made).with_name("proletto_structured.json.3.gz").write_bytes(b"x")
    assert "3.gz is damaged and not searched" in made.search.search().notes[0]
    off = log_search([], None, Viewing(None))
    assert "PROLETTO_LOG_FILES" in off.search().problem
    assert "PROLETTO_LOG_FILES" in off.tail().problem
    link = tmp_path / "proletto_structured.json"
    link.symlink_to("/etc/passwd")
    assert LogSearch(link).search().problem


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_not_readable(log: Callable[..., Log]) -> None:
    """A file of another user with mode 0640: who owns it and who we are."""
    made = log()
    shop.info("event")
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from proletto_otel.logs.search.search import LogSearch\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(LogSearch(Path(sys.argv[1])).search().problem)"
    )
    for path in (made.room.directory, *made.room.directory.parents):
        if path != Path("/") and "pytest" in str(path):
            path.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-c", script, str(structured(made))], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "cannot be read: Permission denied" in ran.stdout
    assert "belongs to" in ran.stdout
