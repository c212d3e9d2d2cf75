"""Write the generated files of the stack: alert rules, recorded series, dashboards.

python tools/stack_files.py            # write
python tools/stack_files.py --check    # fail when a file is not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from proletto_otel.stack import generated, pack  # noqa: E402  the folder of the script is not the root
from proletto_otel.stack.message_templates import templates_file  # noqa: E402
from proletto_otel.stack.yaml_text import document  # noqa: E402
from tools.dashboards import all as dashboards  # noqa: E402

COMMAND = "python tools/stack_files.py"
TEMPLATES = "grafana/provisioning/alerting/templates.yaml"
PATHS = (*generated.rule_paths("default"), TEMPLATES, *dashboards.PATHS)


def files(before: Mapping[str, str], runbook: str) -> dict[str, str]:
    """All texts by path; *before* are the present ones, *runbook* is docs/runbook.md."""
    source = "proletto_otel/alerts/defaults.py or proletto_otel/stack"
    made = generated.pack_files(pack.shipped(), before, command=COMMAND, source=source)
    header = generated.HEADER.format(
        command=COMMAND, source="proletto_otel/stack/message_templates.py"
    )
    templates = {TEMPLATES: document(templates_file(), header)}
    return {**made, **templates, **dashboards.files(runbook)}


def main(check: bool) -> int:
    """Write, or compare; how many files differ."""
    before = {path: (ROOT / path).read_text() for path in PATHS if (ROOT / path).exists()}
    runbook = (ROOT / "docs/runbook.md").read_text()
    wrong = 0
    for path, text in files(before, runbook).items():
        if before.get(path) == text:
            continue
        wrong += 1
        if check:
            print(f"{path} is out of date: run {COMMAND}", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text)
    return wrong if check else 0


if __name__ == "__main__":
    sys.exit(min(main("--check" in sys.argv[1:]), 1))
