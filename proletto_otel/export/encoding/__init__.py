"""OTLP protobuf, written without the protobuf library."""
