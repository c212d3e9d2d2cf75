"""Where the stack's files are: inside an installed wheel, or at the root of a clone."""

from __future__ import annotations

from pathlib import Path

NAMES = (
    "docker-compose.yml", "docker-compose.scale.yml", ".env.example", "collector", "prometheus",
    "loki", "tempo", "grafana", "demo-image/Dockerfile",
    "kubernetes",
)  # fmt: skip
"""Files and folders of the stack; the same list stands in pyproject.toml, for the wheel."""

_HERE = Path(__file__).resolve()


def root() -> Path:
    """The folder that holds `NAMES`."""
    packed = _HERE.parent / "files"
    return packed if packed.is_dir() else _HERE.parents[2]


def texts() -> dict[str, str]:
    """Every file of the stack: its path below the stack's folder, and its text."""
    return {path: text for path, text in read(root()).items() if path != ".env"}


def read(folder: Path) -> dict[str, str]:
    """The stack's files in *folder*; what is not there, or not text, is left out."""
    found: dict[str, str] = {}
    for name in (*NAMES, ".env"):
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found[file.relative_to(folder).as_posix()] = file.read_text(errors="replace")
    return found
