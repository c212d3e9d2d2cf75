"""What telemetry costs a Flask request: configurations side by side in one run.

    make bench                    # or: python bench/compare.py --rounds 8
    python bench/compare.py --configurations bare,proletto --kinds hello

Each ratio is to `bare` (Flask that writes its log records as JSON lines) in the same round. The
exit status is 1 when telemetry that was paid for did not arrive. How it measures: bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from application import KINDS
from configurations import CONFIGURATIONS
from delivery import faults
from environments import python_of
from receiver import Receiver
from subjects import OWN_CORE, Subject, started

Samples = dict[str, dict[str, list[float]]]
"""CPU microseconds a request, of each round, by configuration and kind of request."""

REFERENCE = "bare"
WARM_UP = 150
"""Requests of each kind before the first round."""
SLOW = {"sentry": 0.4}
"""Share of a round's requests that a slow configuration gets, to keep a run short."""


def main() -> int:
    """Run the rounds, print the table, check the delivery."""
    options = arguments()
    os.sched_setaffinity(0, {OWN_CORE})
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        receivers = {name: Receiver() for name in options.configurations}
        subjects = [
            cleanup.enter_context(started(name, folder / name, receivers[name].url))
            for name in options.configurations
        ]
        samples = measured(subjects, options.kinds, options.rounds)
        missing = [fault for s in subjects for fault in faults(s, receivers[s.name].snapshot())]
    print(table(samples))
    print(f"\nmedian of {options.rounds} rounds ± half of the range; CPU over {REFERENCE}")
    for fault in missing:
        print("NOT DELIVERED", fault)
    print("delivery:", "incomplete, these figures do not count" if missing else "complete")
    if options.out:
        options.out.write_text(json.dumps(samples, indent=1))
    return bool(missing)


def arguments() -> argparse.Namespace:
    """Read the command line; leave out what has no environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    option = parser.add_argument
    option("--rounds", type=int, default=8)
    option("--kinds", type=names_of(KINDS), default=list(KINDS))
    option("--configurations", type=names_of(CONFIGURATIONS), default=list(CONFIGURATIONS))
    option("--out", type=Path, help="write all samples there, as JSON")
    options = parser.parse_args()
    wanted = list(dict.fromkeys([REFERENCE, *options.configurations]))
    options.configurations = [name for name in wanted if python_of(name).exists()]
    for name in set(wanted) - set(options.configurations):
        print(f"left out {name}: python bench/environments.py makes its environment")
    return options


def names_of(known: dict[str, object]) -> object:
    """A parser of `a,b`, each one of *known*."""

    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not in {', '.join(known)}")
        return found

    return names


def measured(subjects: list[Subject], kinds: list[str], rounds: int) -> Samples:
    """Let the subjects take turns, kind by kind, in another order in each round."""
    samples: Samples = {s.name: {kind: [] for kind in kinds} for s in subjects}
    for subject in subjects:
        for kind in kinds:
            subject.ask("measure", kind=kind, requests=WARM_UP)
    for number in range(rounds):
        turn = number % len(subjects)
        for kind in kinds:
            for subject in subjects[turn:] + subjects[:turn]:
                requests = int(KINDS[kind].per_round * SLOW.get(subject.name, 1))
                cpu = subject.ask("measure", kind=kind, requests=requests)
                samples[subject.name][kind].append(cpu)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return samples


def table(samples: Samples) -> str:
    """The ratios as a Markdown table."""
    kinds = list(samples[REFERENCE])
    rows = ["| | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name, by_kind in samples.items():
        cells = [cell(by_kind[kind], samples[REFERENCE][kind]) for kind in kinds]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def cell(cpu: list[float], reference: list[float]) -> str:
    """One ratio with its spread; for the reference itself its microseconds."""
    if cpu is reference:
        return f"1 ({statistics.median(cpu):.0f} µs)"
    ratios = [ours / theirs for ours, theirs in zip(cpu, reference, strict=True)]
    spread = (max(ratios) - min(ratios)) / 2
    return f"{statistics.median(ratios):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    sys.exit(main())
