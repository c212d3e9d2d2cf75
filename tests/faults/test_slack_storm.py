"""A storm of critical errors over eight workers: three voices, exact counts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.slack_server import SlackServer
from tests.waiting import until

WORKERS = 8
EACH = 1250
ERRORS = 3

WORKER = """
import json, sys, time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from proletto_otel.core import config
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.notify.slack.client import SlackClient
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.notify.error_notifier import ErrorNotifier
from proletto_otel.state.store import Store

url, state, each, window = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
settings, _ = config.load(
    {"slack_webhook_url": url, "slack_allow_insecure": True, "slack_window_s": window}, {}, {}
)
sink = ErrorNotifier(SlackClient.of(settings).post, Store(state), settings)
pipeline.use([sink])
log = get_logger("shop")

def first(n): log.critical("payment %s failed", n)
def second(n): log.critical("stock of %s is negative", n)
def third(n): log.critical("mail %s lost", n)

print("ready", flush=True)
sys.stdin.readline()
sink.start()
for n in range(each):
    (first, second, third)[n % 3](n)
    if n % 50 == 0:
        time.sleep(0.01)
done = sink.flush(time.monotonic() + 300)
print(json.dumps([done, ledger.totals()["slack"]]), flush=True)
sys.stdin.readline()
sink.stop(time.monotonic() + 2)
"""


def test_storm(tmp_path: Path) -> None:
    """10,000 criticals of 3 kinds: one first message each, summaries with the exact rest."""
    with SlackServer() as slack, crew(WORKERS, slack, tmp_path, window_s=6.0) as workers:
        for worker in workers:
            tell(worker)
        reports = [read(worker) for worker in workers]
        until(lambda: told(slack) == WORKERS * EACH, "all records are told")
        until(lambda: len(titles(slack, "RESOLVED")) == ERRORS, "three ends")

    for report in reports:
        assert report.startswith('[true, {"emitted": 1250, "delivered": 1250')
    firsts = [title for title in titles(slack, "CRITICAL") if "×" not in title]
    assert ERRORS == len(firsts)
    assert ERRORS <= len(titles(slack, "×")) <= 2 * ERRORS
    assert ERRORS == len(titles(slack, "RESOLVED"))
    times = sorted(message.at for message in slack.messages)
    assert times[-1] - times[0] >= len(times) - 2, "one message a second for the whole host"


def test_slow_slack_holds_no_caller(tmp_path: Path) -> None:
    """While Slack does not answer, logging goes on and the message follows."""
    with SlackServer() as slack, crew(1, slack, tmp_path, window_s=300.0) as (worker,):
        slack.answer(200, delay_s=5.0, body="late")
        tell(worker)
        report = read(worker)

    assert report.startswith('[true, {"emitted": 1250, "delivered": 1250')
    assert len(slack.messages) >= ERRORS


@contextmanager
def crew(
    size: int, slack: SlackServer, directory: Path, window_s: float
) -> Iterator[list[subprocess.Popen[str]]]:
    """Worker processes that are ready to begin; they end with the block."""
    arguments = [slack.webhook_url, str(directory / "state"), str(EACH), str(window_s)]
    with ExitStack() as stack:
        workers = []
        for _ in range(size):
            worker = subprocess.Popen(
                [sys.executable, "-c", WORKER, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(worker)
            stack.callback(worker.kill)
            workers.append(worker)
        for worker in workers:
            assert "ready\n" == read(worker)
        yield workers


def read(worker: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert worker.stdout is not None
    return worker.stdout.readline()


def tell(worker: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def titles(slack: SlackServer, part: str) -> list[str]:
    """Titles of messages that hold *part*."""
    return [message.title for message in slack.messages if part in message.title]


def told(slack: SlackServer) -> int:
    """Records that first messages and summaries stand for."""
    counts = [re.search(r"×(\d+)", title) for title in titles(slack, "CRITICAL")]
    return sum(int(found.group(1)) if found else 1 for found in counts)
