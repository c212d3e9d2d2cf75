"""The name of each field of a record is written once; no name stands twice in a record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core.conventions import EXCEPTION_TYPE, LOG_FIELDS, REQUEST_ID, RESERVED_FACTS
from proletto_otel.logs.api.loggers import logger
from tests.logs.conftest import Room
from tests.waiting import PATIENCE_S

RENAMED = """
import json, re, sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
package, names, found = "proletto_otel.core.conventions", json.loads(sys.argv[1]), []
read = SourceFileLoader.get_code
def renamed(loader, fullname):
    if not fullname.startswith(package):
        return read(loader, fullname)
    source = Path(loader.path).read_text()
    for name in names:
        pattern, new = rf'^([A-Z_]+) = "{name}"$', rf'\\1 = "my_{name}"'
        source, count = re.subn(pattern, new, source, flags=re.M)
        found.extend([name] * count)
    return compile(source, loader.path, "exec", dont_inherit=True)
SourceFileLoader.get_code = renamed
import proletto_otel.core.conventions
assert sorted(found) == sorted(names), found

"""
RECORDED = """
from types import SimpleNamespace
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from proletto_otel.core import config, context
from proletto_otel.logs.api.loggers import logger
from proletto_otel.logs.format.json import json_line
from proletto_otel.logs.record.breadcrumbs import crumb
from proletto_otel.setup import logs as logs_setup
made, _ = config.load({"log_dir": sys.argv[2], "capture_uncaught": False}, {}, {})
sent = []
logs, _ = logs_setup.install(made, otlp=sent.extend)
with context.background() as job:
    job.trace_id, job.span_id = "a" * 32, "b" * 16
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("failed", timestamp=1, my_timestamp=2)
    whole = dict(method="GET", route="/", path="/", status=200, duration_s=0.1, response_size=5,
                 client="::1", end_ns=1, thread_id=1, user_id="u", sampled=True, raw_ids=b"")
    ids = dict(request_id="r-1", trace_id=job.trace_id, span_id=job.span_id)
    logs.access.finished(SimpleNamespace(**whole, **ids))
logs.flush(1e12)
print(json.dumps([[a.key for a in LogRecord.FromString(item).attributes] for item in sent]))
"""
ROOT = Path(__file__).resolve().parents[2]
IN_OTLP = ("request_id", "logger")
"""The others are fields of OpenTelemetry's record, or have names of its conventions."""


def test_every_output_follows_a_name(tmp_path: Path) -> None:
    """Another name in `conventions` is the name in every JSON, text and OpenTelemetry record."""
    done = subprocess.run(
        [sys.executable, "-c", RENAMED + RECORDED, json.dumps(LOG_FIELDS), str(tmp_path)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert "" == done.stderr
    sent = json.loads(done.stdout.splitlines()[-1])
    lines = (tmp_path / "proletto_structured.json").read_text().splitlines()
    error, access = (json.loads(line) for line in lines)

    assert [f"my_{name}" for name in LOG_FIELDS] == list(error)[: len(LOG_FIELDS)]
    assert (1, 2) == (error["timestamp"], error["my_timestamp_"])
    assert [f"my_{name}" for name in LOG_FIELDS[:13]] == list(access)[:13]
    assert not set(LOG_FIELDS) & set(access)
    for keys in sent:
        assert {f"my_{name}" for name in IN_OTLP} <= set(keys)
        assert not set(IN_OTLP) & set(keys)
    text = (tmp_path / "proletto.log").read_text()
    assert 2 == text.count(" my_request_id=")
    assert " request_id=" not in text


READ = """
from proletto_otel.core.conventions import LOG_FIELDS
from proletto_otel.errors import occurrence_rows
whole = dict.fromkeys(LOG_FIELDS, "x") | {occurrence_rows.EXCEPTION: {}}
print(json.dumps([*json.loads(occurrence_rows._cut(json.dumps(whole).encode()))]))
from proletto_otel.cli import doctor_loop
asked = []
class Stores:
    def find(self, what, ask, remedy): return [ask()]
    def store(self, name, path, **query):
        asked.append(query["query"])
        return {"data": {"result": {"values": []}}}
doctor_loop.log_line_arrives(Stores(), doctor_loop.Marked(service="shop", request_id="r-1"))
print(json.dumps(asked))
if sys.version_info >= (3, 11):
    from tools.dashboards import errors, service
    print(json.dumps([page.dashboard().json() for page in (errors, service)]))
"""


def test_what_reads_records_follows_a_name(tmp_path: Path) -> None:
    """Stored errors, `doctor` and Grafana's dashboards ask for the name that records have."""
    done = subprocess.run(
        [sys.executable, "-c", RENAMED + READ, json.dumps(["request_id"]), str(tmp_path)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=ROOT,
    )  # fmt: skip
    assert "" == done.stderr
    stored, asked, *dashboards = done.stdout.splitlines()

    assert "my_request_id" in json.loads(stored)
    assert ['{service_name="shop"} | my_request_id="r-1"'] == json.loads(asked)
    for text in dashboards:
        assert "span.my_request_id" in text
        assert "| my_request_id=~" in text
        assert "span.request_id" not in text
        assert "| request_id" not in text


def test_the_collector_keeps_the_name() -> None:
    """Its file cannot import the name."""
    config = (ROOT / "collector/config.yaml").read_text()
    assert f'["{EXCEPTION_TYPE}", "{REQUEST_ID}"]' in config


@pytest.mark.parametrize("name", sorted(RESERVED_FACTS))
def test_fact_of_a_reserved_name_stands_once(room: Callable[..., Room], name: str) -> None:
    """A caller's fact never takes the place of a field: it gets a trailing underscore."""
    made = room()
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("event", **{name: "mine", f"{name}_": "other"})

    pairs = json.loads(made.text("_structured.json"), object_pairs_hook=list)
    keys = Counter(key for key, _ in pairs)
    assert {1} == set(keys.values())
    assert {"mine", "other"} == {value for key, value in pairs if key.startswith(f"{name}_")}
    sent = Counter(attribute.key for attribute in made.otlp[0].attributes)
    assert {1} == set(sent.values())
