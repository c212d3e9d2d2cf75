"""Where the workers of a host meet: private, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.core.config import Config
from proletto_otel.state import directory


def test_the_default_is_beside_the_logs(tmp_path: Path) -> None:
    """Without a setting the state lies inside the log directory, for this user alone."""
    found = directory.prepare(Config(log_dir=str(tmp_path / "logs")))

    assert tmp_path / "logs" / ".state" / "proletto" == found
    assert 0o700 == found.stat().st_mode & 0o777
    assert 0o700 == found.parent.stat().st_mode & 0o777


def test_the_setting_moves_it(tmp_path: Path) -> None:
    """PROLETTO_STATE_DIR holds the folders."""
    config = Config(state_dir=str(tmp_path / "here"), service_name="shop")

    assert tmp_path / "here" / "shop" == directory.prepare(config)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a b", "a" * 300, "läden", "\ud800"])
def test_any_service_has_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    """A name that is no file name gets one, unlike that of any similar service."""
    found = directory.prepare(Config(state_dir=str(tmp_path), service_name=name))
    like = directory.prepare(Config(state_dir=str(tmp_path), service_name=name + "-"))

    assert found is not None
    assert tmp_path == found.parent
    assert found != like


def test_a_place_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The process goes on alone and says so once, naming the setting."""
    internal_errors.forget_logged()
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert directory.prepare(Config(state_dir=str(tmp_path / "file" / "state"))) is None

    assert ["PROLETTO_STATE_DIR" in line for line in caplog.messages] == [True]
