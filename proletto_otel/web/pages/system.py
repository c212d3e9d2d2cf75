"""System: is it the machine? Every metric of the host over time, and its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.web.all_hosts.servers import PROMETHEUS
from proletto_otel.web.charts import draw
from proletto_otel.web.charts.series import Mark
from proletto_otel.web.pages import AdminPage, ages, hosts, past
from proletto_otel.web.pages.limits import limits
from proletto_otel.web.pages.readings import reading
from proletto_otel.web.pages.workers import ended, workers

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked


def read(asked: Asked) -> Mapping[str, Any]:
    """Every system metric now and over the range."""
    if asked.all_hosts:
        return hosts.system_page(asked)
    monitor, chosen = asked.site.monitor, asked.range
    values, alerts = monitor.get_system_metrics(), monitor.get_alerts()
    gone = ended(asked.site, chosen.start, chosen.end)
    marks = past.marks(asked, chosen.start, chosen.end) + [
        Mark(a.time, f"worker {a.pid} ended", "restart") for a in gone.latest
    ]
    readings = [
        reading(INDICATORS[name], value, alerts)
        for name, value in values.items()
        if name in INDICATORS
    ]
    return {
        "readings": readings,
        "age": ages.of_system(asked.site),
        "charts": {
            found.name: draw.line_chart(
                found.title,
                [past.metric(asked, found.name, "mean", chosen.start, chosen.end, chosen.points)],
                chosen.start, chosen.end, unit=found.unit,
                limits=limits(asked, found.name, alerts), marks=marks,
                top=100.0 if found.unit == "%" else 0.0,
            )
            for found in readings
        },
        "workers": workers(asked.site),
        "ended": gone,
    }  # fmt: skip


PAGE = AdminPage(
    path="/system", name="system", label="System", key="s", server=PROMETHEUS,
    description="Is it the machine? Values of the host and its workers, with their limits.",
    read=read, template="system.html",
)  # fmt: skip
