"""What an HTTP status of an OTLP endpoint says: about the batch, or about the endpoint."""

from __future__ import annotations

TOO_LARGE = 413
# The OTLP specification gives a batch up at every status that is not retryable. Here only those
# that speak of its content do: a wrong token or path (401, 404) is mended by a person, and costs no
# records. A batch of 413 is first sent in halves.
CONDEMNS = frozenset((400, TOO_LARGE, 422))
"""Statuses that say something about the batch; all others are about the endpoint."""
# 429, 502, 503 and 504 as the specification lists them; 408 and 425 as RFC 9110 and 8470 mean them.
BUSY = frozenset((408, 425, 429, 502, 503, 504))
"""Statuses that ask for another try."""
FIXES = {
    401: "check the credentials in OTEL_EXPORTER_OTLP_HEADERS",
    403: "check the credentials in OTEL_EXPORTER_OTLP_HEADERS",
    404: "check the address and path in OTEL_EXPORTER_OTLP_ENDPOINT",
    405: "check the address and path in OTEL_EXPORTER_OTLP_ENDPOINT",
    407: "check the credentials of the proxy",
}
REDIRECTED = "set OTEL_EXPORTER_OTLP_ENDPOINT to where it redirects to"


def is_about_the_endpoint(status: int) -> bool:
    """Whether nothing is known about the batch, so that it has to be sent again."""
    return not 200 <= status < 300 and status not in CONDEMNS


def is_fault_that_a_batch_may_cause(status: int) -> bool:
    """Whether the server failed, which one batch may bring about, again and again."""
    return status >= 500 and status not in BUSY


def fix(status: int) -> str:
    """What a person can do about it; empty where that is the server's business."""
    return REDIRECTED if 300 <= status < 400 else FIXES.get(status, "")
