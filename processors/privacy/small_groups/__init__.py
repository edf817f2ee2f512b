"""Small groups in published totals, and what they could be computed from."""
