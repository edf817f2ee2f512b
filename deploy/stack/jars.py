"""The jars that the embedded servers run on: a pinned list, a cache, a class path.

Always: a jar in the cache under its final name has the size and the SHA-256 of the committed list.
Must not know: where jars come from by default; the resolver of the `stack` extra knows that.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from deploy.stack.download import download
from deploy.stack.layout import explained, locked
from schemas.errors import Fatal

Progress = Callable[[int, int], None]
THREADS = 4


@dataclass(frozen=True)
class Jar:
    """One line of the list."""

    artifact: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it stands in a Maven repository."""
        group, artifact, version, *classifier = self.artifact.split(":")
        name = "-".join([artifact, version, *classifier])
        return f"{group.replace('.', '/')}/{artifact}/{version}/{name}.jar"

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def listed(group: str) -> list[Jar]:
    """The committed list of one server."""
    text = files("deploy.stack").joinpath("jars.json").read_text()
    return [Jar(**entry) for entry in json.loads(text)[group]]


def cache() -> Path:
    """METAL_CACHE, or its default."""
    return Path(os.environ.get("METAL_CACHE") or "~/.cache/metal").expanduser().resolve()


def source() -> str:
    """The base URL of the repository: METAL_JARS_URL, or the public one."""
    named = os.environ.get("METAL_JARS_URL")
    if named:
        return named.rstrip("/")
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError as error:
        raise Fatal("nothing says where jars come from: install the 'stack' extra or set METAL_JARS_URL") from error
    return str(MAVEN_CENTRAL_URL).rstrip("/")


def missing(jars: list[Jar], folder: Path) -> list[Jar]:
    """Those not in the cache; a jar gets its final name only after its check, so its size is enough here."""
    return [jar for jar in jars if not _complete(jar, folder)]


def fetch(jars: list[Jar], progress: Progress | None = None) -> list[Path]:
    """Bring all jars into the cache and answer with their paths, in the list's order."""
    folder = cache() / "jars"
    if missing(jars, folder):
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / ".lock", timeout=3600):
                _fetch_missing(missing(jars, folder), folder, progress or _silent)
    return [folder / jar.name for jar in jars]


def _fetch_missing(jars: list[Jar], folder: Path, progress: Progress) -> None:
    if not jars:
        return
    base, total = source(), sum(jar.size for jar in jars)
    done = dict.fromkeys((jar.name for jar in jars), 0)

    def one(jar: Jar) -> None:
        def advance(at: int) -> None:
            done[jar.name] = at
            progress(sum(done.values()), total)

        _fetch_one(base, jar, folder, advance)

    with ThreadPoolExecutor(THREADS) as pool:
        # Large ones first, so that none of them is left alone at the end.
        futures = [pool.submit(one, jar) for jar in sorted(jars, key=lambda jar: -jar.size)]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(base: str, jar: Jar, folder: Path, advance: Callable[[int], None]) -> None:
    part = folder / f"{jar.name}.part"
    url = f"{base}/{jar.path}"
    resumed = part.exists()
    download(url, part, jar.size, advance)
    found = digest(part)
    if found != jar.sha256 and resumed:
        # What an earlier try left behind may be from a broken answer: once more from the start.
        part.unlink()
        download(url, part, jar.size, advance)
        found = digest(part)
    if found != jar.sha256:
        part.unlink()
        raise Fatal(
            f"{url} has SHA-256 {found}, the list says {jar.sha256}; "
            "it was thrown away: check METAL_JARS_URL and the network between"
        )
    part.replace(folder / jar.name)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _complete(jar: Jar, folder: Path) -> bool:
    try:
        return (folder / jar.name).stat().st_size == jar.size
    except FileNotFoundError:
        return False


def _silent(done: int, total: int) -> None:
    """No progress is shown."""
