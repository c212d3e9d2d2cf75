"""Write the generated files of the stack: alert rules, recorded series, dashboards.

python tools/stack_files.py            # write
python tools/stack_files.py --check    # fail when a file is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from proletto_otel.stack import generated

ROOT = Path(__file__).resolve().parent.parent


def main(check: bool) -> int:
    """Write, or compare; how many files differ."""
    before = {path: (ROOT / path).read_text() for path in generated.PATHS if (ROOT / path).exists()}
    runbook = (ROOT / "docs/runbook.md").read_text()
    wrong = 0
    for path, text in generated.files(before, runbook).items():
        if before.get(path) == text:
            continue
        wrong += 1
        if check:
            print(f"{path} is out of date: run python tools/stack_files.py", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text)
    return wrong if check else 0


if __name__ == "__main__":
    sys.exit(min(main("--check" in sys.argv[1:]), 1))
