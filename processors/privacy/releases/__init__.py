"""What several releases of one table tell together, and releases without end."""
