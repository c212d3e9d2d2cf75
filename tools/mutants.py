"""Change the code, one small change at a time, and see whether the tests notice.

    python tools/mutants.py [ROOM ...] [--sample 20] [--seed 1]        # make mutants

Of each room (a folder of `proletto_otel`) a random sample of changes is tried in a copy of the
repository: a comparison shifted by one or turned round, a condition negated, a call left out, a
result replaced by None, a limit set to zero. The tests of the room, and others that import the
changed module, run until the first failure. A change that no test notices is printed; a change that
makes no difference to anybody belongs, with its reason, into `tools/mutants_without_effect.txt`.
The exit status is 1 when fewer than 85 of 100 are noticed in some room.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "proletto_otel"
WITHOUT_EFFECT = Path(__file__).with_name("mutants_without_effect.txt")
WANTED = 0.85
LIMIT_S = 240
"""A mutant that makes the tests run for longer counts as noticed."""
NOT_RUN = ("stack", "peers", "matrix", "long")
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
    what: str

    @property
    def source(self) -> str:
        """The line that is changed."""
        return self.path.read_text().splitlines()[self.line - 1].strip()

    @property
    def name(self) -> str:
        """The file and the change, without line numbers, which move."""
        return f"{self.path.relative_to(ROOT)} | {self.source} | {self.what}"

    def applied(self) -> str:
        """The file with the change."""
        text = self.path.read_text()
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
        for node in self._reachable(ast.parse(self.text)):
            for text, what, target in _changes(node, self.text):
                start = self._offset(target.lineno, target.col_offset)
                end = self._offset(target.end_lineno or 0, target.end_col_offset or 0)
                yield Mutant(self.path, target.lineno, start, end, text, what)

    def _reachable(self, tree: ast.AST) -> Iterator[ast.AST]:
        """Every node but annotations, decorators' text and what only type checkers read."""
        for child in ast.iter_child_nodes(tree):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield child
            yield from self._reachable(child)

    def _offset(self, line: int, column: int) -> int:
        start = self._lines[line - 1]
        before = self.text[start : self._lines[line]].encode()[:column]
        return start + len(before.decode())


def _changes(node: ast.AST, text: str) -> Iterator[tuple[str, str, ast.expr | ast.stmt]]:
    """What this node could become: its new text, the change in words, and the node replaced."""

    def source(part: ast.AST) -> str:
        return ast.get_source_segment(text, part) or ""

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


def sample(room: str, size: int, seed: int) -> list[Mutant]:
    """A random sample of a room's changes, the same for the same *seed*."""
    skipped = without_effect()
    folder = PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]
    found = [m for path in files for m in Finder(path).mutants()]
    random.Random(f"{room} {seed}").shuffle(found)
    return [m for m in found if m.name not in skipped][:size]


def tests_of(mutant: Mutant, room: str) -> list[str]:
    """The tests that may notice: those that import the module, then the rest of the room's."""
    relative = mutant.path.relative_to(ROOT).with_suffix("")
    package, module = ".".join(relative.parts[:-1]), relative.parts[-1]
    importing = (
        f"{package}.{module} import",
        f"from {package} import {module}",
        f"{package}.{module}",
    )
    files = [p for p in sorted((ROOT / "tests").rglob("test_*.py")) if p.parts[-2] not in NOT_RUN]
    near = [p for p in files if any(text in p.read_text() for text in importing)]
    own = [p for p in files if room in p.relative_to(ROOT / "tests").parts[:1]]
    chosen = sorted(near, key=lambda p: p not in own) + [p for p in own if p not in near]
    return [str(p.relative_to(ROOT)) for p in chosen]


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


def passes(copy: Path, tests: list[str]) -> bool:
    """Whether *tests* pass in the copy, which is imported from there."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def try_room(copy: Path, room: str, mutants: list[Mutant]) -> float:
    """Try *mutants*, print those that nobody noticed, and return the share of the others."""
    noticed = 0
    for mutant in mutants:
        place = copy / mutant.path.relative_to(ROOT)
        place.write_text(mutant.applied())
        try:
            survived = passes(copy, tests_of(mutant, room))
        finally:
            shutil.copy2(mutant.path, place)
        noticed += not survived
        if survived:
            print(f"  not noticed: {mutant.name}  (line {mutant.line})", flush=True)
    share = noticed / len(mutants) if mutants else 1.0
    print(f"{room}: {noticed} of {len(mutants)} noticed ({share:.0%})", flush=True)
    return share


def main() -> int:
    """Read the arguments and try each room."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    rooms = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists())
    parser.add_argument("room", nargs="*", help=f"one of {', '.join(rooms)}; all by default")
    parser.add_argument("--sample", type=int, default=20, help="changes per room")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--list", action="store_true", help="print the changes, try none")
    chosen = parser.parse_args()
    if unknown := [room for room in chosen.room if not (PACKAGE / room).is_dir()]:
        parser.error(f"no such room: {', '.join(unknown)}; there are {', '.join(rooms)}")
    samples = {r: sample(r, chosen.sample, chosen.seed) for r in chosen.room or rooms}
    print(f"seed {chosen.seed}", flush=True)
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
