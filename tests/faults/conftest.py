"""The stack of this folder's tests."""

from tests.faults.fixtures import fault_rounds, fault_seed, large, rig, shared_rig, small

__all__ = ["fault_rounds", "fault_seed", "large", "rig", "shared_rig", "small"]
