"""Addresses of the admin pages, below the mount point and the prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import request
from markupsafe import Markup

from proletto_otel.web.asked import Asked
from proletto_otel.web.site import Site


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
    """What every link keeps of the address: the time range, and whether all hosts are meant."""
    return {name: asked.query[name] for name in ("range", "hosts") if name in asked.query}


def kept_form(asked: Asked) -> Markup:
    """The same as fields of a form."""
    field = Markup('<input type="hidden" name="{}" value="{}">')
    return Markup("").join(field.format(name, value) for name, value in kept_of(asked).items())


def changer(asked: Asked) -> Callable[..., str]:
    """Makes the address of this page with other parameters."""

    def here(**changes: str | None) -> str:
        """This page's address; None takes a parameter away."""
        wanted = {**asked.query, **changes}
        found = {name: value for name, value in wanted.items() if value is not None}
        return f"{request.script_root}{request.path}" + (f"?{urlencode(found)}" if found else "")

    return here


def linker(asked: Asked) -> Callable[..., str]:
    """Makes the addresses of pages."""
    base, kept = base_of(asked), kept_of(asked)

    def link(path: str, **query: Any) -> str:
        """The address of a page, with the range of this one."""
        found = {k: str(v) for k, v in {**kept, **query}.items() if v not in (None, "")}
        return f"{base}{path}" + (f"?{urlencode(found)}" if found else "")

    return link
