"""Commands of the CLI: a module each, found by walking."""
