"""Runs examples, each in a process and a folder of its own; a script for `test_examples`.

    python run_blocks.py FOLDER < blocks.json

The libraries are imported once, before anything is set up; each example runs in a fork of that
state and leaves its output in FOLDER/<n>/output. Prints the exit statuses as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import flask  # noqa: F401  imported once for all examples

import proletto_otel.error_logging
import proletto_otel.monitoring
import proletto_otel.monitoring_routes  # noqa: F401
from tests.waiting import PATIENCE_S, until


def main() -> None:
    """Run all blocks one after the other."""
    folder = Path(sys.argv[1])
    statuses = []
    for number, block in enumerate(json.load(sys.stdin)):
        place = folder / str(number)
        place.mkdir(parents=True)
        if (child := os.fork()) == 0:
            run(block, place)
            return  # through the interpreter's ordinary exit
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


def run(block: dict[str, Any], place: Path) -> None:
    """Run one block here: given, code, check, in one namespace."""
    signal.alarm(int(PATIENCE_S))
    output = os.open(place / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(place)
    os.environ["LOG_DIR"] = str(place / "logs")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for part, line in (("given", 1), ("code", block["line"]), ("check", 1)):
        if part == "check":
            namespace |= {"records": records, "eventually": until, "text_of": text_of}
        source = "\n" * (line - 1) + block[part]
        name = block["page"] if part == "code" else f"<{part} of {block['page']}:{block['line']}>"
        exec(compile(source, name, "exec"), namespace)


def records(**facts: object) -> list[dict[str, Any]]:
    """Lines of the structured log file that have these facts."""
    found = [json.loads(line) for line in text_of("proletto_structured.json").splitlines()]
    return [r for r in found if all(r.get(key) == value for key, value in facts.items())]


def text_of(name: str) -> str:
    """Content of a log file; empty when there is none."""
    path = Path(os.environ["LOG_DIR"]) / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
