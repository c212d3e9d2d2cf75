"""The OpenAPI 3.1 document of the admin API, made of the table of pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.web import admin_api
from proletto_otel.web.actions import ACTIONS
from proletto_otel.web.pages.heat_cells import PARAMETERS as CELL_PARAMETERS
from proletto_otel.web.pages.logs import FIELDS as LOG_FIELDS
from proletto_otel.web.pages.navigation import BY_NAME
from proletto_otel.web.site import Page

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "api_errors": ("limit",),
    "api_alerts": ("limit",),
    "api_history_path_metric_": ("since",),
    "api_health_check_history": ("since",),
    "page_requests": (
        "sort",
        "callers",
        "text",
        "range",
        "from",
        "to",
        "hosts",
        "without",
        "limit",
    ),
    "page_endpoint": (
        "method",
        "route",
        "range",
        "from",
        "to",
        "hosts",
        "without",
        *CELL_PARAMETERS,
    ),
    "page_errors": ("state", "text", "sort", "version", "range", "from", "to", "limit"),
    "page_error": ("occurrence", "range", "from", "to"),
    "page_system": ("range", "from", "to", "hosts"),
    "page_health": (
        "range",
        "from",
        "to",
    ),
    "page_logs": ("range", "from", "to", "hosts", "cursor", "at", "limit", *LOG_FIELDS),
    "logs_tail": ("cursor", *LOG_FIELDS),
    "live": ("page", "range", "from", "to", "hosts", "without"),
}
"""Parameters of the address by page."""
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "page_endpoint": {
        "type": "object",
        "properties": {
            "statuses": {
                "type": "array",
                "description": "Requests of the time by exact status code",
                "items": {
                    "type": "object",
                    "required": ["status", "count", "share", "is_code_stored"],
                    "properties": {
                        "status": {
                            "type": "string",
                            "description": "404; 4xx: further codes of this class, or those that"
                            " are not stored; other: none was sent",
                        },
                        "count": {"type": "integer"},
                        "share": {"type": "number", "minimum": 0, "maximum": 1},
                        "is_code_stored": {"type": "boolean"},
                    },
                },
            }
        },
    }
}
"""What the answer of a page holds, where it is described."""
_CAPTURED = lazy_pattern(r"<(?:path:)?(\w+)>")


def document(pages: list[Page], base: str) -> dict[str, Any]:
    """Everything that is JSON, and the actions."""
    described = {f"/api/{e.path}": e.description for e in admin_api.ENDPOINTS}
    shown = [p for p in pages if p.path.startswith(("/api/", "/actions/"))]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Monitoring", "version": "1"},
        "servers": [{"url": base}],
        "security": [{"token": []}],
        "paths": {
            _CAPTURED.sub(r"{\1}", page.path): {
                page.method.lower(): _operation(page, described.get(page.path, ""))
            }
            for page in shown
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(page: Page, described: str) -> dict[str, Any]:
    captured = _CAPTURED.findall(page.path)
    text = {"type": "string"}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in captured
    ] + [{"name": name, "in": "query", "schema": text} for name in PARAMETERS.get(page.name, ())]
    answers = {
        "200": {
            "description": "JSON",
            "content": {"application/json": {"schema": SCHEMAS.get(page.name, {})}},
        },
        "401": {"description": "needs the token"},
        "404": {"description": "not found, or closed"},
    }
    shown = BY_NAME.get(page.name.removeprefix("page_"))
    operation = {
        "operationId": page.name,
        "summary": described or f"What the page {page.name.removeprefix('page_')} shows",
        **({"description": shown.description} if shown is not None else {}),
        "parameters": parameters,
        "responses": answers,
    }
    if page.method != "POST":
        return operation
    return {
        **operation,
        "summary": "Changes something; operators only",
        "parameters": [{**p, "schema": {**text, "enum": list(ACTIONS)}} for p in parameters],
        "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": _forms()}}},
        "responses": {
            **answers,
            "400": {"description": "a value does not fit: the answer says which and what fits"},
            "403": {"description": "viewers change nothing"},
        },
    }


def _forms() -> dict[str, Any]:
    """What the form of each action holds."""
    return {
        "anyOf": [
            {
                "title": action.name,
                "type": "object",
                "properties": {field: {"type": "string"} for field in action.fields},
            }
            for action in ACTIONS.values()
        ]
    }
