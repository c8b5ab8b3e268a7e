"""A curve in characters: each Braille character is two dots wide and four high."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, log10

# the bit of each dot in U+2800, by column and by row from the top (Unicode standard, Braille Patterns)
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


class Curve:
    """Values of any number, kept as the means of at most `size` stretches of equal length.

    >>> curve = Curve(size=2)
    >>> for value in (1.0, 3.0, 5.0, 7.0): curve.add(value)
    >>> curve.means, curve.stretch
    ([2.0, 6.0], 2)
    """

    def __init__(self, size: int = 512) -> None:
        self.size = size
        self.means: list[float] = []
        self.stretch = 1
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1
        if self._count == self.stretch:
            if len(self.means) == self.size:
                self.means = [(a + b) / 2 for a, b in zip(self.means[::2], self.means[1::2], strict=True)]
                self.stretch *= 2
                if self._count < self.stretch:
                    return
            self.means.append(self._sum / self._count)
            self._sum, self._count = 0.0, 0


def braille(
    values: Sequence[float], width: int, height: int, part: float = 1.0, log: bool = False
) -> tuple[list[str], float, float]:
    """`values` as `height` lines of `width` characters, and the values at the bottom and at the top.

    The curve takes up `part` of the width; with `log` its axis is logarithmic. Values that are not finite (or, with
    `log`, not positive) leave a gap.

    >>> braille([0.0, 1.0, 2.0, 3.0], width=2, height=1)
    (['⡠⠊'], 0.0, 3.0)
    """
    if log:
        lines, _, _ = braille([log10(v) if v > 0 else -inf for v in values], width, height, part)
        shown = [value for value in values if value > 0 and isfinite(value)]
        return lines, min(shown, default=1.0), max(shown, default=1.0)
    finite = [value for value in values if isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = high / 2 - low / 2  # halves, because the distance of two floats may be too large for one
    across, down = max(round(2 * width * part), 1), 4 * height
    cells = [[0] * width for _ in range(height)]
    before: int | None = None
    for x in range(min(across, 2 * width)):
        start = x * len(values) // across
        stretch = values[start : max((x + 1) * len(values) // across, start + 1)]
        mean = sum(stretch) / len(stretch) if stretch else float("nan")
        if not isfinite(mean):
            before = None
            continue
        y = round((down - 1) * min(max((high / 2 - mean / 2) / span, 0.0), 1.0)) if span > 0 else down - 1
        first = y if before is None or abs(before - y) <= 1 else before + (1 if y > before else -1)
        for dot in range(min(first, y), max(first, y) + 1):
            cells[dot // 4][x // 2] |= DOTS[x % 2][dot % 4]
        before = y
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells], low, high
