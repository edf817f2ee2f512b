"""Guarantees for groups of records: how classes are formed, what they guarantee, what they cost.

From the ground up: `domains` of quasi-identifiers, `guarantees` of classes, what is `measured` of a release, the
`search` through levels, `groups` of boxes; on these `certificates`. Apart from those `releases` that are compared,
`small_groups` of totals, `differential` privacy.
"""
