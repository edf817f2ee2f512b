"""Decoders of file formats: bytes at a position become chunks."""
