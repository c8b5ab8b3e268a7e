"""Numbers with the prefix that makes them short."""

from __future__ import annotations

PREFIXES = ("", "k", "M", "G", "T", "P")


def short(value: float, unit: str = "", step: int = 1000) -> str:
    """Three digits, a prefix and the unit.

    >>> short(1234567, "FLOP"), short(512, "B", 1024), short(0)
    ('1.23 MFLOP', '512 B', '0')
    """
    for prefix in PREFIXES:
        if abs(value) < 999.5 or prefix == PREFIXES[-1]:
            break
        value /= step
    digits = f"{value:.0f}" if prefix == "" and value == int(value) else f"{value:#.3g}".rstrip(".")
    return f"{digits} {prefix}{unit}".rstrip()


def duration(nanoseconds: float) -> str:
    """A time with its unit.

    >>> duration(1500), duration(2.5e6), duration(0)
    ('1.50 us', '2.50 ms', '0 ns')
    """
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= 0.9995 * size:
            return f"{nanoseconds / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{nanoseconds:.0f} ns"


def size(nbytes: float) -> str:
    """Bytes, in powers of 1024.

    >>> size(3 * 2**20)
    '3.00 MiB'
    """
    value = float(nbytes)
    for prefix in ("", "Ki", "Mi", "Gi", "Ti"):
        if abs(value) < 999.5 or prefix == "Ti":
            break
        value /= 1024
    return f"{value:.0f} B" if prefix == "" else f"{value:#.3g}".rstrip(".") + f" {prefix}B"
