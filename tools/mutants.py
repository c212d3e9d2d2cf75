"""Change the code, one small change at a time, and see whether the tests notice.

    python tools/mutants.py [ROOM ...] [--sample 20] [--seed 1]        # make mutants

Of each room (a folder of `proletto_otel`) a random sample of changes is tried in a copy of the
repository: a comparison shifted by one or turned round, a condition negated, a call left out, a
result replaced by None, a limit set to zero. The tests of the room, and others that import the
changed module, run until the first failure. They run once without a change before, so that a test
that fails by itself, or a slow machine, counts for nothing. A change that no test notices is
printed; one that makes no difference to anybody belongs, with its reason, into
`tools/mutants_without_effect.txt`. With `--only FILE` the changes that an earlier run printed to
FILE as not noticed are tried again. Exit status 1: fewer than 85 of 100 are noticed in some room.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "proletto_otel"
WITHOUT_EFFECT = Path(__file__).with_name("mutants_without_effect.txt")
WANTED = 0.85
LIMIT_S = 600
"""Longest run of a room's tests without a change."""
HANGS_AFTER = 4
"""A mutant hangs when its tests take this many times as long as without it, and a minute more."""
NOT_RUN = ("stack", "peers", "matrix", "long")
RUN_ALL_THE_SAME = (
    "test_checks.py",
    "test_files.py",
    "test_generated.py",
    "test_packs.py",
    "test_threshold_rules.py",
)
"""Modules of `tests/stack` that start no server: half a minute together."""
NOT_NOTICED = "  not noticed: "
SWAPS: dict[type[ast.AST], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
SILENT = ("log_rate_limited", "count_failure", "super", "cast")
"""Calls that a mutant does not leave out: what they write is text for people."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the text from *start* to *end* becomes *text*."""

    path: Path
    line: int
    start: int
    end: int
    text: str
    name: str
    """The file, the line as it was and the change, without line numbers, which move."""

    def applied(self, text: str) -> str:
        """The file's *text* with the change."""
        return text[: self.start] + self.text + text[self.end :]


class Finder:
    """All changes that can be made to one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()
        self._lines = [0]
        for line in self.text.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def mutants(self) -> Iterator[Mutant]:
        """Every change, in the order of the file."""
        known: Counter[str] = Counter()
        for node in self._reachable(ast.parse(self.text)):
            for text, what, target in _changes(node, self._source):
                line = self.text[self._lines[target.lineno - 1] : self._lines[target.lineno]]
                name = f"{self.path.relative_to(ROOT)} | {line.strip()} | {what}"
                known[name] += 1
                if known[name] > 1:  # two comparisons in one line, or the same line again
                    name += f" ({known[name]})"
                yield Mutant(self.path, target.lineno, *self._span(target), text, name)

    def _reachable(self, tree: ast.AST) -> Iterator[ast.AST]:
        """Every node but annotations, decorators' text and what only type checkers read."""
        for child in ast.iter_child_nodes(tree):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield child
            yield from self._reachable(child)

    def _source(self, node: ast.expr) -> str:
        """The text of a node; `ast.get_source_segment` splits the file anew each time."""
        start, end = self._span(node)
        return self.text[start:end]

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end = self._offset(node.end_lineno or 0, node.end_col_offset or 0)
        return self._offset(node.lineno, node.col_offset), end

    def _offset(self, line: int, column: int) -> int:
        start = self._lines[line - 1]
        before = self.text[start : self._lines[line]].encode()[:column]
        return start + len(before.decode())


def _changes(
    node: ast.AST, source: Callable[[ast.expr], str]
) -> Iterator[tuple[str, str, ast.expr | ast.stmt]]:
    """What this node could become: its new text, the change in words, and the node replaced."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        swap = SWAPS[type(node.ops[0])]
        changed = f"({source(node.left)} {swap} {source(node.comparators[0])})"
        yield changed, f"comparison becomes {swap}", node
    elif isinstance(node, ast.BoolOp):
        word = "or" if isinstance(node.op, ast.And) else "and"
        yield f"({f' {word} '.join(f'({source(v)})' for v in node.values)})", f"{word}", node
    elif isinstance(node, ast.If | ast.IfExp):
        yield f"(not ({source(node.test)}))", "condition negated", node.test
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if not any(word in source(node.value.func) for word in SILENT):
            yield "pass", "call left out", node
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "return None", "returns None", node
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in ("min", "max"):
            yield {"min": "max", "max": "min"}[node.func.id], "min and max exchanged", node.func
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        sign = "-=" if isinstance(node.op, ast.Add) else "+="
        yield f"{source(node.target)} {sign} {source(node.value)}", f"becomes {sign}", node
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        name = node.targets[0]
        is_limit = isinstance(name, ast.Name) and name.id.isupper()
        if is_limit and isinstance(node.value.value, int | float) and node.value.value:
            yield "0", "limit becomes 0", node.value


def without_effect() -> set[str]:
    """Names of the changes that are known to make no difference."""
    lines = WITHOUT_EFFECT.read_text().splitlines()
    return {line.rsplit(" | ", 1)[0] for line in lines if line and not line.startswith("#")}


def mutants_of(room: str) -> list[Mutant]:
    """Every change that can be made to a room, in the order of its files."""
    return [m for path in sorted((PACKAGE / room).rglob("*.py")) for m in Finder(path).mutants()]


def sample(room: str, size: int, seed: int) -> list[Mutant]:
    """A random sample of a room's changes, the same for the same *seed*."""
    skipped, found = without_effect(), mutants_of(room)
    random.Random(f"{room} {seed}").shuffle(found)
    return [m for m in found if m.name not in skipped][:size]


def tests_of(mutant: Mutant, room: str, root: Path) -> list[str]:
    """The tests that may notice: those that import the module, then the rest of the room's."""
    relative = mutant.path.relative_to(ROOT).with_suffix("")
    package, module = ".".join(relative.parts[:-1]), relative.parts[-1]
    importing = (f"{package}.{module}", f"from {package} import {module}")
    files = [
        path
        for path in sorted((root / "tests").rglob("test_*.py"))
        if path.parts[-2] not in NOT_RUN or path.name in RUN_ALL_THE_SAME
    ]
    near = [p for p in files if any(text in p.read_text() for text in importing)]
    own = [p for p in files if room in p.relative_to(root / "tests").parts[:1]]
    chosen = sorted(near, key=lambda p: p not in own) + [p for p in own if p not in near]
    return [str(p.relative_to(root)) for p in chosen]


def copy_repository(target: Path) -> None:
    """Copy what git knows, and what is changed in it, to *target*."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@dataclass(frozen=True)
class Room:
    """A room's tests in a copy of the repository, as they are without a change."""

    name: str
    copy: Path
    without: list[str]
    """Options that leave out tests that fail without any change: they notice nothing."""
    took_s: float

    @classmethod
    def measured(cls, name: str, copy: Path, mutants: list[Mutant]) -> Room:
        """Run every test that a mutant of the room may run, once, without a change."""
        tests = sorted({test for mutant in mutants for test in tests_of(mutant, name, copy)})
        began = time.monotonic()
        output = run_tests(copy, tests, LIMIT_S)
        if output is None:
            raise SystemExit(f"{name}: the tests take over {LIMIT_S} s without a change")
        for test in (broken := failed_in(output)):
            print(f"  fails without a change, left out: {test}", flush=True)
        return cls(name, copy, [f"--deselect={t}" for t in broken], time.monotonic() - began)

    def noticed(self, mutant: Mutant) -> str:
        """The test that fails with *mutant* applied, "a hang", or nothing."""
        place = self.copy / mutant.path.relative_to(ROOT)
        before = place.read_text()
        write(place, mutant.applied(before))
        tests, limit_s = tests_of(mutant, self.name, self.copy), HANGS_AFTER * self.took_s + 60
        try:
            output = run_tests(self.copy, tests, limit_s, "-x", *self.without)
        finally:
            write(place, before)
        if output is None:
            return "a hang"
        return next(iter(failed_in(output)), output.strip().splitlines()[-1] if output else "")


def write(path: Path, text: str) -> None:
    """Write a source; Python would believe its old bytecode when size and second are the same."""
    path.write_text(text)
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def run_tests(copy: Path, tests: list[str], limit_s: float, *options: str) -> str | None:
    """What pytest prints about tests that fail in the copy; None when they take too long."""
    command = [sys.executable, "-m", "pytest", "-rfE", "--tb=no", *options, *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling everything anew is half the time
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True,
            timeout=limit_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return (done.stdout + done.stderr).strip() or "no output" if done.returncode else ""


def failed_in(output: str) -> list[str]:
    """Names of the tests that pytest's summary calls failed."""
    lines = (line.split(" - ")[0].split(" ", 1) for line in output.splitlines())
    return [line[1] for line in lines if line[0] in ("FAILED", "ERROR") and len(line) > 1]


def try_room(copy: Path, name: str, mutants: list[Mutant]) -> float:
    """Try *mutants*, print those that nobody noticed, and return the share of the others."""
    if not mutants:
        return 1.0
    room = Room.measured(name, copy, mutants)
    print(f"{name}: {room.took_s:.0f} s without a change", flush=True)
    noticed = 0
    for mutant in mutants:
        by = room.noticed(mutant)
        noticed += bool(by)
        print(f"  noticed by {by}: " if by else NOT_NOTICED, end="")
        print(f"{mutant.name}  (line {mutant.line})", flush=True)
    share = noticed / len(mutants)
    print(f"{name}: {noticed} of {len(mutants)} noticed ({share:.0%})", flush=True)
    return share


def main() -> int:
    """Read the arguments and try each room."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    rooms = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists())
    parser.add_argument("room", nargs="*", help=f"one of {', '.join(rooms)}; all by default")
    parser.add_argument("--sample", type=int, default=20, help="changes per room")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", type=Path, help="a file with lines that name changes: try these")
    parser.add_argument("--list", action="store_true", help="print the changes, try none")
    chosen = parser.parse_args()
    if unknown := [room for room in chosen.room if not (PACKAGE / room).is_dir()]:
        parser.error(f"no such room: {', '.join(unknown)}; there are {', '.join(rooms)}")
    size = sys.maxsize if chosen.only else chosen.sample
    samples = {r: sample(r, size, chosen.seed) for r in chosen.room or rooms}
    if chosen.only:
        lines = chosen.only.read_text().splitlines()
        wanted = {x.partition(NOT_NOTICED)[2].rpartition("  (line ")[0] for x in lines}
        samples = {room: [m for m in s if m.name in wanted] for room, s in samples.items()}
    print(f"seed {chosen.seed}", flush=True)
    for name in sorted(without_effect() - {m.name for room in rooms for m in mutants_of(room)}):
        print(f"  no such change any more, see {WITHOUT_EFFECT.name}: {name}")
    if chosen.list:
        print(*(m.name for found in samples.values() for m in found), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy_repository(copy)
        shares = [try_room(copy, room, found) for room, found in samples.items()]
    return int(min(shares) < WANTED)


if __name__ == "__main__":
    sys.exit(main())
