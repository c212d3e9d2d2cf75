"""A process that exports for the delivery tests: emits spans and logs, obeys lines on stdin.

Run by `Emitter`; each command is answered with one line of JSON. Record IDs are `<run>-<number>`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_S, until

ROOT = Path(__file__).parent.parent.parent
Plain = dict[str, Any]


class Emitter:
    """The process, seen from a test. Use as a context manager.

    Args:
        url: The collector.
        state: State directory, shared with the process's successors.
        run: Name of the run; part of every record's ID.
        rate: Requests a second; each is one span and two log records.
    """

    def __init__(self, url: str, state: Path, run: str = "a", rate: int = 100, **more: str) -> None:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "PYTHONPATH": str(ROOT), **more}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.emitter", str(state), run, str(rate)],
            cwd=ROOT, env=os.environ | environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.ask("totals")

    def __enter__(self) -> Emitter:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ask(self, command: str) -> Plain:
        """Give a command and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer: Plain = json.loads(self.process.stdout.readline())
        return answer

    def law(self) -> Plain:
        """Check emitted = delivered + spooled + dropped + pending; give the totals.

        A record on its way from one count to the next is in neither for a moment: look again.
        """
        self.ask("pause")
        totals: Plain = until(lambda: (t := self.ask("totals")) and not misses(t) and t)
        return totals

    def stop(self) -> Plain:
        """End in order; give the last totals."""
        totals = self.ask("stop")
        self.process.communicate(timeout=PATIENCE_S)
        assert {} == misses(totals)
        return totals

    def kill(self) -> None:
        """`kill -9`."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


def misses(totals: Plain) -> Plain:
    """By how much the loss law fails, by signal; empty when it holds."""
    found: Plain = {}
    for sink, counts in totals["ledger"].items():
        known = counts["delivered"] + counts["spooled"] + sum(counts["dropped"].values())
        if counts["emitted"] != known + totals["pending"][sink]:
            found[sink] = counts["emitted"] - known - totals["pending"][sink]
    return found


def dropped(totals: Plain) -> Plain:
    """Losses of both signals by reason."""
    found: Plain = {}
    for counts in totals["ledger"].values():
        for reason, n in counts["dropped"].items():
            if n:
                found[reason] = found.get(reason, 0) + n
    return found


class Process:
    """The inside."""

    def __init__(self, state: Path, run: str, rate: int) -> None:
        from proletto_otel.core.config import load
        from proletto_otel.core.metrics.registry import registry
        from proletto_otel.export.exporter import OtlpExporter

        self.run, self.rate, self.state = run, rate, state
        self.exporter = OtlpExporter(load({}, {}, os.environ)[0], state, None, registry.collect)
        self.emitting = threading.Event()
        self.turn = threading.Lock()
        self.number = 0
        self.slowest_s = 0.0
        self.shift_s = 0.0
        self.exporter.start()
        threading.Thread(target=self.emit_for_ever, daemon=True).start()

    def emit_for_ever(self) -> None:
        """One request after the other, at the rate."""
        while True:
            self.emitting.wait()
            began = time.monotonic()
            with self.turn:
                for _ in range(max(1, self.rate // 100)):
                    self.emit()
            time.sleep(max(0.0, 0.01 * max(1, 100 // self.rate) - (time.monotonic() - began)))

    def emit(self) -> None:
        """What a request does: one span, two log records."""
        from proletto_otel.export.encoding import otlp

        self.number += 1
        uid = f"{self.run}-{self.number}"
        span = otlp.span(
            trace_id=os.urandom(16), span_id=os.urandom(8), name="GET /", kind=2,
            start_ns=time.time_ns(), end_ns=time.time_ns(),
            attributes=otlp.span_attribute("uid", uid) + otlp.span_attribute("pad", "x" * 200),
        )  # fmt: skip
        records = [
            otlp.log_record(
                time_ns=time.time_ns(), severity_number=9, severity_text="INFO", body="paid",
                attributes=otlp.log_attribute("uid", f"{uid}-{i}"),
            )
            for i in range(2)
        ]  # fmt: skip
        began = time.perf_counter()
        self.exporter.traces.put(span)
        for record in records:
            self.exporter.logs.put(record)
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)

    def totals(self) -> Plain:
        """Everything a test wants to know, with nobody emitting meanwhile."""
        from proletto_otel.core.metrics.delivery import ledger
        from proletto_otel.core.metrics.registry import registry

        errors = [f for f in registry.collect() if f.name == "proletto.telemetry.internal_errors"]
        with self.turn:
            sinks = {f"otlp_{s}": self.exporter.pending(s) for s in ("traces", "logs")}
            counts = ledger.totals()
        return {
            "requests": self.number,
            "ledger": {sink: dict(counts[sink]) for sink in sinks if sink in counts},
            "pending": sinks,
            "status": self.exporter.status()["signals"],
            "slowest_put_s": self.slowest_s,
            "rss": int(Path("/proc/self/statm").read_text().split()[1])
            * os.sysconf("SC_PAGE_SIZE"),
            "errors": {p.attributes[0][1]: p.value for f in errors for p in f.points},
        }

    def obey(self, command: str) -> Plain:
        """One command."""
        name, _, argument = command.partition(" ")
        if name == "go":
            self.emitting.set()
        elif name == "pause":
            self.emitting.clear()
        elif name == "emit":
            with self.turn:
                for _ in range(int(argument)):
                    self.emit()
        elif name == "murder":
            self.murder()
        elif name == "clock":
            self.shift_s += float(argument)
        elif name == "delete":
            shutil.rmtree(self.state / "spool")
        elif name == "flush":
            self.exporter.flush(time.monotonic() + 10)
        elif name == "stop":
            return self.stop()
        return self.totals()

    def stop(self) -> Plain:
        """End as an exit does."""
        self.emitting.clear()
        with self.turn:
            began = time.monotonic()
            self.exporter.stop(began + 5.0)
            took_s = time.monotonic() - began
        return self.totals() | {"took_s": took_s}

    def murder(self) -> None:
        """Raise SystemExit in the export thread, wherever it is."""
        import ctypes
        import threading

        (thread,) = (t for t in threading.enumerate() if t.name == "proletto-export")
        raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )
        assert raised == 1


def resident_bytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(state: str, run: str, rate: str) -> None:
    """Serve commands until stdin ends."""
    real, real_ns, shift = time.time, time.time_ns, [0.0]
    # before anything of ours is imported, so that every module sees the shifted clock
    time.time = lambda: real() + shift[0]
    time.time_ns = lambda: real_ns() + int(shift[0] * 1e9)
    if os.environ.get("LEASE_S"):
        from proletto_otel.export.spool import directory as spool_directory

        spool_directory.LEASE_S = float(os.environ["LEASE_S"])
    process = Process(Path(state), run, int(rate))
    for line in sys.stdin:
        answer = process.obey(line.strip())
        shift[0] = process.shift_s
        print(json.dumps(answer), flush=True)
        if line.strip() == "stop":
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
