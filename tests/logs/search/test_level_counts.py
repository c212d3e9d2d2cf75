"""Lines by level and time: each line is in the bar of its millisecond."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import pytest

from proletto_otel.logs.search.search import LogSearch

BEGIN = 1_764_511_499.5
"""Half a second before a full minute of a full hour."""


def written(folder: Path, times: Sequence[float], levels: Sequence[str]) -> LogSearch:
    """A log with a line for each time."""
    path = folder / "shop_structured.json"
    lines = (
        json.dumps(
            {
                "timestamp": datetime.fromtimestamp(at, timezone.utc).strftime("%FT%T.%f")[:-3],
                "level": level,
                "message": "it",
            },
            separators=(",", ":"),
        )
        for at, level in zip(times, levels, strict=True)
    )
    path.write_text("".join(f"{line}\n" for line in lines))
    return LogSearch(path, clock=lambda: 0.0)


@pytest.mark.parametrize("bar_s", [1.0, 0.0625, 7.3, 3600.0])
@pytest.mark.parametrize("shift_s", [0.0, 0.0004, 0.5])
def test_each_line_is_in_its_bar(tmp_path: Path, bar_s: float, shift_s: float) -> None:
    """Also where bars begin between two milliseconds, and at both ends of the range."""
    begin = BEGIN + shift_s
    ticks = [round((BEGIN - bar_s + i * bar_s / 4) * 1000) for i in range(100)]
    levels = ["INFO" if i % 3 else "ERROR" for i in range(100)]
    search = written(tmp_path, [tick / 1000 for tick in ticks], levels)

    found = search.level_counts(begin, begin + 20 * bar_s, bars=20, budget_s=2)

    expected = {"INFO": [0] * 20, "ERROR": [0] * 20}
    for tick, level in zip(ticks, levels, strict=True):
        # in whole tenths of a millisecond: at an edge a float is a little more or less
        bar = (10 * tick - round(begin * 10_000)) // round(bar_s * 10_000)
        if 0 <= bar < 20:
            expected[level][bar] += 1
    assert expected == {level: found.counts[level] for level in expected}
    assert sum(map(sum, expected.values())) > 60


def test_lines_of_other_programs_are_left_out(tmp_path: Path) -> None:
    """A level of their own, and a time that is none, are no bar of ours."""
    search = written(tmp_path, [BEGIN + 1] * 3, ["INFO", "NOTICE", "WARNING"])
    with (tmp_path / "shop_structured.json").open("a") as file:
        file.write('{"timestamp":"yesterday at the earliest","level":"INFO","message":"it"}\n')

    found = search.level_counts(BEGIN, BEGIN + 10, bars=10, budget_s=2)

    assert {"INFO": 1, "WARNING": 1} == {k: sum(v) for k, v in found.counts.items() if any(v)}


def without_time(search: LogSearch) -> LogSearch:
    """The search as on a machine that is so busy that each look at the clock is a second later."""
    seconds = itertools.count()
    search._clock = lambda: float(next(seconds))
    return search


def test_one_block_is_counted_whatever_the_time(tmp_path: Path) -> None:
    """Its time says from when on the bars are complete: what is older is not."""
    seconds = [BEGIN + i / 500 for i in range(10_000)]
    search = without_time(written(tmp_path, seconds, ["INFO"] * len(seconds)))

    found = search.level_counts(BEGIN, BEGIN + 20, bars=20)

    back_to = found.counted_back_to
    assert back_to is not None
    assert BEGIN < back_to < BEGIN + 20
    lines = sum(at >= back_to for at in seconds)
    assert lines <= sum(found.counts["INFO"]) <= lines + 1  # one is cut by the block's begin


def test_block_without_a_time_leaves_all_bars_incomplete(tmp_path: Path) -> None:
    """Somebody else's lines fill the newest block: no time is made up for them."""
    search = without_time(written(tmp_path, [BEGIN + 1] * 9, ["INFO"] * 9))
    with (tmp_path / "shop_structured.json").open("a") as file:
        file.write("somebody else's line\n" * 30_000)

    found = search.level_counts(BEGIN, BEGIN + 10, bars=10)

    assert found.counted_back_to == BEGIN + 10
    assert 0 == sum(found.counts["INFO"])
