"""Phone numbers in international form (E.164: +, country code, national number, at most 15 digits).

Knows calling codes and trunk prefixes, not which numbers are in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from processors.wrong_config import MisfitError


@dataclass(frozen=True)
class Plan:
    """A country's calling code, what it dials before a national number, and before an international one."""

    code: str
    trunk: str = "0"
    abroad: str = "00"


_NANP = Plan("1", "1", "011")
_NO_TRUNK = {
    "CZ": "420", "DK": "45", "EE": "372", "ES": "34", "GR": "30", "IS": "354", "IT": "39", "LU": "352",
    "LV": "371", "MT": "356", "NO": "47", "PL": "48", "PT": "351", "CY": "357", "MX": "52", "AE": "971",
    "CL": "56", "CR": "506", "OM": "968", "QA": "974", "KW": "965", "BH": "973", "PA": "507", "UY": "598",
}  # fmt: skip
_ZERO_TRUNK = {
    "AL": "355", "AM": "374", "AR": "54", "AT": "43", "AZ": "994", "BA": "387", "BE": "32", "BG": "359",
    "CH": "41", "CN": "86", "DE": "49", "DZ": "213", "EG": "20", "FI": "358", "FR": "33", "GB": "44",
    "GE": "995", "HR": "385", "IE": "353", "IL": "972", "IN": "91", "IR": "98", "KE": "254", "KG": "996",
    "MA": "212", "MD": "373", "ME": "382", "MK": "389", "MY": "60", "NG": "234", "NL": "31", "NZ": "64",
    "PE": "51", "PH": "63", "PK": "92", "RO": "40", "RS": "381", "SA": "966", "SE": "46", "SI": "386",
    "SK": "421", "TR": "90", "UA": "380", "VE": "58", "VN": "84", "ZA": "27",
}  # fmt: skip
PLANS: dict[str, Plan] = {
    **{country: Plan(code, "") for country, code in _NO_TRUNK.items()},
    **{country: Plan(code) for country, code in _ZERO_TRUNK.items()},
    "AU": Plan("61", "0", "0011"),
    "BR": Plan("55", "0"),
    "BY": Plan("375", "80", "810"),
    "CA": _NANP,
    "HK": Plan("852", "", "001"),
    "HU": Plan("36", "06"),
    "JP": Plan("81", "0", "010"),
    "KR": Plan("82", "0"),
    "KZ": Plan("7", "8", "810"),
    "LT": Plan("370", "0"),
    "RU": Plan("7", "8", "810"),
    "SG": Plan("65", "", "000"),
    "TH": Plan("66", "0", "001"),
    "TW": Plan("886", "0", "002"),
    "US": _NANP,
    "UZ": Plan("998", ""),
}


def plan_of(country: str) -> Plan:
    """The plan of `DE`, or of a bare calling code, `+49`, with the usual prefixes 0 and 00."""
    if re.fullmatch(r"\+[1-9]\d{0,2}", country):
        return Plan(country[1:])
    if country not in PLANS:
        raise MisfitError("names no country known here", "write a country as DE, or its calling code as +49")
    return PLANS[country]


def international(value: pl.Expr, plan: Plan) -> pl.Expr:
    """The number as +<code><number>; null where the text is no number of 7 to 15 digits."""
    bare = value.str.replace(r"(?i)^\s*tel[.:]*", "").str.replace_all(r"(\(0\)|[\s\-./()\u{2010}-\u{2015}])", "")
    trunk = "" if plan.trunk == "" else f"(?:{plan.trunk})?"
    number = (
        pl.when(bare.str.starts_with("+"))
        .then(bare.str.strip_prefix("+"))
        .when(bare.str.starts_with(plan.abroad))
        .then(bare.str.strip_prefix(plan.abroad))
        .when(bare.str.starts_with("00"))
        .then(bare.str.strip_prefix("00"))
        .otherwise(bare.str.replace(f"^{trunk}", plan.code))
    )
    whole = number.str.contains(r"^[1-9][0-9]{6,14}$")
    return pl.when(whole).then(pl.concat_str(pl.lit("+"), number))
