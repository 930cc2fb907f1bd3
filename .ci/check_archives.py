"""Check what the wheel and the source archive in a folder hold: ``check_archives.py dist``."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
# Of the repository, what a source archive need not have.
LEFT_OUT = (".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml")


def tracked() -> set[str]:
    """Return the files that git knows."""
    command = ("git", "-C", str(ROOT), "ls-files")
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name for name in found.splitlines() if (ROOT / name).exists()}


def faults(wheel: Path, source: Path) -> list[str]:
    """Return what is wrong with the two, a line each."""
    known, wrong = tracked(), []
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {name for name in known if name.startswith("gpulr/")}
    info = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    wrong += [f"the wheel lacks {name}" for name in sorted(package - names)]
    wrong += [f"the wheel has {name} besides" for name in sorted(names - package - info)]
    for ending in ("licenses/LICENSE", "entry_points.txt", "METADATA"):
        if not any(name.endswith(ending) for name in info):
            wrong.append(f"the wheel lacks {ending}")
    if "gpulr/py.typed" not in names:
        wrong.append("the wheel lacks gpulr/py.typed, so type checkers would not read it")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {name for name in known if not name.startswith(LEFT_OUT)}
    wrong += [f"the source archive lacks {name}" for name in sorted(needed - names)]
    wrong += [
        f"the source archive has {name} besides"
        for name in sorted(names - known - {"", "PKG-INFO"})
        if not any(each.startswith(f"{name}/") for each in known)
    ]
    return wrong


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    folder = Path(sys.argv[1])
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    wrong = faults(wheel, source)
    print("\n".join(wrong) or f"{wheel.name} and {source.name} hold what they should.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
