"""The past of each metric: every sample for a while, then lowest, highest and mean of buckets.

Samples come from the leader. How a chart reads them lives in `state.metric_series`.

An earlier release wrote means of minutes and quarter hours into `samples`. They stay there and are
read as well until they are too old, so that workers of both releases can run on one store: each
sample is in one of the two tables, whichever release took it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from proletto_otel.state.store import Store, StoreUnavailable

DDL = (
    "CREATE TABLE IF NOT EXISTS samples (resolution INTEGER NOT NULL, metric TEXT NOT NULL,"
    " at REAL NOT NULL, value REAL NOT NULL, n INTEGER NOT NULL,"
    " PRIMARY KEY (resolution, metric, at)) WITHOUT ROWID",
    # Numbers in place of names: a third of a row's size otherwise.
    "CREATE TABLE IF NOT EXISTS metric_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS metric_points (tier INTEGER NOT NULL, metric INTEGER NOT NULL,"
    " at INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL, total REAL NOT NULL,"
    " n INTEGER NOT NULL, PRIMARY KEY (tier, metric, at)) WITHOUT ROWID",
)
DAY_S = 86_400
TIERS = ((60, DAY_S), (900, 30 * DAY_S), (7200, 365 * DAY_S))
"""Seconds of one bucket, and how long such buckets are stored: 1,440 + 2,880 + 4,380 points a
metric."""
YEARLY = TIERS[-1][0]
"""This tier is for the built-in metrics alone: a year of 200 metrics would be 40 MB."""
EARLIER_COARSEST = 900
"""The coarsest means that the earlier release wrote."""
FORGOTTEN = (0, 7 * DAY_S)
"""Full samples of a metric that nobody measures any more go after a week."""
MAX_METRICS = 200
PRUNE_BATCH = 1000
PRUNE_S = 60.0

_UPSERT = (
    "INSERT INTO metric_points VALUES (:tier, :metric, :at, :value, :value, :value, 1)"
    " ON CONFLICT (tier, metric, at) DO UPDATE SET low = min(low, excluded.low),"
    " high = max(high, excluded.high), total = total + excluded.total, n = n + 1"
)
# Metric by metric, so that the primary key finds what is too old without an index on the time.
_PRUNE = (
    "DELETE FROM metric_points WHERE (tier, metric, at) IN (SELECT p.tier, p.metric, p.at"
    " FROM metric_names m JOIN metric_points p ON p.tier = :tier AND p.metric = m.id"
    " AND p.at < :oldest LIMIT :batch)"
)


class History:
    """Samples by metric.

    Args:
        store: The host's store.
        max_samples: Full-resolution samples stored per metric (`MONITOR_MAX_SAMPLES`).
        is_built_in: Whether a metric is stored for a year.
    """

    def __init__(
        self,
        store: Store,
        max_samples: int,
        is_built_in: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._store = store
        self._max_samples = max_samples
        self._is_built_in = is_built_in
        self._pruned_at = 0.0
        store.define(*DDL)

    def add(self, at: float, values: Mapping[str, float | None]) -> None:
        """Store one sample of each metric, taken at unix time *at*; prune what is too old."""
        self.add_samples(at, values)
        self.add_to_tiers(at, values)

    def add_samples(self, at: float, values: Mapping[str, float | None]) -> None:
        """Store the samples themselves, in place of the oldest ones."""
        known = _known(values)
        if self._store.write(
            "INSERT OR REPLACE INTO samples VALUES (0, ?, ?, ?, 1)",
            [(name, at, value) for name, value in known.items()],
        ):
            # A transaction of its own: a prune that fails must not lose the sample.
            self._prune_samples(known)

    def add_to_tiers(self, at: float, values: Mapping[str, float | None]) -> None:
        """Take the samples into the bucket of each tier that is under way at *at*."""
        known = _known(values)
        try:
            with self._store.transaction() as db:
                ids = self._ids(db, known, at)
                # Each bucket is complete with each sample: no job has to run later, and a killed
                # leader leaves none without its figures.
                db.executemany(
                    _UPSERT,
                    [
                        {"tier": tier, "metric": ids[name], "at": int(at // tier * tier),
                         "value": value}
                        for name, value in known.items()
                        if name in ids
                        for tier, _ in TIERS
                        if tier != YEARLY or self._is_built_in(name)
                    ],
                )  # fmt: skip
        except StoreUnavailable:
            return
        if abs(at - self._pruned_at) >= PRUNE_S:
            self._pruned_at = at
            self._prune(at)

    def _ids(self, db: sqlite3.Connection, known: Mapping[str, float], at: float) -> dict[str, int]:
        """The number of each metric; a new one gets one while there is space."""
        # Read in each transaction, not remembered: another process may have replaced the store.
        ids = {row["name"]: row["id"] for row in db.execute("SELECT id, name FROM metric_names")}
        for name in known.keys() - ids.keys():
            if len(ids) < MAX_METRICS or self._is_built_in(name):
                made = db.execute("INSERT INTO metric_names (name, at) VALUES (?, ?)", (name, at))
                ids[name] = made.lastrowid or 0
        db.executemany(
            "UPDATE metric_names SET at = ? WHERE id = ? AND at < ?",
            [(at, ids[name], at - PRUNE_S) for name in known if name in ids],
        )
        return ids

    def _prune_samples(self, known: Mapping[str, float]) -> None:
        # one past the limit: the oldest sample that stays
        oldest = "(SELECT at FROM samples WHERE resolution = 0 AND metric = :name"
        oldest += " ORDER BY at DESC LIMIT 1 OFFSET :stored)"
        self._store.write(
            f"DELETE FROM samples WHERE resolution = 0 AND metric = :name AND at <= {oldest}",
            [{"name": name, "stored": self._max_samples} for name in known],
        )

    def _prune(self, at: float) -> None:
        # In batches: after a long stop a day of samples would hold the write lock for too long.
        self._store.write(
            _PRUNE,
            [
                {"tier": tier, "oldest": at - stored_s, "batch": PRUNE_BATCH}
                for tier, stored_s in TIERS
            ],
        )
        self._store.write(
            "DELETE FROM samples WHERE (resolution, metric, at) IN (SELECT resolution, metric, at"
            " FROM samples WHERE resolution = ? AND at < ? LIMIT ?)",
            [(seconds, at - stored_s, PRUNE_BATCH) for seconds, stored_s in (FORGOTTEN, *TIERS)],
        )
        self._store.write(
            "DELETE FROM metric_names WHERE at < ? AND NOT EXISTS"
            " (SELECT 1 FROM metric_points p, (SELECT 60 t UNION SELECT 900 UNION SELECT 7200)"
            "  WHERE p.tier = t AND p.metric = metric_names.id)",
            [(at - DAY_S,)],
        )


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    found = {name: value for name, value in values.items() if value is not None}
    return dict(list(found.items())[:MAX_METRICS])
