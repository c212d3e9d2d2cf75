"""What every test runs under: our own swallowed failures are raised, nothing leaks between tests."""

import os

os.environ.setdefault("PROLETTO_STRICT", "1")
