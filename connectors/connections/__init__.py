"""Types of connection: one file each, found by walking this package. A connector uses the type of its own name."""
