"""An alert rule: one model from which the Grafana file and the Prometheus twin are written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from proletto_otel.alerts.indicators import anchor
from proletto_otel.core.severity import CRITICAL, WARNING

NO_SEVERITY = "none"
MINUTE_S = 60
VALUE = "<value>"
"""Stands in texts for the value, which the two languages spell differently."""
UID_HEX = 12


@dataclass(frozen=True, slots=True)
class Band:
    """The values that fire: strictly beyond `beyond`, up to and including `until`."""

    beyond: float
    until: float | None = None
    """Where the band of the worse severity begins; None: no end."""
    below: bool = False
    """Whether low values are bad."""

    def promql(self, expression: str) -> str:
        """*expression*, only where it is in the band; NaN never is."""
        first, last = ("<", ">=") if self.below else (">", "<=")
        end = "" if self.until is None else f" {last} {self.until:.15g}"
        return f"({expression}) {first} {self.beyond:.15g}{end}"

    def math(self, ref: str) -> str:
        """The same for Grafana's math expression, where a NaN would fire without `is_number`."""
        first, last = ("<", ">=") if self.below else (">", "<=")
        end = "" if self.until is None else f" && ${ref} {last} {self.until:.15g}"
        return f"is_number(${ref}) && ${ref} {first} {self.beyond:.15g}{end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel of a dashboard that shows what an alert is about."""

    dashboard: str
    """Its uid."""
    title: str

    @property
    def id(self) -> int:
        """The panel's number: made of its title, so that links survive other panels."""
        digest = hashlib.sha1(f"{self.dashboard}/{self.title}".encode(), usedforsecurity=False)
        return int(digest.hexdigest()[:6], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One alert at one severity."""

    base: str
    """CamelCase name without severity: `HighCpu`. Warning and critical share it."""

    severity: str
    """`warning`, `critical` or `none`."""

    group: str
    """Rules of a group are evaluated together."""

    expression: str
    """PromQL; returns the bare value, so that it is right while all is well, too."""

    band: Band

    title: str
    """What the value is: `CPU usage`."""

    unit: str = ""
    """Shown after the value."""

    panel: Panel

    runbook: str = ""
    """Heading in docs/runbook.md; empty: `base`."""

    about: tuple[str, ...] = ()
    """Labels beside the service that the summary names: host, check, route."""

    text: str = ""
    """The summary, where value and limit alone do not say it; `VALUE` stands for the value."""

    description: str = ""
    """What it means for people, in one sentence."""

    wait_s: int = 0
    """Seconds without a break that the value must be in the band."""

    recover_s: int = 2 * MINUTE_S
    """Seconds that the alert goes on after the value left the band."""

    fires_without_data: bool = False
    """Whether the store's silence is the alert itself."""

    scope: str = ""
    """What tells equal rules of two applications apart."""

    paused: bool = False
    """Grafana does not evaluate it: the application tells people itself."""

    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the alert: `HighCpuWarning`."""
        shown = {WARNING: "Warning", CRITICAL: "Critical"}
        return self.base + shown.get(self.severity, "")

    @property
    def uid(self) -> str:
        """Never changes while name and scope stay, or Grafana would see a new rule."""
        text = f"{self.scope}/{self.base}/{self.severity}"
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return f"pr-{digest[:UID_HEX]}"

    @property
    def all_labels(self) -> dict[str, str]:
        """Labels by which alerts are routed and grouped."""
        fixed = {"severity": self.severity, "alertname_base": self.base, "source": "proletto"}
        return {**fixed, **self.labels}

    @property
    def summary(self) -> str:
        """One line that is true while it fires and after."""
        if self.text:
            return self.text
        about = "".join(f" {{{{ $labels.{label} }}}}" for label in self.about)
        limit = f"{self.band.beyond:.6g} {self.unit}".rstrip()
        side = "below" if self.band.below else "above"
        value = f"{VALUE} {self.unit}".rstrip()
        return f"{self.title}{about}: {value} ({self.severity} {side} {limit})"

    @property
    def anchor(self) -> str:
        """The anchor of its heading in the runbook."""
        return anchor(self.runbook or self.base)
