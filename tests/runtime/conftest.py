"""What the tests of the runtime share."""

from tests.state.conftest import lenient

__all__ = ["lenient"]
