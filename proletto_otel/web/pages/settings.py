"""Every setting with its value, unless it is secret, and where that came from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from proletto_otel.core.config import ENVIRONMENT, SETTINGS, Config
from proletto_otel.core.parsing import Secret

DEFAULT = "default"
FILES = (".env", ".flaskenv")
"""What `flask`, and others, read into the environment; the stronger first."""


def settings(config: Config) -> list[dict[str, Any]]:
    """What somebody set first."""
    rows = [
        {
            "name": row.name,
            "env": row.env[0],
            "value": _shown(getattr(config, row.name), row.is_secret),
            "is_set": row.name in config.origins,
            "origin": _origin(config.origins.get(row.name, DEFAULT)),
            "meaning": row.meaning,
        }
        for row in SETTINGS
    ]
    return sorted(rows, key=lambda row: (not row["is_set"], str(row["env"])))


def _origin(origin: str) -> str:
    """*origin*, or the file that put a variable into the environment."""
    source, _, variable = origin.partition(" ")
    if source != ENVIRONMENT:
        return origin
    for name, values in _files().items():
        if values.get(variable) == os.environ.get(variable):
            return f"{name} {variable}"
    return origin


@cache
def _files() -> Mapping[str, Mapping[str, str]]:
    """What these files in the working directory say; read once, as by `flask`."""
    found: dict[str, Mapping[str, str]] = {}
    for name in FILES:
        with contextlib.suppress(OSError, ValueError):
            found[name] = dict(map(_pair, Path(name).read_text("utf-8").splitlines()))
    return found


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip().removeprefix("export ").strip(), value.strip().strip("\"'")


def _shown(value: Any, secret: bool) -> str:
    if secret or isinstance(value, Secret):
        return "•••" if value else "not set"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "–"
    return str(value) if value != "" else "–"
