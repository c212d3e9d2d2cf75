"""The way out over the network: OTLP encoding, session, breaker, spool, Slack client."""
