"""The past of each metric: full resolution for a while, then minutes, then quarter hours.

Values come from the leader's samples; they are stored in the host's store.
"""

from __future__ import annotations

from collections.abc import Mapping

from proletto_otel.state.store import Store, StoreUnavailable

DDL = (
    "CREATE TABLE IF NOT EXISTS samples (resolution INTEGER NOT NULL, metric TEXT NOT NULL,"
    " at REAL NOT NULL, value REAL NOT NULL, n INTEGER NOT NULL,"
    " PRIMARY KEY (resolution, metric, at)) WITHOUT ROWID",
)
LEVELS = ((60, 6 * 3600), (900, 7 * 86_400))
"""Seconds of one point, and how long such points are stored: hours at minutes, days at quarter
hours. 360 + 672 points a metric, about 50 bytes each."""
FORGOTTEN = (0, LEVELS[-1][1])
"""Full samples of a metric that nobody measures any more go with the last quarter hours."""
MAX_METRICS = 200
PRUNE_BATCH = 1000


class History:
    """Samples by metric.

    Args:
        store: The host's store.
        max_samples: Full-resolution samples stored per metric (`MONITOR_MAX_SAMPLES`).
    """

    def __init__(self, store: Store, max_samples: int) -> None:
        self._store = store
        self._max_samples = max_samples
        store.define(*DDL)

    def add(self, at: float, values: Mapping[str, float | None]) -> None:
        """Store one sample of each metric, taken at unix time *at*; prune what is too old."""
        known = [(name, v) for name, v in values.items() if v is not None][:MAX_METRICS]
        try:
            with self._store.transaction() as db:
                db.executemany(
                    "INSERT OR REPLACE INTO samples VALUES (0, ?, ?, ?, 1)",
                    [(name, at, v) for name, v in known],
                )
                # Averages are updated at once as a running mean: no job has to run later, and a
                # killed leader leaves no period without its average.
                for seconds, _ in LEVELS:
                    begin = at - at % seconds
                    db.executemany(
                        "INSERT INTO samples VALUES (?, ?, ?, ?, 1)"
                        " ON CONFLICT (resolution, metric, at) DO UPDATE"
                        " SET value = (value * n + excluded.value) / (n + 1), n = n + 1",
                        [(seconds, name, begin, v) for name, v in known],
                    )
        except StoreUnavailable:
            return
        # A transaction of its own: a prune that fails must not lose the sample.
        self._prune(at, [name for name, _ in known])

    def _prune(self, at: float, names: list[str]) -> None:
        # one past the limit: the oldest sample that stays
        oldest = "(SELECT at FROM samples WHERE resolution = 0 AND metric = :name"
        oldest += " ORDER BY at DESC LIMIT 1 OFFSET :stored)"
        self._store.write(
            f"DELETE FROM samples WHERE resolution = 0 AND metric = :name AND at <= {oldest}",
            [{"name": name, "stored": self._max_samples} for name in names],
        )
        self._store.write(
            # In batches: after a long stop a day of samples would hold the write lock for too long.
            "DELETE FROM samples WHERE (resolution, metric, at) IN (SELECT resolution, metric, at"
            " FROM samples WHERE resolution = ? AND at < ? LIMIT ?)",
            [(seconds, at - stored_s, PRUNE_BATCH) for seconds, stored_s in (FORGOTTEN, *LEVELS)],
        )

    def read(self, metric: str, since: float) -> list[tuple[float, float]]:
        """Samples of *metric* since a unix time, oldest first: the finest that reach so far."""
        for resolution in (0, *(seconds for seconds, _ in LEVELS)):
            rows = self._store.query(
                "SELECT at, value FROM samples WHERE resolution = ? AND metric = ? AND at >= ?"
                " ORDER BY at",
                (resolution, metric, since),
            )
            # The first resolution that reaches back far enough, so that a curve has no empty start.
            if self._reaches(resolution, metric, since):
                return [(row["at"], row["value"]) for row in rows]
        return [(row["at"], row["value"]) for row in rows]

    def _reaches(self, resolution: int, metric: str, since: float) -> bool:
        """Whether this resolution goes back to *since*, or as far as anything does."""
        first = "SELECT MIN(at) FROM samples WHERE metric = ?"
        here = self._store.query(f"{first} AND resolution = ?", (metric, resolution))
        ever = self._store.query(first, (metric,))
        if not here or here[0][0] is None:
            return False
        # One coarse point of tolerance: its start is rounded down, so it is always "older".
        coarsest = LEVELS[-1][0]
        return bool(here[0][0] <= max(since, ever[0][0] + coarsest))
