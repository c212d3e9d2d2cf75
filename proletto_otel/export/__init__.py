"""Telemetry to a collector: OTLP encoding, queues, connections, breakers, the disk spool."""
