"""Print the jar list of a folder that a resolver filled: `python -m deploy.stack.pin GROUP FOLDER`.

The folder has a Maven repository's layout. Used by hand when a version changes; docs/adr/0006-embedded-stack.md
says how. Must not know: what the jars are for.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path


def pin(folder: Path) -> list[dict[str, str | int]]:
    """One entry for each jar: its coordinates, its size and its SHA-256."""
    return [
        {
            "artifact": _coordinates(path.relative_to(folder)),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*.jar"))
    ]


def _coordinates(path: Path) -> str:
    *group, artifact, version, name = path.parts
    classifier = name.removesuffix(".jar").removeprefix(f"{artifact}-{version}").lstrip("-")
    return ":".join([".".join(group), artifact, version, *([classifier] if classifier else [])])


if __name__ == "__main__":
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in pin(Path(sys.argv[2])))
    sys.stdout.write(f' "{sys.argv[1]}": [\n{lines}\n ]\n')
