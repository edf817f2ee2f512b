from __future__ import annotations

from typing import Any

import pytest

from processors.privacy.certificates.signature import BadSignatureError, parse_public_key, public_key, sign, verify

SECRET = bytes(range(32))
DOCUMENT: dict[str, Any] = {"@context": {"@vocab": "urn:x:"}, "name": "é", "n": 1.5, "list": [1, None, True]}


def signed(**changed: Any) -> dict[str, Any]:
    return {**sign(DOCUMENT, SECRET, "2026-11-21T00:00:00Z"), **changed}


def test_what_was_signed_holds() -> None:
    assert verify(signed()) == public_key(SECRET)
    assert verify(dict(reversed(signed().items())), public_key(SECRET))


def test_a_key_is_recognized_in_every_form() -> None:
    # RFC 8032's first key; a Multikey is base58 of ed 01 and the key's bytes
    key = public_key(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.startswith("z6Mk")
    for form in (key, f" {key}\n", f"did:key:{key}", f"did:key:{key}#{key}", f"https://example.org/keys#{key}"):
        assert parse_public_key(form) == key
    for wrong in ("", "z", "z6Mk", key[:-1], f"{key}1", key.replace("z6", "m6"), "z" + "1" * 40, f"{key}0"):
        with pytest.raises(ValueError):  # noqa: PT011
            parse_public_key(wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1.6},
        {"more": 1},
        {"@context": {"@vocab": "urn:y:"}},
        {"proof": None},
        {"proof": {}},
        {"proof": signed()["proof"] | {"created": "2026-11-22T00:00:00Z"}},
        {"proof": signed()["proof"] | {"proofPurpose": "authentication"}},
        {"proof": signed()["proof"] | {"cryptosuite": "eddsa-rdfc-2022"}},
        {"proof": signed()["proof"] | {"proofValue": "z1"}},
        {"proof": signed()["proof"] | {"proofValue": None}},
        {"proof": signed()["proof"] | {"verificationMethod": f"did:key:{public_key(bytes(32))}"}},
        {"proof": signed()["proof"] | {"verificationMethod": 3}},
    ],
)
def test_any_change_breaks_it(change: dict[str, Any]) -> None:
    with pytest.raises(BadSignatureError):
        verify(signed(**change))


def test_the_key_may_be_demanded() -> None:
    other = sign(DOCUMENT, bytes(32), "2026-11-21T00:00:00Z")
    assert verify(other) == public_key(bytes(32))
    with pytest.raises(BadSignatureError, match="not with"):
        verify(other, public_key(SECRET))
