"""Quasi-identifiers as domains of codes: their levels, and what groups of values are called."""
