"""From a log call to every sink, once: pipeline, rendering, sinks, decorators."""
