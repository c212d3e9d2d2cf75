"""The public test suites of what people use with Flask, run with and without telemetry."""
