"""The scenarios of `metal bench`, one module each: found by walking this package."""
