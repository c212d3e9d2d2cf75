"""Settings: where a value comes from, and what a bad one does."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from proletto_otel.core.config import SETTINGS, Config, load
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.parsing import Secret

SPECIFIED = {
    "LOG_LEVEL": 20,
    "LOG_FORMAT": "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    "LOG_DIR": "logs",
    "FLASK_ENV": "development",
    "APP_NAME": "proletto",
    "SLACK_WEBHOOK_URL": Secret(""),
    "SLACK_BOT_TOKEN": Secret(""),
    "SLACK_CHANNEL_ID": "",
    "MONITOR_MAX_SAMPLES": 100,
    "MONITOR_SAMPLE_INTERVAL": 60.0,
    "MONITOR_REQUEST_LOGGING": True,
    "MONITOR_SYSTEM_METRICS": True,
    "MONITOR_SCHEDULED_CHECKS": True,
    "MONITOR_UNHEALTHY_THRESHOLD": 3,
    "MONITOR_HEALTH_CHECK_INTERVAL": 60.0,
}
GARBAGE = "\x1b[31m,,=\x00nonsense"
FITS_ANYTHING = {"a text", "a comma-separated list"}


@pytest.mark.parametrize(
    "bad", ["\u00e9=1", "a=\u20ac", "bad name=1", "a=b\nc=d", "a=b%0d%0ac", "a"]
)
def test_headers_that_http_cannot_carry_are_named_and_not_shown(bad: str) -> None:
    """They would fail at every request, and what waits for it would wait for ever."""
    found, (said,) = load({}, {}, {"OTEL_EXPORTER_OTLP_LOGS_HEADERS": bad})

    assert {} == found.otlp_logs_headers
    assert said.startswith("OTEL_EXPORTER_OTLP_LOGS_HEADERS='***': expected a comma-separated list")


@pytest.mark.parametrize(("variable", "default"), SPECIFIED.items())
def test_specified_variables_keep_name_and_default(variable: str, default: object) -> None:
    """Every variable of the specification keeps its name and default."""
    rows = [row for row in SETTINGS if variable in row.env]

    assert [default] == [row.default for row in rows]


def test_argument_wins_over_app_config_over_environment() -> None:
    """Order: argument, then app.config, then environment, then default."""
    sources = {"LOG_DIR": "from-app"}, {"LOG_DIR": "from-env", "APP_NAME": "shop"}

    config, warnings = load({"log_dir": "from-code"}, *sources)
    without_argument, _ = load({}, *sources)

    assert ("from-code", "shop", []) == (config.log_dir, config.app_name, warnings)
    assert without_argument.log_dir == "from-app"


@pytest.mark.parametrize("variable", [name for row in SETTINGS for name in row.env])
def test_bad_environment_value_is_one_warning(variable: str) -> None:
    """A bad value: one warning names variable, value and what fits, and the default holds."""
    row = next(row for row in SETTINGS if variable in row.env)

    config, warnings = load({}, {}, {variable: GARBAGE})

    if row.parser.expected in FITS_ANYTHING:
        assert warnings == []
        return
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{variable}=")
    assert row.parser.expected in warnings[0]
    assert getattr(config, row.name) in (row.default, config.app_name)
    assert "\x1b" not in warnings[0]


def test_warning_names_variable_value_and_what_fits() -> None:
    """OTEL_TRACES_SAMPLER_ARG='two': expected a number from 0 to 1."""
    _, warnings = load({}, {}, {"OTEL_TRACES_SAMPLER_ARG": "two"})

    assert ["OTEL_TRACES_SAMPLER_ARG='two': expected a number from 0 to 1; using 1.0"] == warnings


def test_bad_argument_is_a_config_error() -> None:
    """A bad argument in code raises, naming the setting, what came and what fits."""
    with pytest.raises(ConfigError, match=r"log_level='LOUD': expected one of DEBUG"):
        load({"log_level": "LOUD"}, {}, {})


def test_unknown_argument_names_the_known_ones() -> None:
    """A misspelt argument is not swallowed."""
    with pytest.raises(ConfigError, match=r"unknown setting log_levle: .*log_level"):
        load({"log_levle": "INFO"}, {}, {})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("log_dri", "log_dir"), ("LOG_DIR", "log_dir"), ("colour", ""),
     ("slack_webhok_url", "slack_webhook_url"), ("otel_service_name", "service_name")],
)  # fmt: skip
def test_a_misspelt_argument_names_the_one_that_was_meant(written: str, meant: str) -> None:
    """By its own name or its variable's; one that resembles none gets the whole list."""
    expected = f"unknown setting {written}: " + (
        f"did you mean {meant}\\?$" if meant else "expected one of admin_prefix, .*log_dir"
    )
    with pytest.raises(ConfigError, match=expected):
        load({written: 1}, {}, {})


@pytest.mark.parametrize("value", [0, "0", -10, True, "NOTSET", ""])
def test_a_level_that_is_none_is_refused(value: object) -> None:
    """0 would record everything by mistake; an empty one counts as not given."""
    config, warnings = load({}, {"LOG_LEVEL": value}, {})

    assert 20 == config.log_level
    assert (1 if value != "" else 0) == len(warnings)


INTEGERS = [row for row in SETTINGS if "whole number" in row.parser.expected]
NUMBERS = [row for row in SETTINGS if row.parser.expected.startswith("a number")]


