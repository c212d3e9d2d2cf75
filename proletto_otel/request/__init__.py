"""One request's way: ID, trace context, span, duration, access log."""
