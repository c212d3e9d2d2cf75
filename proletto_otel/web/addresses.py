"""Addresses of the admin pages, below the mount point and the prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from flask import request
from markupsafe import Markup

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.web.asked import Asked
from proletto_otel.web.ranges import PARAMETERS
from proletto_otel.web.site import Site

_CAPTURED = lazy_pattern(r"<(?:path:)?(\w+)>")
"""What the rule of a page takes from the address."""


def home(site: Site) -> str:
    """The path of the first page, below the mount point."""
    return "/" + site.config.admin_prefix.strip("/")


def cookie_path(site: Site) -> str:
    """Where browsers send our cookies."""
    return f"{request.script_root}{home(site)}"


def base_of(asked: Asked) -> str:
    """Where the pages begin: the mount point and the prefix."""
    return f"{request.script_root}{home(asked.site)}".rstrip("/")


def kept_of(asked: Asked) -> dict[str, str]:
    """What every link keeps of the address: the time range, all hosts, without failed requests."""
    names = (*PARAMETERS, "hosts", "without")
    return {name: asked.query[name] for name in names if name in asked.query}


def kept_form(asked: Asked) -> Markup:
    """The same as fields of a form."""
    field = Markup('<input type="hidden" name="{}" value="{}">')
    return Markup("").join(field.format(name, value) for name, value in kept_of(asked).items())


def changer(asked: Asked, path: str) -> Callable[..., str]:
    """Makes the address of this page, whose rule is *path*, with other parameters."""
    query, found = dict(asked.query), f"{request.script_root}{request.path}"
    if request.path.endswith("/api/live"):  # new values for a page: the address is that page's
        query.pop("page", None)
        captured = {name: query.pop(name, "") for name in _CAPTURED.findall(path)}
        filled = _CAPTURED.sub(lambda match: quote(captured[match[1]], safe=""), path)
        found = f"{base_of(asked)}{filled}"

    def here(**changes: str | None) -> str:
        """This page's address; None takes a parameter away."""
        wanted = {name: v for name, v in {**query, **changes}.items() if v is not None}
        return found + (f"?{urlencode(wanted)}" if wanted else "")

    return here


def linker(asked: Asked) -> Callable[..., str]:
    """Makes the addresses of pages."""
    base, kept = base_of(asked), kept_of(asked)

    def link(path: str, **query: Any) -> str:
        """The address of a page, with the range of this one."""
        found = {k: str(v) for k, v in {**kept, **query}.items() if v not in (None, "")}
        return f"{base}{path}" + (f"?{urlencode(found)}" if found else "")

    return link
