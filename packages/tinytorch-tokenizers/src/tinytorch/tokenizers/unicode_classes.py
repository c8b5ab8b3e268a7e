r"""The Unicode 16.0 character classes that pre-tokenization patterns name.

They are written out because `re` has no `\p{L}`, and because `unicodedata` knows another Unicode version in every
Python release: one text must give the same ids on all of them.
"""

from pathlib import Path

LETTERS, NUMBERS = (Path(__file__).with_name(name).read_text("ascii") for name in ("letters.txt", "numbers.txt"))

# Not what `re` calls \s: that also holds U+001C to U+001F.
WHITE_SPACE = "9-d 20 85 a0 1680 2000-200a 2028-2029 202f 205f 3000"


def ranges(table: str) -> list[tuple[int, int]]:
    """The first and last code point of each range of a table.

    >>> ranges(WHITE_SPACE)[:2]
    [(9, 13), (32, 32)]
    """
    bounds = [entry.split("-") for entry in table.split()]
    return [(int(bound[0], 16), int(bound[-1], 16)) for bound in bounds]
