"""Give up root for a server that refuses to run as root.

Always: nothing on the machine is changed for it (no user is added, no folder of others is opened up); when the user
can't reach its files by their modes, the process keeps the one capability to pass through folders, and no other.
Must not know: which server it is for.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from schemas.errors import Fatal

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
PR_CAPBSET_READ, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 23, 8, 47, 2
CAPABILITY_VERSION = 0x20080522


def unprivileged() -> pwd.struct_passwd | None:
    """The user to become, or None when this process isn't root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError as error:
        raise Fatal("PostgreSQL does not run as root and there is no user 'nobody'; run as a user") from error


def become(user: pwd.struct_passwd, needs: Iterable[Path]) -> None:
    """Be this user for good; able to reach the folders in `needs`."""
    blocked = [folder for path in needs for folder in (path, *path.parents) if not _passable(folder, user)]
    capability = _reaching() if blocked else None
    if blocked and capability is None:
        raise Fatal(
            f"PostgreSQL does not run as root, and user {user.pw_name} can't pass through {blocked[-1]}; "
            "set METAL_HOME to a folder that others can pass through, or run as a user"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    if capability is not None:
        _checked(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    if capability is not None:
        _keep_only(libc, capability)


def _passable(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _reaching() -> int | None:
    """The narrowest capability this process may keep that passes through folders."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (DAC_READ_SEARCH, DAC_OVERRIDE):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
            return capability
    return None


def _keep_only(libc: ctypes.CDLL, capability: int) -> None:
    """Drop every capability but one, and hand that one to what this process executes."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    bit = 1 << capability
    # effective, permitted, inheritable: once for capabilities 0 to 31, once for the rest
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _checked(libc.capset(header, data), "capset")
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl(PR_CAP_AMBIENT)")


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
