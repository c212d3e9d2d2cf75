"""Every setting: its name, default, environment names, what fits and what it means.

The class `Config` is the table; the docs and `doctor` are made from it. Order: argument, then
`app.config`, then environment, then default. Parsing lives in `core.parsing`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from proletto_otel.core import otel_variables
from proletto_otel.core import parsing as p
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.parsing import InvalidValue, Secret
from proletto_otel.core.setting import Setting, setting

DAY_S = 86_400
"""The longest interval: a longer one is a slip, and no clock of the system waits 1e300 s."""

ARGUMENT, APP_CONFIG, ENVIRONMENT = "argument", "app.config", "environment"
"""Where a value can come from, the strongest first."""


if TYPE_CHECKING:
    from dataclasses import dataclass as table
else:

    def table(**_: bool) -> Any:
        """A dataclass to type checkers alone: for a hundred fields that saves 3 % of the start."""
        return lambda cls: cls


@table(frozen=True, eq=False, repr=False)
class Config:
    """The settings `setup_telemetry` works with; made by `load`."""

    # identity
    app_name: str = setting("APP_NAME", "proletto", p.file_word, "Application name used in logs: the prefix of the log files and the logger's name.")
    environment: str = setting("FLASK_ENV", "development", p.text, "Application environment; `deployment.environment.name` on all telemetry.")
    service_name: str = setting("OTEL_SERVICE_NAME", "", p.text, "`service.name` on all telemetry; empty: `APP_NAME`.")
    resource_attributes: dict[str, str] = setting("OTEL_RESOURCE_ATTRIBUTES", {}, p.pairs, "More resource attributes, `key=value,key=value`; they win over ours.")
    under_test: str = setting("PROLETTO_UNDER_TEST", "quiet", p.choice("quiet", "normal"), "What happens under pytest or with `TESTING`: `quiet` writes, sends and prints only what another setting asks for.")
    sdk_disabled: bool = setting("OTEL_SDK_DISABLED", False, p.flag, "1: no traces, metrics or logs over OTLP; files, request ID and pages stay.")

    # logs
    log_level: int = setting("LOG_LEVEL", 20, p.level, "Minimum log level to record.")
    log_format: str = setting("LOG_FORMAT", "%(asctime)s - %(name)s - %(levelname)s - %(message)s", p.text, "Format string for log entries (console when it is no terminal, and the text files).")
    log_dir: str = setting("LOG_DIR", "logs", p.path, "Directory to store log files.")
    log_console: bool = setting("PROLETTO_LOG_CONSOLE", True, p.flag, "Print log lines to standard output.")
    log_console_format: str = setting("PROLETTO_LOG_CONSOLE_FORMAT", "text", p.choice("text", "json"), "How lines on standard output look: text, or the JSON of the structured file, for containers.")
    log_files: bool = setting("PROLETTO_LOG_FILES", True, p.flag, "Write the three log files.")
    log_max_bytes: int = setting("PROLETTO_LOG_MAX_BYTES", 10_000_000, p.integer(1000), "Size at which the text file rotates, bytes.")
    log_json_max_bytes: int = setting("PROLETTO_LOG_JSON_MAX_BYTES", 20_000_000, p.integer(1000), "Size at which the structured file rotates, bytes.")
    log_backups: int = setting("PROLETTO_LOG_BACKUPS", 5, p.integer(1, 1000), "Rotated files kept beside a size-rotated one.")
    log_error_backups: int = setting("PROLETTO_LOG_ERROR_BACKUPS", 30, p.integer(1, 1000), "Days of rotated error files kept.")
    log_compress: bool = setting("PROLETTO_LOG_COMPRESS", False, p.flag, "Compress rotated files with gzip.")
    log_retention_days: float = setting("LOG_RETENTION_DAYS", 0.0, p.number(0), "Delete rotated files older than this many days; 0: only the counts above limit them.")
    breadcrumbs: int = setting("PROLETTO_BREADCRUMBS", 10, p.integer(0, 100), "Last log events of a request attached to its error report; 0: none.")
    capture_uncaught: bool = setting("PROLETTO_CAPTURE_UNCAUGHT", True, p.flag, "Log uncaught exceptions of the program, its threads and tasks as CRITICAL.")
    capture_locals: bool = setting("PROLETTO_CAPTURE_LOCALS", False, p.flag, "Add the (redacted) local variables of the failing frame to error reports.")

    # redaction
    redact_keys: tuple[str, ...] = setting("PROLETTO_REDACT_KEYS", (), p.words, "More key names; their values are redacted.")
    redact_patterns: tuple[str, ...] = setting("PROLETTO_REDACT_PATTERNS", (), p.words, "More regular expressions; what they match is redacted.")
    redact_allow: tuple[str, ...] = setting("PROLETTO_REDACT_ALLOW", (), p.words, "Key names that are never redacted.")
    redact_tokens: tuple[str, ...] = setting("PROLETTO_REDACT_TOKENS", (), p.token_prefixes, "More beginnings of tokens that are redacted, each with the least number of characters that follow: `acme_live_:24`.")
    redact_emails: bool = setting("PROLETTO_REDACT_EMAILS", False, p.flag, "Redact email addresses too.")
    redact_identifiers: bool = setting("PROLETTO_REDACT_IDENTIFIERS", False, p.flag, "Redact national and financial identifiers too (IBAN, tax and passport numbers), by name and check digits.")
    redact_sql_literals: bool = setting("PROLETTO_REDACT_SQL_LITERALS", False, p.flag, "Redact literals in SQL texts.")

    # request
    instrumentation: str = setting("PROLETTO_INSTRUMENTATION", "proletto", p.choice("proletto", "contrib"), "`contrib` uses opentelemetry-instrumentation-flask for the request span; needs the extra `proletto_otel[contrib]`.")
    trust_inbound_trace: bool = setting("PROLETTO_TRUST_INBOUND_TRACE", True, p.flag, "0: an incoming traceparent becomes a link of a new trace.")
    trust_request_id: bool = setting("PROLETTO_TRUST_REQUEST_ID", True, p.flag, "0: an incoming X-Request-ID is replaced by a fresh one.")
    propagate_hosts: tuple[str, ...] = setting("PROLETTO_PROPAGATE_HOSTS", ("*",), p.words, "Hosts (with `*`) that get our X-Request-ID on outgoing calls.")
    excluded_urls: tuple[str, ...] = setting("OTEL_PYTHON_FLASK_EXCLUDED_URLS OTEL_PYTHON_EXCLUDED_URLS", (), p.words, "Regular expressions searched in the URL; matching requests are neither traced nor counted.")
    request_logging: bool = setting("MONITOR_REQUEST_LOGGING", True, p.flag, "Enable API request logging (0/1): one log line per request.")
    error_pages: bool = setting("PROLETTO_ERROR_PAGES", True, p.flag, "Answer unhandled errors with a page or JSON that shows the request ID, unless the app has its own handler.")

    # traces
    traces_exporter: str = setting("OTEL_TRACES_EXPORTER", "otlp", p.choice("otlp", "none"), "Where traces go.")
    metrics_exporter: str = setting("OTEL_METRICS_EXPORTER", "otlp", p.choice("otlp", "none"), "Where metrics go, beside `/metrics`.")
    logs_exporter: str = setting("OTEL_LOGS_EXPORTER", "otlp", p.choice("otlp", "none"), "Where logs go, beside the other sinks.")
    traces_sampler: str = setting("OTEL_TRACES_SAMPLER", "parentbased_always_on", p.choice("always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"), "Which traces are kept.")
    traces_sampler_arg: float = setting("OTEL_TRACES_SAMPLER_ARG", 1.0, p.number(0, 1), "Share of traces the ratio samplers keep.")
    traces_keep_ratio: float = setting("PROLETTO_TRACES_KEEP_RATIO", 1.0, p.number(0, 1), "Share of ordinary traces that are sent; those of failed and slow requests always are. Without effect when `OTEL_TRACES_SAMPLER` is set.")
    traces_slow_ms: float = setting("PROLETTO_TRACES_SLOW_MS", 1000.0, p.number(0), "A request that takes this long is no ordinary one, ms.")
    propagators: tuple[str, ...] = setting("OTEL_PROPAGATORS", ("tracecontext",), p.words_of("tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "none"), "How trace context travels; our X-Request-ID always does.")
    span_attribute_limit: int = setting("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT", 128, p.integer(1), "Attributes a span may have.")
    attribute_length_limit: int = setting("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 32_768, p.integer(1), "Characters of an attribute value; longer ones are cut.")
    trace_queue: int = setting("OTEL_BSP_MAX_QUEUE_SIZE", 8192, p.integer(1), "Spans waiting for export; beyond it the oldest is dropped and counted.")
    log_queue: int = setting("OTEL_BLRP_MAX_QUEUE_SIZE", 16384, p.integer(1), "Log records waiting for export; beyond it the oldest is dropped and counted.")
    trace_batch: int = setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, p.integer(1), "Spans in one export request.")
    log_batch: int = setting("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 512, p.integer(1), "Log records in one export request.")
    trace_delay_ms: int = setting("OTEL_BSP_SCHEDULE_DELAY", 500, p.integer(1, DAY_S * 1000), "Longest wait before spans are exported, ms.")
    log_delay_ms: int = setting("OTEL_BLRP_SCHEDULE_DELAY", 500, p.integer(1, DAY_S * 1000), "Longest wait before log records are exported, ms.")

    # OTLP
    otlp_endpoint: str = setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318", p.url, "The OpenTelemetry Collector; `/v1/<signal>` is appended.")
    otlp_traces_endpoint: str = setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", p.url, "Full URL for traces, used as it is.")
    otlp_metrics_endpoint: str = setting("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "", p.url, "Full URL for metrics, used as it is.")
    otlp_logs_endpoint: str = setting("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "", p.url, "Full URL for logs, used as it is.")
    otlp_protocol: str = setting("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", p.choice("http/protobuf", "grpc"), "`grpc` needs the extra `proletto_otel[grpc]`.")
    otlp_headers: dict[str, Secret] = setting("OTEL_EXPORTER_OTLP_HEADERS", {}, p.headers, "Headers of export requests, `key=value,key=value`.")
    otlp_traces_headers: dict[str, Secret] = setting("OTEL_EXPORTER_OTLP_TRACES_HEADERS", {}, p.headers, "The same for traces alone.")
    otlp_metrics_headers: dict[str, Secret] = setting("OTEL_EXPORTER_OTLP_METRICS_HEADERS", {}, p.headers, "The same for metrics alone.")
    otlp_logs_headers: dict[str, Secret] = setting("OTEL_EXPORTER_OTLP_LOGS_HEADERS", {}, p.headers, "The same for logs alone.")
    otlp_compression: str = setting("OTEL_EXPORTER_OTLP_COMPRESSION", "auto", p.choice("auto", "gzip", "none"), "Compression of export requests; `auto`: gzip, except to this machine.")
    otlp_certificate: str = setting("OTEL_EXPORTER_OTLP_CERTIFICATE", "", p.path, "File with the certificates to trust.")
    otlp_client_certificate: str = setting("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "", p.path, "File with our own certificate.")
    otlp_client_key: str = setting("OTEL_EXPORTER_OTLP_CLIENT_KEY", "", p.path, "File with the key of our own certificate.")
    otlp_timeout_ms: int = setting("OTEL_EXPORTER_OTLP_TIMEOUT", 2000, p.integer(100, 10_000, "a number of milliseconds"), "Longest wait for an answer of the collector, ms.")
    metric_interval_ms: int = setting("OTEL_METRIC_EXPORT_INTERVAL", 15_000, p.integer(100, DAY_S * 1000), "Interval between metric exports, ms.")

    # state and spool
    state_dir: str = setting("PROLETTO_STATE_DIR", "", p.path, "What this host's workers share, a folder for each service; empty: `.state` inside `LOG_DIR`.")
    spool_max_bytes: int = setting("PROLETTO_SPOOL_MAX_BYTES", 0, p.integer(0), "Disk space for what could not be delivered; 0: 512 MB, or 4 MB while no endpoint is configured.")
    spool_max_hours: float = setting("PROLETTO_SPOOL_MAX_HOURS", 48.0, p.number(0.01), "Age at which spooled telemetry is dropped and counted, hours.")
    shutdown_timeout_s: float = setting("PROLETTO_SHUTDOWN_TIMEOUT", 5.0, p.number(0.1, 60), "Longest time the exit of a process may wait for telemetry, seconds.")

    # database
    database_url: Secret = setting("PROLETTO_DATABASE_URL", Secret(""), p.secret, "Where ERROR and CRITICAL records are stored when `add_db_handler` or `db=` is not used.")
    database_retention_days: float = setting("PROLETTO_DATABASE_RETENTION_DAYS", 30.0, p.number(0), "Age at which rows of error_logs are deleted, days; 0: never.")
    database_max_rows: int = setting("PROLETTO_DATABASE_MAX_ROWS", 100_000, p.integer(100), "Rows that error_logs may have; the oldest are deleted.")

    # Slack
    slack_webhook_url: Secret = setting("SLACK_WEBHOOK_URL", Secret(""), p.secret, "Slack webhook URL for notifications.")
    slack_bot_token: Secret = setting("SLACK_BOT_TOKEN", Secret(""), p.secret, "Slack bot token for notifications.")
    slack_channel_id: str = setting("SLACK_CHANNEL_ID", "", p.text, "Slack channel ID for notifications.")
    slack_api_url: str = setting("SLACK_API_URL", "https://slack.com/api/", p.url, "Base of the bot API (a proxy, a test).")
    slack_allow_insecure: bool = setting("PROLETTO_SLACK_ALLOW_INSECURE", False, p.flag, "1: accept Slack URLs that are not https on Slack's hosts.")
    slack_level: int = setting("PROLETTO_SLACK_LEVEL", 50, p.level, "Minimum level of log records sent to Slack.")
    slack_window_s: float = setting("PROLETTO_SLACK_WINDOW", 300.0, p.number(0.1, 7 * DAY_S), "Seconds in which a repeated error is held back and counted.")

    # email and webhook
    smtp_host: str = setting("SMTP_HOST", "", p.text, "Mail server; empty: no email.")
    smtp_port: int = setting("SMTP_PORT", 587, p.integer(1, 65535), "Its port.")
    smtp_user: str = setting("SMTP_USER", "", p.text, "Login name, if it asks for one.")
    smtp_password: Secret = setting("SMTP_PASSWORD", Secret(""), p.secret, "Password.")
    smtp_starttls: bool = setting("SMTP_STARTTLS", True, p.flag, "Encrypt with STARTTLS.")
    alert_email_from: str = setting("ALERT_EMAIL_FROM", "", p.text, "Sender of alert emails.")
    alert_email_to: tuple[str, ...] = setting("ALERT_EMAIL_TO", (), p.words, "Receivers of alert emails.")
    alert_webhook_url: Secret = setting("ALERT_WEBHOOK_URL", Secret(""), p.secret, "A URL that gets every alert as JSON.")

    # monitoring
    monitor_max_samples: int = setting("MONITOR_MAX_SAMPLES", 100, p.integer(1, 1_000_000), "Maximum number of metric samples to store.")
    monitor_sample_interval: float = setting("MONITOR_SAMPLE_INTERVAL", 60.0, p.number(0.1, DAY_S), "Interval between system metric samples (seconds).")
    monitor_system_metrics: bool = setting("MONITOR_SYSTEM_METRICS", True, p.flag, "Enable system metrics collection (0/1).")
    monitor_scheduled_checks: bool = setting("MONITOR_SCHEDULED_CHECKS", True, p.flag, "Enable scheduled health checks (0/1).")
    monitor_unhealthy_threshold: int = setting("MONITOR_UNHEALTHY_THRESHOLD", 3, p.integer(1, 1000), "Number of failures before service is marked unhealthy.")
    monitor_health_check_interval: float = setting("MONITOR_HEALTH_CHECK_INTERVAL", 60.0, p.number(0.1, DAY_S), "Interval between health checks (seconds).")
    alerts: str = setting("PROLETTO_ALERTS", "local", p.choice("local", "grafana", "both"), "Who tells people about alerts: this process, Grafana, or both.")
    alert_slack_severity: str = setting("PROLETTO_ALERT_SLACK_SEVERITY", "critical", p.choice("warning", "critical", "none"), "Alerts of this severity and above go to Slack.")
    alert_interval_s: float = setting("PROLETTO_ALERT_INTERVAL", 5.0, p.number(0.05, DAY_S), "Interval between evaluations of thresholds (seconds).")
    alert_repeat_s: float = setting("PROLETTO_ALERT_REPEAT", 0.0, p.number(0, 7 * DAY_S), "Seconds after which an alert that goes on is sent again; 0: never.")
    top_callers_days: float = setting("PROLETTO_TOP_CALLERS_DAYS", 30.0, p.number(0, 30), "Days for which the IDs of users and the addresses of clients that ask most are stored; 0: nobody counts them.")
    default_thresholds: bool = setting("PROLETTO_DEFAULT_THRESHOLDS", True, p.flag, "Register the default thresholds.")

    # pages
    admin_prefix: str = setting("PROLETTO_ADMIN_PREFIX", "/admin/monitoring", p.url_path, "Path of the admin pages.")
    admin_token: Secret = setting("MONITOR_ADMIN_TOKEN", Secret(""), p.secret, "Token that opens the admin pages (Authorization: Bearer).")
    viewer_token: Secret = setting("MONITOR_VIEWER_TOKEN", Secret(""), p.secret, "Another token that opens the admin pages for reading alone.")
    metrics_token: Secret = setting("PROLETTO_METRICS_TOKEN", Secret(""), p.secret, "Token that `/metrics` asks of everybody; without one only this machine may read.")
    metrics_path: str = setting("PROLETTO_METRICS_PATH", "/metrics", p.optional_url_path, "Path of the Prometheus page; `none`: no page.")
    dashboard_url: str = setting("PROLETTO_DASHBOARD_URL", "", p.url, "Public address of the app's admin pages, for links in messages.")
    trace_url: str = setting("PROLETTO_TRACE_URL", "", p.text, "Link to a trace, with `{trace_id}` in it, for messages and the request page; empty: Grafana's, where that is set.")
    grafana_url: str = setting("PROLETTO_GRAFANA_URL", "", p.url, "Public address of a Grafana with this project's dashboards, for links on the admin pages and to traces; empty: no links.")
    prometheus_url: Secret = setting("PROLETTO_PROMETHEUS_URL", Secret(""), p.secret_url, "The Prometheus that has the metrics of all hosts: System and Requests can show them.")
    prometheus_headers: dict[str, Secret] = setting("PROLETTO_PROMETHEUS_HEADERS", {}, p.headers, "Headers of requests to it, `key=value,key=value`: `Authorization=Bearer%20…`.")
    loki_url: Secret = setting("PROLETTO_LOKI_URL", Secret(""), p.secret_url, "The Loki that has the logs of all hosts: the log viewer can show them.")
    loki_headers: dict[str, Secret] = setting("PROLETTO_LOKI_HEADERS", {}, p.headers, "Headers of requests to it; `X-Scope-OrgID=…` names a tenant.")
    runbook_url: str = setting("PROLETTO_RUNBOOK_URL", "", p.text, "Base of runbook links in alerts; empty: this project's docs/runbook.md.")

    in_memory: bool = False
    """Whether nothing is kept on disk beside the log files (see `setup.under_test`)."""

    origins: Mapping[str, str] = MappingProxyType({})
    """Where the value of each field that somebody set came from; the others hold their defaults."""

    @property
    def configured(self) -> frozenset[str]:
        """Names of the fields that somebody set."""
        return frozenset(self.origins)

    def __init__(self, **values: Any) -> None:
        made = {row.name: row.default for row in SETTINGS}
        if unknown := values.keys() - made - {"in_memory", "origins"}:
            raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
        # Of its own: nobody shares a dictionary with other settings, or with the table.
        made = {name: dict(d) if isinstance(d, dict) else d for name, d in made.items()}
        vars(self).update(made | values)
        if not self.service_name:
            vars(self)["service_name"] = self.app_name

    def changed(self, **values: Any) -> Config:
        """The same settings but for these."""
        return Config(**vars(self) | values)

    def _refuse(self, name: str, *_: object) -> None:
        raise FrozenInstanceError(f"settings stay as they were made: {name}")

    if not TYPE_CHECKING:
        __setattr__ = __delattr__ = _refuse


SETTINGS = tuple(row for row in vars(Config).values() if isinstance(row, Setting))


def load(
    arguments: Mapping[str, Any], app_config: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[Config, list[str]]:
    """Read every setting; a bad value of `app_config` or `environ` becomes a warning.

    Returns:
        The settings, and one sentence for each value that did not fit.

    Raises:
        ConfigError: for an argument that is unknown or does not fit.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    warnings: list[str] = []
    known = {row.name for row in SETTINGS}
    for name in arguments:
        if name not in known:
            raise ConfigError(f"unknown setting {name}: {_suggestion(name)}")
    for row in SETTINGS:
        if arguments.get(row.name) is not None:
            values[row.name] = row.of_argument(arguments[row.name])
            origins[row.name] = f"{ARGUMENT} {row.name}"
            continue
        found = next(
            (
                (origin, variable, source[variable])
                for origin, source in ((APP_CONFIG, app_config), (ENVIRONMENT, environ))
                for variable in row.env
                if source.get(variable) not in (None, "")
            ),
            None,
        )
        if found is not None:
            origin, variable, value = found
            try:
                values[row.name] = row.parser(value)
                origins[row.name] = f"{origin} {variable}"
            except InvalidValue:
                warnings.append(row.misfit(variable, value))
    made = Config(**values, origins=origins)
    return made, warnings + _useless_token(made) + _without_effect(made, environ)


