"""Fetch where other projects' pages are: ``python docs/inventories/update.py [FOLDER]``.

Sphinx links names such as ``numpy.ndarray`` to other projects' pages by their inventories. Whole
ones are half a megabyte. Here each is cut to Python names whose every part occurs somewhere in
gpulr or its pages, so that the site builds without a network. Run this when the build knows no
target for a name that another project has. A FOLDER with whole ones, as NAME.inv, is used instead
of the network.
"""

from __future__ import annotations

import re
import sys
import urllib.request
import zlib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MAPPING = re.compile(r'"(\w+)": \("(https://[^"]+)", "inventories/(\w+)\.inv"\)')


def words() -> set[str]:
    """Return all words of the package and of the pages."""
    paths = [*(ROOT / "gpulr").rglob("*.py"), *HERE.parent.glob("*.md")]
    paths += [*HERE.parent.glob("api/*.md"), *HERE.parent.glob("examples/*")]
    return {word for path in paths for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


def cut(inventory: bytes, known: set[str]) -> bytes:
    """Return an inventory without the names that have a part that is not known."""
    *head, body = inventory.split(b"\n", 4)
    lines = zlib.decompress(body).decode().splitlines()
    kept = [
        line
        for line in lines
        if (found := re.match(r"(\S+) py:\w+ ", line)) and set(found[1].split(".")) <= known
    ]
    return b"\n".join([*head, zlib.compress("\n".join([*kept, ""]).encode(), 9)])


def main() -> None:
    """Write all inventories that conf.py names."""
    known = words()
    for name, url, file in MAPPING.findall((HERE.parent / "conf.py").read_text(encoding="utf-8")):
        if len(sys.argv) > 1:
            whole = Path(sys.argv[1], f"{file}.inv").read_bytes()
        else:
            with urllib.request.urlopen(f"{url}objects.inv") as response:
                whole = response.read()
        shorter = cut(whole, known)
        (HERE / f"{file}.inv").write_bytes(shorter)
        print(f"{name}: {len(whole):,} bytes, cut to {len(shorter):,}")


if __name__ == "__main__":
    main()
