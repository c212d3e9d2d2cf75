"""What every test runs under: our swallowed failures are raised, nothing leaks between tests."""

import os

os.environ.setdefault("PROLETTO_STRICT", "1")
# read once, by whichever instrumentation is imported first: the order of the tests is random
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