@pytest.mark.parametrize("row", [*INTEGERS, *NUMBERS], ids=lambda row: row.name)
@pytest.mark.parametrize("value", ["inf", "nan", "-1e999", True])
def test_a_number_that_is_endless_or_none_is_refused(row: Any, value: object) -> None:
    """Neither an interval that never ends nor a limit that no value reaches can be set."""
    config, warnings = load({}, {row.env[0]: value}, {})

    assert row.default == getattr(config, row.name)
    assert [f"{row.env[0]}={value!r}: expected {row.parser.expected}; using {row.default!r}"] == (
        warnings
    )


@pytest.mark.parametrize("row", INTEGERS, ids=lambda row: row.name)
@pytest.mark.parametrize("value", ["587.9", 587.9, 587.0, "5e2"])
def test_a_whole_number_is_not_rounded(row: Any, value: object) -> None:
    """Port 587.9 is a slip, and connecting to 587 would hide it."""
    config, warnings = load({}, {row.env[0]: value}, {})

    assert row.default == getattr(config, row.name)
    assert 1 == len(warnings)
    with pytest.raises(ConfigError, match=f"{row.name}={value!r}: expected "):
        load({row.name: value}, {}, {})


def test_the_numbers_that_are_tried_are_there() -> None:
    """The two tests above would pass without a setting."""
    assert {"smtp_port", "monitor_max_samples"} <= {row.name for row in INTEGERS}
    assert {"monitor_sample_interval", "slack_window_s"} <= {row.name for row in NUMBERS}


def test_secrets_are_never_shown() -> None:
    """Neither the repr of the settings nor a warning shows a secret."""
    config, _ = load(
        {}, {}, {"SLACK_BOT_TOKEN": "hunter2", "OTEL_EXPORTER_OTLP_HEADERS": "a=hunter2"}
    )
    _, warnings = load({}, {}, {"SLACK_WEBHOOK_URL": "hunter2\nx"})

    assert "hunter2" not in repr(config) + str(config.slack_bot_token) + "".join(warnings)
    assert config.slack_bot_token.reveal() == "hunter2"
    assert len(warnings) == 1


def test_service_name_defaults_to_app_name() -> None:
    """Without OTEL_SERVICE_NAME the application's name is the service's."""
    assert load({}, {}, {"APP_NAME": "shop"})[0].service_name == "shop"


def test_list_of_words_is_read_and_another_word_is_refused() -> None:
    """A comma-separated list keeps its order; one word that does not fit costs the whole list."""
    found, said = load({}, {}, {"OTEL_PROPAGATORS": "b3, tracecontext"})
    default, (warning,) = load({}, {}, {"OTEL_PROPAGATORS": "b3,pigeon"})

    assert (("b3", "tracecontext"), []) == (found.propagators, said)
    assert ("tracecontext",) == default.propagators
    assert "OTEL_PROPAGATORS='b3,pigeon': expected a comma-separated list of" in warning


def test_empty_variable_counts_as_unset() -> None:
    """`LOG_LEVEL=` in an .env file means the default."""
    config, warnings = load({}, {}, {"LOG_LEVEL": ""})

    assert (Config().log_level, []) == (config.log_level, warnings)


def test_variables_without_effect_are_named_once_in_one_sentence() -> None:
    """Whoever sets an OTEL_ variable relies on it: one sentence names all that change nothing."""
    (said,) = load({}, {}, {
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip",
        "OTEL_METRICS_EXEMPLAR_FILTER": "always_on",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "x-tenant",
        "OTEL_SERVICE_NAME": "shop",
    })[1]  # fmt: skip

    assert said == (
        "not supported and without effect: OTEL_EXPORTER_OTLP_LOGS_COMPRESSION,"
        " OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,"
        " OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST, OTEL_METRICS_EXEMPLAR_FILTER"
        " (see docs/configuration.md)"
    )


def test_variables_that_ask_for_what_is_done_are_not_named() -> None:
    """So are empty ones, and those that other instrumentations of the process read."""
    said = load({}, {}, {
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "CUMULATIVE",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "auto",
        "OTEL_METRICS_EXEMPLAR_FILTER": "trace_based",
        "OTEL_SPAN_LINK_COUNT_LIMIT": "",
        "OTEL_PYTHON_REQUESTS_EXCLUDED_URLS": "x",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    })[1]  # fmt: skip

    assert [] == said


def test_captured_headers_have_an_effect_with_contrib() -> None:
    """Its request spans carry them."""
    environ = {"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "x-tenant"}

    assert [] == load({"instrumentation": "contrib"}, {}, environ)[1]


def test_a_flood_of_unsupported_variables_is_one_bounded_sentence() -> None:
    """Names come from outside: they are escaped, and only the first twenty are shown."""
    (said,) = load({}, {}, {f"OTEL_\x1b{n:04}": "1" for n in range(1000)})[1]

    assert said.endswith(" and 980 more (see docs/configuration.md)")
    assert said.isprintable()


def test_settings_made_in_code_have_the_same_defaults() -> None:
    """What is not given is the default of the table, and nobody shares a dictionary with others."""
    made, other = Config(log_level=10), Config()

    assert 10 == made.log_level
    assert {s.name: s.default for s in SETTINGS if s.name not in ("log_level", "service_name")} == {
        s.name: getattr(made, s.name)
        for s in SETTINGS
        if s.name not in ("log_level", "service_name")
    }
    assert made.app_name == made.service_name
    assert made.resource_attributes is not other.resource_attributes


def test_unknown_and_changed_settings_are_refused() -> None:
    """A misspelt name is an error, and a setting stays as it was made."""
    with pytest.raises(TypeError, match="unknown settings: log_levle"):
        Config(log_levle=10)
    with pytest.raises(FrozenInstanceError):
        Config().log_level = 10  # type: ignore[misc]  # what is tried
