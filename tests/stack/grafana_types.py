"""Dashboards written as TypeScript, so that its compiler compares them with Grafana's own types."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.stack.npm import SOURCES, node, packages

Board = Mapping[str, Any]


def unknown(boards: Mapping[str, Board], folder: Path) -> list[str]:
    """What Grafana's types do not have, one sentence each; *folder* is for the compiler."""
    (folder / "node_modules").symlink_to(packages() / "node_modules")
    shutil.copy(SOURCES / "known.ts", folder)
    lines = ["import type { Annotation, Custom, Dashboard, Frame, Options, Row, Target, Plain }"
             " from './known';"]  # fmt: skip
    places = [""]
    for name, board in boards.items():
        for place, kind, value in _parts(board):
            places.append(f"{name}: {place}")
            lines.append(f"export const _{len(lines)}: {kind} = {json.dumps(value)};")
    (folder / "boards.ts").write_text("\n".join(lines))
    options = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022")
    compiler = str(packages() / "node_modules/typescript/bin/tsc")
    modules = ("--module", "esnext", "--moduleResolution", "bundler")
    done = node(compiler, *options, *modules, str(folder / "boards.ts"))
    found = re.findall(r"boards\.ts\((\d+),\d+\): error \w+: (.*)", done.stdout)
    # Any other error is in the types themselves, or in how the compiler was called.
    assert len(found) == done.stdout.count(": error "), done.stdout[:3000]
    return [f"{places[int(line) - 1]}: {message}" for line, message in found]


def _parts(board: Board) -> Iterator[tuple[str, str, Any]]:
    """(place, type, value) of a dashboard, cut where the published types say `unknown`."""
    annotations = board["annotations"]["list"]
    yield "the dashboard", "Dashboard", _without(board, "panels", "annotations")
    for annotation in annotations:
        yield annotation["name"], "Annotation", annotation
    for panel in board["panels"]:
        place, kind = panel["title"], panel["type"]
        if kind == "row":
            yield place, "Row & { type: 'row' }", panel
            continue
        yield place, "Frame", _without(panel, "options", "targets")
        yield place, f"Options['{kind}']", panel["options"]
        if custom := panel["fieldConfig"]["defaults"].get("custom"):
            yield place, f"Custom['{kind}']", custom
        for target in panel.get("targets", ()):
            yield place, f"Target['{target['datasource']['type']}']", target


def _without(value: Board, *names: str) -> dict[str, Any]:
    return {key: part for key, part in value.items() if key not in names}
