"""What can be done with tasks and runs, for any transport; the transitions work in a caller's transaction."""

from control_api.actions.transitions import (
    delete_prepared,
    end_run,
    fail_run,
    mark_first_row,
    mark_prepared,
)

__all__ = ["delete_prepared", "end_run", "fail_run", "mark_first_row", "mark_prepared"]
