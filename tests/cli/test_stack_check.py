"""`stack check` and `stack up`: a folder is judged, explained, started only when it is sound."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.cli.test_stack_init import call


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A folder as `stack init` leaves it."""
    call("init", str(tmp_path / "stack"))
    return tmp_path / "stack"


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker-compose that only writes down how it was called."""
    program = tmp_path / "bin/docker-compose"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$PWD $@" > {tmp_path}/called\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "called"


def test_fresh_folder_is_sound(stack: Path) -> None:
    """What `init` writes needs nothing more."""
    done = call("check", str(stack))

    assert 0 == done.exit_code
    assert f"{stack} is sound.\n" == done.output


def test_finding_names_file_and_remedy(stack: Path) -> None:
    """Exit status 1, the file, what is wrong, what to do."""
    with (stack / ".env").open("a") as file:
        file.write("ALERT_CONTACT_POINT=slack\n")
    done = call("check", str(stack))

    assert 1 == done.exit_code
    assert (
        "error: .env: ALERT_CONTACT_POINT=slack does not exist\n  mend: one of none" in done.output
    )


def test_warnings_do_not_fail(stack: Path) -> None:
    """Another version may well work."""
    with (stack / ".env").open("a") as file:
        file.write("LOKI_VERSION=3.9.0\n")
    done = call("check", str(stack))

    assert 0 == done.exit_code
    assert "warning: .env: LOKI_VERSION=3.9.0 is not the tested" in done.output


def test_findings_for_programs(stack: Path) -> None:
    """`--json` has the same, as a list."""
    (stack / "loki/loki.yaml").unlink()
    (found,) = json.loads(call("check", str(stack), "--json").output)

    assert ("loki/loki.yaml", "it is missing", "error") == (
        found["path"], found["problem"], found["level"],
    )  # fmt: skip


def test_up_starts_and_says_what_to_open(stack: Path, compose: Path) -> None:
    """The address of Grafana, where its password is, where applications send."""
    with (stack / ".env").open("a") as file:
        file.write("GRAFANA_PORT=3333\n")
    done = call("up", str(stack), "--profile", "hostmetrics")

    assert f"{stack} --profile hostmetrics up -d\n" == compose.read_text()
    assert "http://127.0.0.1:3333" in done.output
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318" in done.output


def test_up_does_not_start_what_is_broken(stack: Path, compose: Path) -> None:
    """Grafana would crash-loop; the reason is said instead."""
    (stack / ".env").write_text("")
    done = call("up", str(stack))

    assert 1 == done.exit_code
    assert "GRAFANA_ADMIN_PASSWORD is empty" in done.output
    assert not compose.exists()


def test_up_says_who_may_log_in(stack: Path, compose: Path) -> None:
    """Grafana's user may have another name than `admin`."""
    with (stack / ".env").open("a") as file:
        file.write("GRAFANA_ADMIN_USER=ops\n")
    done = call("up", str(stack))

    assert f"(ops, GRAFANA_ADMIN_PASSWORD in {stack / '.env'})" in done.output


def test_up_that_fails_says_what_to_look_at(stack: Path, compose: Path, tmp_path: Path) -> None:
    """docker-compose without an engine prints fifty lines of its own; the last line is ours."""
    program = tmp_path / "bin/docker-compose"
    program.write_text("#!/bin/sh\nexit 17\n")
    done = call("up", str(stack))

    assert 17 == done.exit_code
    assert "docker-compose failed (see above); does `docker info` reach an engine?" in done.output
    assert "http://" not in done.output


def test_folder_without_a_stack(tmp_path: Path) -> None:
    """One sentence, and the command that writes one."""
    for done in (call("check", str(tmp_path / "no")), call("up", str(tmp_path / "no"))):
        assert 1 == done.exit_code
        assert 1 == done.output.count("there is no stack")
        assert f"python -m proletto_otel stack init {tmp_path / 'no'}" in done.output


def test_last_line_names_the_folder(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the moment, too."""
    monkeypatch.chdir(stack)
    (stack / "loki/loki.yaml").unlink()

    assert call("check").output.endswith("\n.: 1 findings.\n")
