"""One log record: what it holds and how it is built."""
