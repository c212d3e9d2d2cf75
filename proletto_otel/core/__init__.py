"""The ground floor: names, settings, context, metric cells, redaction. Knows no Flask."""
