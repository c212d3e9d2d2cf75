"""The stylesheet and the script: served below the prefix, by the hash of what they hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from flask import Response, abort

from proletto_otel.web.site import Site

TYPES = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    # private: an authorized visitor's shared cache must not tell others that the pages exist
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    digest: str


@cache
def asset(name: str) -> Asset:
    """The file of this name; read once."""
    body = (resources.files("proletto_otel.web") / "static" / name).read_bytes()
    return Asset(body, hashlib.sha256(body).hexdigest()[:16])


def url(base: str, name: str) -> str:
    """The address of a file below *base*, the mount point and the prefix."""
    return f"{base.rstrip('/')}/static/{asset(name).digest}/{name}"


def serve(site: Site, digest: str, name: str) -> Response:
    """The file, if it is still the one that was linked."""
    if name not in TYPES or asset(name).digest != digest:
        abort(404)
    return Response(asset(name).body, 200, dict(HEADERS), content_type=TYPES[name])
