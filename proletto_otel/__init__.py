"""Error logging and monitoring for Flask on OpenTelemetry, switched on with one call.

`setup_telemetry(app)` is the front door; see `proletto_otel.telemetry`.
"""
