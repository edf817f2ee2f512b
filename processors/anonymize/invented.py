"""Pools of invented values: first names, addresses and the like of a country, as Faker's providers make them.

Always holds: a pool is the same in every process, since it is drawn with a fixed seed by a generator of its own; which
entry a value gets is not decided here, so nothing of a pool is a secret. Built when it is first asked for, since
Faker takes a moment to load.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import polars as pl

from processors.wrong_config import MisfitError

SIZE: Final = 5_000  # draws; where a provider has fewer values, all of them are met
KINDS: Final[dict[str, str]] = {
    "first_name": "first_name",
    "last_name": "last_name",
    "name": "name",
    "user_name": "user_name",
    "email": "ascii_safe_email",  # at example.org and the like, which nobody has
    "phone": "phone_number",
    "street_address": "street_address",
    "address": "address",
    "city": "city",
    "postal_code": "postcode",
    "country": "country",
    "company": "company",
    "job": "job",
    "iban": "iban",
    "license_plate": "license_plate",
}


@lru_cache(maxsize=64)
def pool(kind: str, locale: str) -> pl.Series:
    """The distinct values of a kind in a country, in a fixed order."""
    from faker import Faker

    maker = Faker(locale)
    maker.seed_instance(0)  # of this maker alone; Faker's own, which others share, stays as it is
    draw = getattr(maker, KINDS[kind])
    values = pl.Series(kind, [draw() for _ in range(SIZE)], dtype=pl.String)
    return values.str.replace_all("\n", ", ", literal=True).unique().sort()


def check_locale(kind: str, locale: str) -> None:
    """Refuses a country that there is not, or that has no such values."""
    from faker import Faker
    from faker.config import AVAILABLE_LOCALES

    if locale not in AVAILABLE_LOCALES:
        raise MisfitError(
            f"{locale} is no known locale", f"known are {', '.join(sorted(AVAILABLE_LOCALES))}", ("locale",)
        )
    if not hasattr(Faker(locale), KINDS[kind]):
        raise MisfitError(f"{locale} has no values of kind {kind}", "choose another locale or kind", ("kind",))
