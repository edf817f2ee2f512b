"""Signatures of JSON-LD documents: W3C Data Integrity with the cryptosuite eddsa-jcs-2022.

A document's proof names the key that made it as a did:key. Ed25519 signs the SHA-256 of the canonical proof without
its value, followed by the SHA-256 of the canonical document without its proof. Nothing here draws randomness or
knows a clock: the key and the moment are handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from processors.privacy.certificates.canonical import canonical

SUITE: Final = "eddsa-jcs-2022"
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519: Final = b"\xed\x01"  # the multicodec of an Ed25519 public key
_BYTES: Final = 32
_DID: Final = "did:key:"


class BadSignatureError(ValueError):
    """Why a document's signature does not hold."""


def public_key(private: bytes) -> str:
    """The public key of 32 secret bytes, as a Multikey: z6Mk…"""
    return _multibase(_ED25519 + Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


def parse_public_key(text: str) -> str:
    """A Multikey from how people hand it on: alone, as a did:key or as a method of verification; else `ValueError`."""
    multikey = text.strip().rpartition("#")[2].removeprefix(_DID)
    _key(multikey)
    return multikey


def sign(document: Mapping[str, Any], private: bytes, created: str) -> dict[str, Any]:
    """The document with its proof."""
    key = public_key(private)
    proof = {
        "@context": document["@context"],
        "type": "DataIntegrityProof",
        "cryptosuite": SUITE,
        "created": created,
        "verificationMethod": f"{_DID}{key}#{key}",
        "proofPurpose": "assertionMethod",
    }
    value = Ed25519PrivateKey.from_private_bytes(private).sign(_hash(document, proof))
    return {**document, "proof": {**proof, "proofValue": _multibase(value)}}


def verify(document: Mapping[str, Any], key: str | None = None) -> str:
    """The Multikey that signed the document as it is; raises `BadSignatureError`. `key` is the one that must have."""
    proof = document.get("proof")
    if not isinstance(proof, Mapping):
        raise BadSignatureError("the certificate is not signed")
    if proof.get("type") != "DataIntegrityProof" or proof.get("cryptosuite") != SUITE:
        raise BadSignatureError(f"the certificate is not signed with {SUITE}")
    if proof.get("@context") != document.get("@context") or proof.get("proofPurpose") != "assertionMethod":
        raise BadSignatureError("the proof was made for another document")
    signer = _signer(proof.get("verificationMethod"))
    if key is not None and signer != key:
        raise BadSignatureError(f"the certificate was signed with the key {signer}, not with {key}")
    bare = {name: value for name, value in document.items() if name != "proof"}
    unvalued = {name: value for name, value in proof.items() if name != "proofValue"}
    try:
        Ed25519PublicKey.from_public_bytes(_key(signer)).verify(_bytes(proof.get("proofValue")), _hash(bare, unvalued))
    except (InvalidSignature, ValueError) as error:
        raise BadSignatureError("the signature does not fit: the certificate is not what was signed") from error
    return signer


def _signer(method: object) -> str:
    try:
        return parse_public_key(method if isinstance(method, str) else "")
    except ValueError as error:
        raise BadSignatureError("the proof names no key") from error


def _hash(document: Mapping[str, Any], proof: Mapping[str, Any]) -> bytes:
    return b"".join(hashlib.sha256(canonical(part)).digest() for part in (proof, document))


def _key(multikey: str) -> bytes:
    decoded = _bytes(multikey)
    if decoded[:2] != _ED25519 or len(decoded) != 2 + _BYTES:
        raise ValueError("is no Ed25519 public key; it has the form z6Mk…")
    return decoded[2:]


def _multibase(data: bytes) -> str:
    """Base58 as Bitcoin writes it, marked by a z."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "z" + "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or not text.startswith("z") or len(text) > 200:
        raise ValueError("is no base58 text")
    number = 0
    for char in text[1:]:
        number = number * 58 + _ALPHABET.index(char)  # a ValueError for what is no digit
    zeros = len(text[1:]) - len(text[1:].lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
