"""Modules and files that docstrings and pages name are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

PACKAGE = ROOT / "proletto_otel"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PAGES = [
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "docs/*.md", "bench/*.md", "examples/**/*.md")
    for path in sorted(ROOT.glob(pattern))
]
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.stem[0] not in "_." and path.stem != "py"}
RUN_TIME_FOLDERS = {"rejected/", "alerting/", "datasources/", "docker-compose.override.yml"}
"""What only a running program or a user makes, and folders of other programs."""

OF_OTHERS = {"env.py", "queue.Queue", "redis.Redis", "store.sqlite", "structlog.configure"}
"""Names of other libraries and files that begin as a room or a module of ours."""

_CODE = re.compile(r"`+([^`\n]+)`+")
_DOTTED = re.compile(r"[a-z_]\w*(\.\w+)+")
_PATH = re.compile(r"[\w.-]+(/[\w.-]+)*(\.(py|sh|yaml|yml|toml|md)|/)")


def named(path: Path) -> Iterator[tuple[int, str]]:
    """What stands between backticks, with its line."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        yield from ((number, text) for text in _CODE.findall(line))


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_named_modules_and_files_exist(path: Path) -> None:
    """A reader who follows a pointer arrives."""
    dead = [(line, text) for line, text in named(path) if not leads_somewhere(text, path)]

    assert [] == dead


def leads_somewhere(text: str, path: Path) -> bool:
    """Whether a name in a source or page is none of ours, or is there."""
    if text in OF_OTHERS:
        return True
    if _PATH.fullmatch(text):
        return text in RUN_TIME_FOLDERS or file_exists(text, path)
    if _DOTTED.fullmatch(text) and starts_here(text, path):
        absolute = text.removeprefix("proletto_otel.").split(".")
        inside = PACKAGE in path.parents
        return is_there(PACKAGE, absolute) or (inside and is_there(path.parent, absolute))
    return True


def starts_here(text: str, path: Path) -> bool:
    """Whether the first part is this package, a room, or a module beside *path*."""
    first = text.split(".")[0]
    beside = PACKAGE in path.parents and path.with_name(f"{first}.py").exists()
    return first in ROOMS or first == "proletto_otel" or beside


def file_exists(text: str, path: Path) -> bool:
    """Whether a path leads somewhere from the top, the package, or where it is written."""
    return any((folder / text).exists() for folder in (ROOT, PACKAGE, path.parent))


def is_there(folder: Path, parts: list[str]) -> bool:
    """Whether a dotted name is a module below *folder*, or something that a module defines."""
    module = folder.joinpath(*parts)
    if module.is_dir() or module.with_suffix(".py").exists():
        return True
    for length in range(len(parts) - 1, 0, -1):
        owner = folder.joinpath(*parts[:length])
        for source in (owner.with_suffix(".py"), owner / "__init__.py"):
            if source.exists() and parts[length] in defined(source):
                return True
    return False


@cache
def defined(source: Path) -> frozenset[str]:
    """Names that a module binds anywhere: functions, classes, attributes, fields, imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return frozenset(found)


def test_a_dead_pointer_is_found() -> None:
    """A module that moved, a class that is gone and a file that never was are seen."""
    here = PACKAGE / "alerts" / "states.py"

    for dead in ("export.lane", "alerts.states.Nobody", "states.gone", "docs/nothing.md", "dash/"):
        assert not leads_somewhere(dead, here), dead
    for fine in ("alerts.states", "states.advance", "docs/runbook.md", "app.config", "core/"):
        assert leads_somewhere(fine, here), fine
