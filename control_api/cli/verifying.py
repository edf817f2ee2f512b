"""Whether published files are what a certificate says: signature, columns, rows, digest, guarantees and loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from control_api.actions.examine import Asked, examine
from control_api.cli.published import OtherColumnsError, form_of, read
from processors.privacy.certificates.certificate import MalformedError, breadths_of, request_of
from processors.privacy.certificates.certificate import read as read_statement
from processors.privacy.certificates.comparison import Mismatch, compare
from processors.privacy.certificates.signature import BadSignatureError, parse_public_key
from processors.privacy.certificates.signature import verify as verify_signature
from processors.privacy.certificates.statement import Guarantee, StatedWaiver, Statement
from schemas.errors import InvalidInput, Mistake


@dataclass(frozen=True)
class Verified:
    """`signer` is the key whose signature holds; None if none does."""

    signer: str | None
    mismatches: list[Mismatch]
    statement: Statement

    @property
    def off(self) -> bool:
        """Whether it is certified that anonymization was off."""
        return self.statement.anonymization == "off"

    @property
    def waiver(self) -> StatedWaiver | None:
        return self.statement.waiver

    def document(self) -> dict[str, Any]:
        return {
            "ok": not self.mismatches and not self.off,
            "signer": self.signer,
            "mismatches": [vars(one) for one in self.mismatches],
            "anonymization": self.statement.anonymization,
            "waiver": self.waiver and self.waiver.document(),
        }


def verify_files(certificate: Path, data: Sequence[Path], key: str | None) -> Verified:
    """Every mismatch at once; what can't be read is `InvalidInput`."""
    expected = None if key is None else _key(key)
    document, statement = _certificate(certificate)
    for file in data:
        form_of(file)
    mismatches: list[Mismatch] = []
    signer = None
    try:
        signer = verify_signature(document, expected)
    except BadSignatureError as error:
        mismatches.append(Mismatch("signature", str(error)))
    return Verified(signer, mismatches + _check(statement, data), statement)


def _check(statement: Statement, data: Sequence[Path]) -> list[Mismatch]:
    columns = {one.name: one.datatype for one in statement.release.columns}
    asked = [_asked(one) for one in statement.guarantees]
    spoken = {name for one in statement.guarantees for name in (*request_of(one).columns, *breadths_of(one))}
    counted = None if statement.groups is None else statement.groups.counted
    spoken |= set() if counted is None else {counted}
    unknown = sorted(spoken - set(columns))
    if unknown:
        return [Mismatch("columns", f"the certificate speaks of {', '.join(unknown)}, which are no columns of it")]
    try:
        examined = examine(read(data, columns), columns, asked, counted)
    except OtherColumnsError as error:
        return [Mismatch("columns", str(error))]
    if counted is not None and columns[counted] != "int64":
        return [Mismatch("columns", f"the certificate counts records by {counted}, which is no whole number")]
    return compare(statement, examined.rows, examined.digest, examined.findings, examined.fewest)


def _asked(guarantee: Guarantee) -> Asked:
    breadths = breadths_of(guarantee)
    return Asked(request_of(guarantee), guarantee.suppression.records, lambda _: breadths)


def _certificate(file: Path) -> tuple[dict[str, Any], Statement]:
    try:
        document = orjson.loads(file.read_bytes())
        return document, read_statement(document)
    except OSError as error:
        raise _wrong(file, f"can't be read: {error.strerror}") from error
    except (orjson.JSONDecodeError, MalformedError) as error:
        raise _wrong(file, f"is no certificate: {error}") from error


def _key(given: str) -> str:
    """A key, or the file that it stands in."""
    path = Path(given)
    try:
        return parse_public_key(path.read_text(encoding="utf-8") if path.is_file() else given)
    except (OSError, ValueError) as error:
        mistake = Mistake(
            "(command line)", 1, "--key", f"{given!r} is no public key", "give what 'metal certificate key' prints"
        )
        raise InvalidInput([mistake]) from error


def _wrong(file: Path, what: str) -> InvalidInput:
    return InvalidInput([Mistake(str(file), 1, "(file)", what, "give what 'metal certificate show' wrote")])
