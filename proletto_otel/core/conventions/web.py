"""Names a client sees: headers of requests and responses, paths of the probes."""

from __future__ import annotations

# --- headers ----------------------------------------------------------------------------------
REQUEST_ID_HEADER = "X-Request-ID"
TRACEPARENT_HEADER = "traceparent"

# --- paths ------------------------------------------------------------------------------------
PROBE_PATHS = ("/livez", "/readyz", "/health", "/healthz")
