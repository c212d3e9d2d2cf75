"""What a panel asks of Prometheus, Loki and Tempo, on the builders of grafana-foundation-sdk."""

from __future__ import annotations

from typing import TypeAlias

from grafana_foundation_sdk.builders import loki, prometheus, tempo
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

PROMETHEUS, LOKI, TEMPO = "prometheus", "loki", "tempo"
Query: TypeAlias = prometheus.Dataquery | loki.Dataquery | tempo.Dataquery


def source(store: str) -> DataSourceRef:
    """A reference to one of the three provisioned data sources."""
    return DataSourceRef(type_val=store, uid=store)


def promql(expression: str, legend: str = "", *, exemplar: bool = False) -> prometheus.Dataquery:
    """A query over time."""
    query = prometheus.Dataquery().datasource(source(PROMETHEUS)).expr(expression).range()
    query.legend_format(legend or "__auto")
    return query.exemplar(True) if exemplar else query


def instant(expression: str, legend: str = "") -> prometheus.Dataquery:
    """The present values, as a table."""
    query = prometheus.Dataquery().datasource(source(PROMETHEUS)).expr(expression).instant()
    return query.format(PromQueryFormat.TABLE).legend_format(legend or "__auto")


def logql(expression: str, legend: str = "", *, now: bool = False) -> loki.Dataquery:
    """Lines or numbers from Loki."""
    query = loki.Dataquery().datasource(source(LOKI)).expr(expression).legend_format(legend)
    return query.query_type("instant" if now else "range")


def traceql(query: str, limit: int = 20) -> tempo.Dataquery:
    """A search for traces in Tempo."""
    search = tempo.Dataquery().datasource(source(TEMPO)).query_type("traceql").query(query)
    return search.limit(limit).table_type(SearchTableType.TRACES)
