"""What a run must have prepared, computed in plain, slow Python, apart from the product: it imports none of it."""

from tests.oracle.prepare import Oracle, Prepared, load_task, prepare
from tests.oracle.properties import differences

__all__ = ["Oracle", "Prepared", "differences", "load_task", "prepare"]
