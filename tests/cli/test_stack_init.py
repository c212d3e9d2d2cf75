"""`stack init` and `stack password`: the stack for a user who has only the wheel."""

from __future__ import annotations

import stat
from pathlib import Path

from click.testing import CliRunner, Result

from proletto_otel.cli.stack import command
from proletto_otel.stack import env_file, shipped


def call(*words: str) -> Result:
    """Run `stack` with *words*."""
    return CliRunner().invoke(command, words)


def test_init_writes_every_file(tmp_path: Path) -> None:
    """The folder holds what docker-compose needs, byte for byte."""
    call("init", str(tmp_path / "stack"))
    written = shipped.read(tmp_path / "stack")

    assert shipped.texts() == {path: written[path] for path in shipped.texts()}
    assert "docker-compose.yml" in written
    assert "grafana/provisioning/datasources/datasources.yaml" in written


def test_init_makes_a_password(tmp_path: Path) -> None:
    """.env holds a new password and is readable by its owner only."""
    call("init", str(tmp_path / "one"))
    call("init", str(tmp_path / "two"))
    one, two = (
        env_file.parse((tmp_path / name / ".env").read_text())[env_file.PASSWORD]
        for name in ("one", "two")
    )

    assert 24 == len(one)
    assert one != two
    assert 0o600 == stat.S_IMODE((tmp_path / "one/.env").stat().st_mode)


def test_init_again_keeps_the_password(tmp_path: Path) -> None:
    """A second run changes nothing."""
    call("init", str(tmp_path))
    before = shipped.read(tmp_path)
    call("init", str(tmp_path))

    assert before == shipped.read(tmp_path)


def test_init_does_not_replace_changed_files(tmp_path: Path) -> None:
    """A file that the user changed stays, and the command names it."""
    call("init", str(tmp_path))
    (tmp_path / "loki/loki.yaml").write_text("# mine\n")
    done = call("init", str(tmp_path))

    assert 1 == done.exit_code
    assert "loki/loki.yaml" in done.output
    assert "# mine\n" == (tmp_path / "loki/loki.yaml").read_text()


def test_force_replaces_files_but_not_the_password(tmp_path: Path) -> None:
    """`--force` is the way to a newer stack; .env is the user's."""
    call("init", str(tmp_path))
    secret = (tmp_path / ".env").read_text()
    (tmp_path / "loki/loki.yaml").write_text("# mine\n")
    call("init", str(tmp_path), "--force")

    assert shipped.texts()["loki/loki.yaml"] == (tmp_path / "loki/loki.yaml").read_text()
    assert secret == (tmp_path / ".env").read_text()


def test_password_fills_in_the_example(tmp_path: Path) -> None:
    """In a clone: .env is made of .env.example, everything else in it stays."""
    (tmp_path / ".env.example").write_text("GRAFANA_ADMIN_PASSWORD=\nLOGS_DAYS=14\n")
    call("password", str(tmp_path))
    found = env_file.parse((tmp_path / ".env").read_text())

    assert 24 == len(found[env_file.PASSWORD])
    assert "14" == found["LOGS_DAYS"]


def test_password_that_is_set_stays(tmp_path: Path) -> None:
    """Grafana takes the password at its first start only: a second one would lock people out."""
    (tmp_path / ".env").write_text("GRAFANA_ADMIN_PASSWORD=mine\n")
    done = call("password", str(tmp_path))

    assert "GRAFANA_ADMIN_PASSWORD=mine\n" == (tmp_path / ".env").read_text()
    assert "mine" not in done.output


def test_env_file_is_read_as_docker_compose_reads_it() -> None:
    """Quotes, comments and `export` are no part of a value."""
    text = "# x\nexport A=1\nB='two words' \nC=3 # note\nD=\"\"\nE=a#b\n"

    assert {"A": "1", "B": "two words", "C": "3", "D": "", "E": "a#b"} == env_file.parse(text)


def test_password_is_not_written_where_no_stack_is(tmp_path: Path) -> None:
    """Neither into an empty folder nor into one that does not exist."""
    for folder in (tmp_path, tmp_path / "no"):
        done = call("password", str(folder))

        assert 1 == done.exit_code
        assert f"there is no stack in {folder}" in done.output
    assert [] == list(tmp_path.iterdir())
