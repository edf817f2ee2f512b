"""Places on earth by cells that nest: the geohash, of which every further character divides a cell into 32.

A place is written as a geohash, or as latitude and longitude. What is neither, or a geohash too short to tell the
cell, has no cell. Knows no column.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from processors.anonymize.text import text_of_matrix

Words = npt.NDArray[np.int64]
ALPHABET: Final = "0123456789bcdefghjkmnpqrstuvwxyz"
_LETTERS = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)


def cell(value: pl.Expr, size: int) -> pl.Expr:
    """The first characters of the place's geohash; null where there is no place."""
    return value.map_batches(lambda texts: _cells(texts, size), return_dtype=pl.String)


def _cells(texts: pl.Series, size: int) -> pl.Series:
    hashes = texts.str.contains(rf"^[{ALPHABET}]{{{size},}}$")
    out = pl.select(pl.when(hashes).then(texts.str.head(size))).to_series().alias(texts.name)
    others = (~hashes).arg_true()
    if not len(others):
        return out
    if len(others) == len(texts):
        return _of_degrees(texts, size).alias(texts.name)
    return out.scatter(others, _of_degrees(texts.gather(others), size))


def _of_degrees(texts: pl.Series, size: int) -> pl.Series:
    if texts.str.contains(";", literal=True).any():
        texts = texts.str.replace(";", ",", literal=True)
    pairs = texts.str.splitn(",", 2).struct.unnest()
    numbers = [_number(pairs.to_series(i)) for i in (0, 1)]
    latitude, longitude = (number.fill_null(float("nan")).to_numpy() for number in numbers)
    on_earth = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    bits = 5 * size
    word = np.zeros(len(texts), dtype=np.int64)
    # longitude and latitude take turns, longitude first
    for value, half, count, last in (
        (longitude, 180.0, (bits + 1) // 2, (bits + 1) % 2),
        (latitude, 90.0, bits // 2, bits % 2),
    ):
        steps = np.floor((np.where(on_earth, value, 0.0) + half) / (2 * half) * 2.0**count).astype(np.int64)
        steps = np.minimum(steps, 2**count - 1)
        word |= _spread(steps) << last
    letters = np.stack([_LETTERS[word >> 5 * (size - 1 - i) & 31] for i in range(size)], axis=1)
    return text_of_matrix(letters, on_earth)


def _spread(numbers: Words) -> Words:
    """A zero before every bit: the bits 0 to 31 come to stand at 0, 2, 4 and so on."""
    for shift, mask in ((16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F)):
        numbers = (numbers | numbers << shift) & mask
    numbers = (numbers | numbers << 2) & 0x3333333333333333
    return (numbers | numbers << 1) & 0x5555555555555555


def _number(texts: pl.Series) -> pl.Series:
    """Texts as numbers; spaces around them are taken off where there may be any."""
    numbers = texts.cast(pl.Float64, strict=False)
    if numbers.null_count() > texts.null_count():
        numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers
