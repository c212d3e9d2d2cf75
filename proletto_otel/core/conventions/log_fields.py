"""Field names of a log record, in JSON lines, text lines, breadcrumbs and OTLP."""

from __future__ import annotations

from proletto_otel.core.conventions.attributes import (
    CODE_FILE_PATH,
    CODE_FUNCTION_NAME,
    CODE_LINE_NUMBER,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    FINGERPRINT,
    REQUEST_ID,
)

# --- attributes of log records, beside the caller's facts --------------------------------------
ACCESS_DURATION_MS = "duration_ms"
USER = "user_id"
"""The user of a request, as `set_user` and Flask-Login name it."""
LOGGER_NAME = "logger"
ORIGINAL_LENGTH = "original_length"
"""Characters a message had before it was cut."""
TRUNCATED = "truncated"

# --- fields of a log record -------------------------------------------------------------------
# Every renderer takes its names from here: JSON lines, text lines, breadcrumbs, and OpenTelemetry
# for those that are no part of its own record (request ID, logger).
TIMESTAMP = "timestamp"
LEVEL = "level"
MESSAGE = "message"
MODULE = "module"
FUNCTION = "function"
LINE = "line"
PROCESS_ID = "process_id"
LOG_THREAD_ID = "thread_id"
ENVIRONMENT = "environment"
TRACE_ID = "trace_id"
SPAN_ID = "span_id"
LOG_FINGERPRINT = "fingerprint"
EXCEPTION = "exception"
LOG_FIELDS = (
    TIMESTAMP, LEVEL, LOGGER_NAME, MESSAGE, MODULE, FUNCTION, LINE, PROCESS_ID, LOG_THREAD_ID,
    ENVIRONMENT, REQUEST_ID, TRACE_ID, SPAN_ID, LOG_FINGERPRINT, EXCEPTION,
)  # fmt: skip
"""The fields of a JSON log line in their order; facts of the caller follow at the top level."""
RESERVED_FACTS = frozenset(
    (
        *LOG_FIELDS, CODE_FILE_PATH, CODE_FUNCTION_NAME, CODE_LINE_NUMBER, EXCEPTION_TYPE,
        EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, FINGERPRINT,
    )
)  # fmt: skip
"""Names that a record uses itself: a caller's fact of this name gets a trailing underscore, so that
no name stands twice in a JSON object or among OpenTelemetry's attributes."""