def _useless_token(made: Config) -> list[str]:
    same = made.viewer_token and made.viewer_token.reveal() == made.admin_token.reveal()
    return ["MONITOR_VIEWER_TOKEN='***': expected another token than MONITOR_ADMIN_TOKEN; it makes operators"] if same else []


def _without_effect(made: Config, environ: Mapping[str, str]) -> list[str]:
    """The sentence about `OTEL_*` variables that are set and not supported, if there are any."""
    in_use = {
        "PROTOCOL": made.otlp_protocol,
        "COMPRESSION": made.otlp_compression,
        "TIMEOUT": str(made.otlp_timeout_ms),
        "CERTIFICATE": made.otlp_certificate,
        "CLIENT_CERTIFICATE": made.otlp_client_certificate,
        "CLIENT_KEY": made.otlp_client_key,
    }
    supported = {variable for row in SETTINGS for variable in row.env}
    return otel_variables.unsupported(environ, supported, in_use, contrib=made.instrumentation == "contrib")


def _suggestion(name: str) -> str:
    """The setting that was probably meant (names of variables count, too), or all there are."""
    names = {row.name: row.name for row in SETTINGS}
    names |= {variable.lower(): row.name for row in SETTINGS for variable in row.env}
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.7)
    if near:
        return f"did you mean {names[near[0]]}?"
    return f"expected one of {', '.join(sorted(row.name for row in SETTINGS))}"
