"""The requests of one endpoint over time, as small bars in a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup

from proletto_otel.core.texts import human_duration
from proletto_otel.web.charts.small import spark_bars

if TYPE_CHECKING:
    from proletto_otel.request.request_points import EndpointPoint


def endpoint_bars(endpoint: EndpointPoint, end: float) -> Markup:
    """The requests of an endpoint over the whole time, what failed in red."""
    if not endpoint.step:
        return Markup("")
    begin, step = endpoint.total.time, endpoint.step
    columns = max(math.ceil((end - begin) / step), 1)
    counts, failed = [0.0] * columns, [0.0] * columns
    for at, count, errors in endpoint.points:
        column = min(int((at - begin) / step), columns - 1)
        counts[column] += count
        failed[column] += errors
    label = f"requests over time, at most {max(counts):,.0f} in {human_duration(step)}"
    return spark_bars(counts, "s1", label, failed)
