"""A Python image of this interpreter, and the wheel of this tree beside the demo's Dockerfile.

The official image cannot be pulled where the tests run; with this one under its name the real
Dockerfile is built. Nothing is fetched while building: every wheel lies in the build's folder.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.stack.images import BUSYBOX
from tests.stack.servers import ROOT
from tests.waiting import BUILD_S

HOME = Path(sys.base_prefix)
FOR_WHEELS = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libgcc_s.so.1",
              "libstdc++.so.6")  # fmt: skip
"""What built wheels may expect of any image."""
LEFT_OUT = ("test", "idlelib", "tkinter", "__pycache__", "config-*")


def write_wheels(folder: Path) -> None:
    """The wheel of this tree and all that it needs, into *folder*."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder)]
    command += ["--constraint", "constraints.txt", ".[db]", "gunicorn"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=BUILD_S)


def import_python(scratch: Path, env: Mapping[str, str], name: str) -> None:
    """An image *name* with this interpreter, pip and a shell."""
    root, archive = scratch / "python", scratch / "python.tar"
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    inside = root / HOME.relative_to("/")
    shutil.copytree(
        HOME / library, inside / library,
        ignore=shutil.ignore_patterns("site-packages", *LEFT_OUT),
    )  # fmt: skip
    for package in (HOME / library / "site-packages").glob("pip*"):
        shutil.copytree(package, inside / library / "site-packages" / package.name)
    for shared in _shared_libraries(HOME / library):
        _copy(shared, root / shared.relative_to("/"))
    _copy(Path(sys._base_executable), inside / "bin/python")  # type: ignore[attr-defined]
    _copy(BUSYBOX, root / "bin/sh")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    with tarfile.open(archive, "w") as packed:
        packed.add(root, ".")
    path = f"{HOME}/bin:/bin"
    changes = (f"ENV PATH={path}", "ENV PIP_NO_INDEX=1", "ENV PIP_FIND_LINKS=/wheels")
    options = [word for change in changes for word in ("--change", change)]
    subprocess.run(["docker", "import", *options, str(archive), name], env=env, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    shutil.rmtree(root)
    archive.unlink()


def _shared_libraries(library: Path) -> Iterator[Path]:
    programs = [sys._base_executable, *library.glob("lib-dynload/*.so")]  # type: ignore[attr-defined]
    told = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True).stdout
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    expected = [re.search(rf"{re.escape(name)} .*x86-64.* => (\S+)", known) for name in FOR_WHEELS]
    named = {found[1] for found in expected if found}
    yield from map(Path, named | set(re.findall(r"(/\S+) \(0x", told)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
