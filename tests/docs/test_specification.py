"""The examples of the specification stand in the docs, where they are run and checked."""

from __future__ import annotations

import pytest

from tests.docs.blocks import Block, blocks

# as specified, with the prefix changed and without the import lines
EXAMPLES = {
    "log_function_call": """
@log_function_call(level=logger.DEBUG)
def important_calculation(x, y):
    return x / y
""",
    "handle_errors": """
@handle_errors(reraise=False, fallback_value=0)
def safe_division(x, y):
    return x / y
""",
    "ErrorCapture": """
def user_operation(user_id):
    with ErrorCapture(component="user_service", user_id=user_id, reraise=False):
        # Code that might raise an exception
        result = risky_operation()
        return result
""",
    "register_threshold": """
monitor.register_threshold(
    metric="cpu_percent",
    warning_threshold=80,
    critical_threshold=95,
    duration=300  # Must exceed threshold for 5 minutes
)
""",
    "init_app": """
    # Initialize database
    db.init_app(app)

    # Initialize monitoring
    init_monitoring(app, db=db)

    return app
""",
    "add_db_handler": """
def init_db(app, db):
    # Initialize database
    db.init_app(app)

    # Add database error logging
    add_db_handler(db)
""",
}
IMPORTS = (
    "from proletto_otel.error_logging import log_function_call, logger",
    "from proletto_otel.error_logging import handle_errors",
    "from proletto_otel.error_logging import ErrorCapture",
    "from proletto_otel.monitoring import monitor",
    "from proletto_otel.error_logging import logger",
    "from proletto_otel.monitoring_routes import init_app as init_monitoring",
    "from proletto_otel.error_logging import add_db_handler",
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_specified_example_is_in_the_docs_with_a_check(name: str) -> None:
    """Each code example of the specification is run as written, and what it does is asserted."""
    (block, *_) = with_text(EXAMPLES[name])

    assert not block.skip_reason
    assert block.check


@pytest.mark.parametrize("line", IMPORTS)
def test_specified_import_is_in_the_docs(line: str) -> None:
    """The specification's imports work with the prefix changed."""
    assert with_text(line + "\n")


def with_text(text: str) -> list[Block]:
    """The examples that have *text* in them."""
    return [block for block in blocks() if text in block.code]
