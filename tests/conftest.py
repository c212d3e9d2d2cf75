"""What every test runs under: our swallowed failures are raised, nothing leaks between tests."""

import os

os.environ.setdefault("PROLETTO_STRICT", "1")
