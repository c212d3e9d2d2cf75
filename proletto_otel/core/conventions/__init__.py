"""The telemetry contract: every metric, attribute, log field and header name, written once.

OpenTelemetry semantic conventions 1.44 come first; own names begin with `proletto.`. Emitters,
`/metrics`, dashboards, alert rules and docs take their names from here or are tested against it.
Import a name from this package; the module below that defines it is the one place to change it.
"""

# Star imports, so that a new name is one line in one file.
from proletto_otel.core.conventions.attributes import *  # noqa: F403  # re-exports every name
from proletto_otel.core.conventions.log_fields import *  # noqa: F403  # re-exports every name
from proletto_otel.core.conventions.metrics import *  # noqa: F403  # re-exports every name
from proletto_otel.core.conventions.prometheus import *  # noqa: F403  # re-exports every name
from proletto_otel.core.conventions.web import *  # noqa: F403  # re-exports every name
