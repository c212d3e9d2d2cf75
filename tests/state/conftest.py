"""What the tests of the state room share."""

import pytest

from proletto_otel.core import internal_errors


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production: a failure of ours is counted, not raised."""
    monkeypatch.setattr(internal_errors, "strict", False)
