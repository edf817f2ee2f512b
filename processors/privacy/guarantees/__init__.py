"""Guarantees of classes, k, l, t and presence: what is asked, and how much of it there is."""
