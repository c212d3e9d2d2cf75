"""What redaction costs on texts that almost match, by length: CPU time of the slowest, printed.

    python -m bench.redaction [--all]

A pattern that reads the same characters again and again shows as a row whose time per KB grows from
size to size. It is a figure and no test: a machine with twenty busy processes doubles any of them.
"""

from __future__ import annotations

import sys
import time

from proletto_otel.core.redaction.redactor import Redactor
from tests.corpus import near_misses

SIZES_KB = (8, 34, 136, 1000)


REPEATS = 9
"""Of the slowest texts: what a neighbour of this machine slowed down once is not slow."""


def cpu_ms(redactor: Redactor, text: str, times: int = 2) -> float:
    """Processor time of redacting *text* once; the least of so many."""
    least = float("inf")
    for _ in range(times):
        start = time.process_time()
        redactor.text(text)
        least = min(least, time.process_time() - start)
    return least * 1000


def main(ways: int) -> None:
    """Print the three slowest texts of each size."""
    redactor = Redactor()
    print(f"{'KB':>5} {'ms':>9} {'ms/KB':>7}  text")
    for size in SIZES_KB:
        measured = sorted(
            (cpu_ms(redactor, text), unit, way, text)
            for unit in near_misses.UNITS
            for way, text in list(near_misses.texts(unit, size * 1000))[:ways]
        )
        again = sorted(
            (cpu_ms(redactor, text, REPEATS), repr(unit)[:30], way)
            for _, unit, way, text in measured[-12:]
        )
        for took, unit, way in reversed(again[-3:]):
            print(f"{size:>5} {took:>9.1f} {took / size:>7.3f}  {unit} {way}")


if __name__ == "__main__":
    main(8 if "--all" in sys.argv else 1)
