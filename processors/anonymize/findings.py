"""Personal data in free text: what each kind looks like, and how a finding is told from what only looks like one.

Rather one too many than one too few: a number that could be a phone number is one. Cards and accounts count if their
check digits are right. Knows no column and no method.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from processors.anonymize.text import matrix_of

Kind = Literal["url", "email", "iban", "card", "ip", "date_of_birth", "phone", "date"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)  # in the order in which they are looked for
USUAL: Final[tuple[Kind, ...]] = tuple(kind for kind in KINDS if kind != "date")


@dataclass(frozen=True)
class Finding:
    """`hint` is what every text that has one contains, if anything; `sound` says which candidates count."""

    pattern: str
    tag: str
    hint: str | None = None
    sound: Callable[[pl.Series], pl.Series] | None = None
    keeps: bool = False  # the first group of the pattern stays before the tag


def luhn(candidates: pl.Series) -> pl.Series:
    """Whether the digits of each have the sum of a card's."""
    digits = candidates.str.replace_all("[^0-9]", "").str.zfill(20)
    values = matrix_of(digits, 20).astype(np.int64) - ord("0")
    values[:, ::2] *= 2
    values[:, ::2] -= 9 * (values[:, ::2] > 9)
    return pl.Series(values.sum(axis=1) % 10 == 0)


def mod97(candidates: pl.Series) -> pl.Series:
    """Whether the check digits of each are an account's."""
    bare = candidates.str.replace_all("[^0-9A-Za-z]", "").str.to_uppercase()
    turned = pl.select(pl.concat_str(bare.str.slice(4), bare.str.head(4))).to_series().str.pad_start(40, "0")
    rest = np.zeros(len(turned), dtype=np.int64)
    for column in matrix_of(turned, 40).T.astype(np.int64):
        letter = column > ord("9")
        value = column - np.where(letter, ord("A") - 10, ord("0"))
        rest = (rest * np.where(letter, 100, 10) + value) % 97
    return pl.Series(rest == 1)


def _addresses(candidates: pl.Series) -> pl.Series:
    each = candidates.unique()
    sound = pl.Series([_address(text) for text in each], dtype=pl.Boolean)
    return candidates.replace_strict(each, sound, return_dtype=pl.Boolean)


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False  # a time of day, say
    return True


def _dials(candidates: pl.Series) -> pl.Series:
    digits = candidates.str.count_matches("[0-9]")
    return digits.is_between(7, 15) & ~candidates.str.contains(rf"^(?:{_DAY})$")


# how long accounts are, by country: the register of ISO 13616, without country and check digits
_ACCOUNTS: Final[dict[int, str]] = {
    11: "NO", 12: "BE", 14: "DK|FI|FK|FO|GL|NL|SD", 15: "MK|SI", 16: "AT|BA|EE|KZ|LT|LU|MN|XK", 17: "CH|HR|LI|LV",
    18: "BG|BH|CR|DE|GB|GE|GG|IE|IM|JE|ME|RS|VA", 19: "AE|GI|IL|IQ|OM|SO|TL", 20: "AD|CZ|ES|MD|PK|RO|SA|SE|SK|TN|VG",
    21: "LY|PT|ST", 22: "DZ|IS|TR", 23: "BI|CM|DJ|FR|GF|GP|GR|IT|MC|MG|MR|SM",
    24: "AL|AZ|BF|BJ|BY|CI|CY|DO|GT|HN|HU|LB|ML|NI|PL|SN|SV", 25: "BR|EG|PS|QA|UA", 26: "JO|KW|MU|YE", 27: "MT|SC",
    28: "LC", 29: "RU",
}  # fmt: skip
_IBAN = "|".join(rf"(?:{names})[0-9]{{2}}(?:[ -]?[0-9A-Z]){{{size}}}" for size, names in _ACCOUNTS.items())
_CARD = (
    r"[0-9]{13,19}|[0-9]{4}(?:[ -][0-9]{4}){2}[ -][0-9]{1,4}"
    r"|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5}"
)
_LONG_CARD = (
    "[0-9]{4}(?:[ -][0-9]{4}){3}[ -][0-9]{1,3}"  # first, since what follows a shorter card may be no part of it
)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV6 = r"(?:\b[0-9a-fA-F]{1,4}|\B:):(?:[0-9a-fA-F]{0,4}:){0,6}(?:[0-9a-fA-F.]*[0-9a-fA-F]\b|:)"
_SEVERAL = "[ ./()-]{0,3}"
_PHONE = (
    rf"(?:\+|\b00)\(?[1-9](?:{_SEVERAL}[0-9]){{6,14}}\b|\b0[1-9](?:{_SEVERAL}[0-9]){{5,12}}\b"
    r"|(?:\b[2-9][0-9]{2}|\([2-9][0-9]{2}\))[ .-]{0,2}[0-9]{3}[ .-][0-9]{4}\b"
)
_MONTH = "(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zäé]*[.]?"
_DAY = "[0-9]{1,2}[./-] ?[0-9]{1,2}[./-] ?(?:[0-9]{4}|[0-9]{2})|[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2}"
_DATE = (
    rf"(?:{_DAY}|[0-9]{{1,2}}[.]? ?{_MONTH},? ?(?:[0-9]{{4}}|[0-9]{{2}})"
    rf"|{_MONTH} ?[0-9]{{1,2}}(?:st|nd|rd|th)?,? ?[0-9]{{4}})\b"
)
_BORN = (
    r"\b(?:born|b[.]|dob|d[.]o[.]b[.]?|date of birth|birth ?da(?:te|y)"
    r"|geboren|geb[.]?|geburts(?:datum|tag)|née?|nacid[oa])"
)

FINDINGS: Final[dict[Kind, tuple[Finding, ...]]] = {
    "url": (
        Finding(
            r"(?i)\b[a-z][a-z0-9+.-]*://(?:[^\s/@]+@\S+"
            r"|\S*[?&](?:user|user_?name|user_?id|uid|login|e?mail|phone)=\S+|[^\s/]+/(?:users?|profiles?|u)/\S+|[^\s/]+/[~@]\S+)",
            "[URL]",
            "://",
        ),
    ),
    "email": (Finding(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+", "[EMAIL]", "@"),),
    "iban": (Finding(rf"(?i)\b(?:{_IBAN})\b", "[IBAN]", None, mod97),),
    "card": (
        Finding(rf"\b{_LONG_CARD}\b", "[CARD]", None, luhn),
        Finding(rf"\b(?:{_CARD})\b", "[CARD]", None, luhn),
    ),
    "ip": (
        Finding(
            rf"\b{_OCTET}(?:\.{_OCTET}){{3}}\b|{_IPV6}",
            "[IP]",
            None,
            _addresses,
        ),
    ),
    "date_of_birth": (
        Finding(rf"(?i)({_BORN}(?:[ :,]|on|am|le|el|is|was)*){_DATE}", "[DATE OF BIRTH]", None, None, keeps=True),
    ),
    "phone": (Finding(_PHONE, "[PHONE]", None, _dials),),
    "date": (Finding(rf"(?i)\b{_DATE}", "[DATE]"),),
}
