"""Guarantees for groups of records: how classes are formed, what they guarantee, what they cost."""
