"""How groups are formed: boxes of quasi-identifiers, and records set apart from their values."""
