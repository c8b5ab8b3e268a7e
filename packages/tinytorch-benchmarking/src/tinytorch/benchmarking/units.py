"""Seconds and bytes with the prefix that makes them short."""

from __future__ import annotations


def shown(value: float, unit: str) -> str:
    """Three digits of a quantity in seconds (`"s"`), bytes (`"B"`) or anything else.

    >>> shown(0.0015, "s"), shown(3 * 2**20, "B"), shown(1234.0, "samples/s"), shown(0.0, "s")
    ('1.50 ms', '3.00 MiB', '1230 samples/s', '0 s')
    """
    if unit == "s":
        for name, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
            if abs(value) >= 0.9995 * size or (name == "ns" and value):
                return f"{_digits(value / size)} {name}"
    if unit == "B":
        for name in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) < 999.5 or name == "TiB":
                return f"{value:.0f} B" if name == "B" else f"{_digits(value)} {name}"
            value /= 1024
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 999.5:
        return f"{float(f'{value:.3g}'):.0f}"
    return f"{value:#.3g}".rstrip(".")
