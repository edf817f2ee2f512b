"""Routes of the control API: a module each, found by walking."""
