"""What travels to other services: the trace context, and X-Request-ID to the allowed hosts.

A propagator does not see where a call goes. The client instrumentations (requests, httpx, urllib3,
aiohttp …) inject while their client span is current, and that span carries the address, so
`RequestIdPropagator` reads the host there. Where no such span is to be seen (the trace is sampled
out, a client without instrumentation) `outgoing_headers(url)` does it by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.propagators import textmap
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter

from proletto_otel.core import context as contexts
from proletto_otel.core import trace_context
from proletto_otel.core.conventions import REQUEST_ID_HEADER, SERVER_ADDRESS
from proletto_otel.request.propagation import matches_request_id


class WsgiGetter(Getter[Mapping[str, Any]]):
    """Reads headers from a WSGI environ."""

    def get(self, carrier: Mapping[str, Any], key: str) -> list[str] | None:
        """The header's value, if it came."""
        value = carrier.get("HTTP_" + key.upper().replace("-", "_"))
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, Any]) -> list[str]:
        """The names of the headers that came."""
        return [k[5:].lower().replace("_", "-") for k in carrier if k.startswith("HTTP_")]


wsgi_getter = WsgiGetter()


def host_matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Build the allow-list test: exact names, `*.example.com`, or `*` for every host."""
    if "*" in patterns:
        return lambda host: True
    joined = "|".join(re.escape(p.strip().lower()).replace(r"\*", ".*") for p in patterns)
    matches = re.compile(joined).fullmatch
    return lambda host: bool(patterns) and matches(host.lower()) is not None


class RequestIdPropagator(textmap.TextMapPropagator):
    """Carries X-Request-ID beside the trace context, never in baggage, which everyone forwards."""

    def __init__(self, hosts: tuple[str, ...] = ("*",)) -> None:
        self.everywhere = "*" in hosts
        self.allows = host_matcher(hosts)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = textmap.default_getter,
    ) -> Context:
        """Put a safe inbound ID into *context*, for consumers that are no Flask request."""
        base = context if context is not None else context_api.get_current()
        values = getter.get(carrier, REQUEST_ID_HEADER) or getter.get(carrier, _LOWER)
        if not values or len(values) != 1 or matches_request_id(values[0]) is None:
            return base
        return context_api.set_value(_KEY, values[0], base)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = textmap.default_setter,
    ) -> None:
        """Add the current request's ID when the call goes to an allowed host."""
        # the request's own first; the context's is that of a message that a consumer works on
        request_id = contexts.request_id() or context_api.get_value(_KEY, context)
        if request_id and (self.everywhere or self.allows(_host_of_client_span(context))):
            setter.set(carrier, REQUEST_ID_HEADER, str(request_id))

    @property
    def fields(self) -> set[str]:
        """The header this propagator writes."""
        return {REQUEST_ID_HEADER}


_KEY = context_api.create_key("proletto-request-id")
_LOWER = REQUEST_ID_HEADER.lower()


def _host_of_client_span(context: Context | None) -> str:
    """Where the current client span goes; empty when it does not say (then nothing is sent)."""
    found = context_api.get_value(trace_context.span_key, context)
    attributes = getattr(found, "attributes", None) or {}
    # The stable and the old names, as `OTEL_SEMCONV_STABILITY_OPT_IN` of the instrumentation says
    for key in (SERVER_ADDRESS, "net.peer.name"):
        if attributes.get(key):
            return str(attributes[key])
    for key in ("url.full", "http.url"):
        if attributes.get(key):
            return urlsplit(str(attributes[key])).hostname or ""
    return ""


def outgoing_headers(url: str, propagator: RequestIdPropagator) -> dict[str, str]:
    """The headers a call to *url* should carry: trace context, and the request ID if allowed.

    Args:
        url: where the call goes; its host is checked against `PROLETTO_PROPAGATE_HOSTS`.
        propagator: the one of the process (see `telemetry.outgoing_headers`).
    """
    from opentelemetry import propagate  # as a rule, somebody was faster: `request.propagators`

    headers: dict[str, str] = {}
    propagate.inject(headers)
    request_id = contexts.request_id()
    if request_id and propagator.allows(urlsplit(url).hostname or ""):
        headers[REQUEST_ID_HEADER] = request_id
    else:
        headers.pop(REQUEST_ID_HEADER, None)
    return headers
