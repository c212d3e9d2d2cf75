"""How Grafana's messages read, in Slack and by email.

The bodies are templates that Grafana takes as they are (`$` needs no doubling). Firing alerts are
listed and resolved ones counted: Grafana sends the resolved ones again with every later message.
"""

from __future__ import annotations

from typing import Any

from proletto_otel.stack import explore

NAME = "proletto"
LISTED = 10
"""Alerts that one message spells out; the others are counted."""

_TITLE = """\
{{ define "proletto.title" -}}
{{ $critical := 0 }}{{ range .Alerts.Firing }}{{ if eq .Labels.severity "critical" }}{{ $critical = 1 }}{{ end }}{{ end -}}
{{ if .Alerts.Firing }}{{ if $critical }}:red_circle: CRITICAL{{ else }}:warning: WARNING{{ end }}{{ else }}:white_check_mark: RESOLVED{{ end }}
{{- " " }}{{ .GroupLabels.alertname_base }}{{ if .GroupLabels.service_name }} on {{ .GroupLabels.service_name }}{{ end }}
{{- if gt (len .Alerts.Firing) 1 }} ({{ len .Alerts.Firing }} firing){{ end }}
{{- end }}
"""

_COLOUR = """\
{{ define "proletto.colour" -}}
{{ $colour := "#2eb67d" }}{{ range .Alerts.Firing }}{{ if eq .Labels.severity "critical" }}{{ $colour = "#d63232" }}{{ else if ne $colour "#d63232" }}{{ $colour = "#E8A317" }}{{ end }}{{ end }}{{ $colour }}
{{- end }}
"""

_ESCAPE = """\
{{ define "proletto.escape" -}}
{{ . | reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;" }}
{{- end }}
"""

_ALERT = """\
{{ define "proletto.alert" -}}
*{{ template "proletto.escape" .Labels.severity }}* {{ template "proletto.escape" .Annotations.summary }}
{{ if .Annotations.description }}{{ template "proletto.escape" .Annotations.description }}
{{ end -}}
since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05 UTC" }}
{{- if .Labels.deployment_environment_name }} in {{ template "proletto.escape" .Labels.deployment_environment_name }}{{ end }}
{{- end }}
"""

_LINKS = (
    "{{ if $alert.PanelURL }} | <{{ $alert.PanelURL }}"
    # A panel's address has no variables: without one it would open another service's numbers.
    "{{ if $alert.Labels.service_name }}&var-service={{ urlquery $alert.Labels.service_name }}"
    "{{ end }}|Panel>{{ end }}"
    "{{ if $alert.Labels.service_name }} | <{{ $grafana }}LOGS_PATH|Logs>"
    " | <{{ $grafana }}TRACES_PATH|Traces>{{ end }}"
    "{{ if $alert.Annotations.runbook_url }} | <"
    '{{ if eq (slice $alert.Annotations.runbook_url 0 1) "/" }}{{ $grafana }}{{ end }}'
    "{{ $alert.Annotations.runbook_url }}|Runbook>{{ end }}"
    "{{ if $alert.SilenceURL }} | <{{ $alert.SilenceURL }}|Silence>{{ end }}"
)

_TEXT = """\
{{ define "proletto.text" -}}
{{ $grafana := reReplaceAll "/+$" "" .ExternalURL -}}
{{ range $index, $alert := .Alerts.Firing -}}
{{ if lt $index LISTED -}}
{{ template "proletto.alert" $alert }}LINKS
{{ end -}}
{{ end -}}
{{ if gt (len .Alerts.Firing) LISTED }}and more: {{ len .Alerts.Firing }} are firing
{{ end -}}
{{ if .Alerts.Resolved -}}
{{ if .Alerts.Firing }}{{ len .Alerts.Resolved }} resolved{{ else -}}
{{ range $index, $alert := .Alerts.Resolved -}}
{{ if lt $index LISTED -}}
{{ template "proletto.escape" $alert.Annotations.summary }}
lasted {{ $alert.EndsAt.Sub $alert.StartsAt }}, ended {{ $alert.EndsAt.UTC.Format "2006-01-02 15:04:05 UTC" }}
{{ end -}}
{{ end -}}
{{ end -}}
{{ end -}}
{{ end }}
"""


def templates_file() -> dict[str, Any]:
    """The provisioning file of Grafana's message templates."""
    service = "{{ urlquery $alert.Labels.service_name }}"
    links = _LINKS.replace("LOGS_PATH", explore.logs(service))
    links = links.replace("TRACES_PATH", explore.traces(service))
    body = "\n".join((_TITLE, _COLOUR, _ESCAPE, _ALERT, _TEXT.replace("LINKS", links)))
    text = body.replace("LISTED", str(LISTED))
    return {"apiVersion": 1, "templates": [{"orgId": 1, "name": NAME, "template": text}]}
