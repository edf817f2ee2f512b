"""The stack of this folder's tests."""

from tests.faults.fixtures import rig, shared_rig

__all__ = ["rig", "shared_rig"]
