"""Seals raw payloads with AES-GCM under a key of their run: destroying the key destroys every copy.

A nonce is 96 random bits. What a payload belongs to is authenticated with it, so that no batch can be passed off as
another's.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Fatal

KEY_BYTES = 32
_NONCE = 12


def new_key() -> bytes:
    return AESGCM.generate_key(bit_length=KEY_BYTES * 8)


def seal(key: bytes, payload: bytes | memoryview, about: str = "") -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, payload, about.encode())


def unseal(key: bytes, sealed: bytes | memoryview, about: str = "") -> bytes:
    view = memoryview(sealed)
    try:
        return AESGCM(key).decrypt(bytes(view[:_NONCE]), view[_NONCE:], about.encode())
    except (InvalidTag, ValueError) as error:  # the latter of what is shorter than a nonce
        raise Fatal("a sealed payload does not open under the key of its run") from error
