"""Pre-tokenisation patterns, translated from the dialect they are published in (Oniguruma) to Python's `re`."""

import re
from collections.abc import Iterator
from functools import cache

from tinytorch.tokenizers.unicode_classes import LETTERS, NUMBERS, WHITE_SPACE, ranges

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How GPT-2 cuts a text into words: contractions, and letters, digits or signs with at most one space before them.

Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners; `encoder.py` of the release.
"""

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 cuts a text into words: as GPT-2 does, but with caseless contractions, and digits in threes at most.

Source: Llama 3, `tokenizer.py` of the release.
"""


# `re` tests the ranges beyond U+FFFF one by one, and those below through a bitmap; ASCII alone is faster still.
# So a pattern is compiled for the characters that a text holds: up to one of these.
ASCII, BASIC_PLANE, UNICODE = 0x7F, 0xFFFF, 0x10FFFF

# A pattern that can match 32 characters in more ways than four free repetitions could take years for one word.
SPAN, MOST_WAYS = 32, 33**4


def _members(table: str, last: int) -> str:
    return "".join([f"{chr(low)}-{chr(min(high, last))}" for low, high in ranges(table) if low <= last])


@cache
def _classes(last: int) -> dict[str, str]:
    letters, numbers = _members(LETTERS, last), _members(NUMBERS, last)
    return {
        r"\p{L}": letters,
        r"\p{Letter}": letters,
        r"\p{N}": numbers,
        r"\p{Number}": numbers,
        r"\s": _members(WHITE_SPACE, last),
    }


_CLASS = r"\\p\{(?:L|N|Letter|Number)\}|\\s"
_CHARACTER = r"\\[rnt]|\\[^\w\s]"
_MEMBER = rf"{_CLASS}|{_CHARACTER}|[^\\\[\]^&-]"
# Without the pairs that Oniguruma also finds as one letter: a caseless "ss" matches the German sharp s there.
_CASELESS = r"\(\?i:(?!(?i:[^)]*(?:ss|st|f[fil])))[A-Za-z0-9' |]+\)"
# What both dialects read the same way, and the classes that are spelled out. All else is refused rather than guessed.
_PIECE = re.compile(
    rf"(?P<set>\[(?P<negated>\^?)(?P<members>(?:(?:[\w]-[\w])|{_MEMBER})+-?)\])"
    rf"|(?P<class>{_CLASS})"
    r"|(?P<complement>\\P\{(?:L|N|Letter|Number)\}|\\S)"
    rf"|(?P<same>{_CHARACTER}|{_CASELESS}|\(\?[:=!]|[)|]|[?*+]|\{{\d+(?:,\d*)?\}}(?![?+]))"
    r"|(?P<group>\((?!\?))"
    r"|(?P<literal>[^\\\[\](){}|?*+.^$])"
)
_MEMBER_PIECE = re.compile(rf"(?P<class>{_CLASS})|(?P<same>\w-\w|{_CHARACTER})|(?P<literal>.)", re.DOTALL)


def _translate_members(members: str, last: int) -> str:
    pieces: list[str] = []
    for match in _MEMBER_PIECE.finditer(members):
        text = match[0]
        if match["class"]:
            text = _classes(last)[text]
        elif match["literal"]:
            text = re.escape(text)
        pieces.append(text)
    return "".join(pieces)


def _pieces(pattern: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(pattern):
        match = _PIECE.match(pattern, position)
        if match is None:
            raise ValueError(
                f"pattern: {pattern[position : position + 12]!r} at {position} is not supported\n"
                r"Supported: characters, [sets], \p{L}, \p{N}, \s, groups, (?i:words), lookahead, repetition"
            )
        yield match
        position = match.end()


def count_ways(pieces: Iterator[re.Match[str]]) -> int:
    """In how many ways a group, up to its end, can be laid over `SPAN` characters: what backtracking may have to try.

    Alternatives add up, neighbors multiply, and what is repeated n times has its ways to the power of n.
    """
    finished, current, item = 0, 1, 1  # alternatives before this one, this one but its last item, that item
    before = None
    for match in pieces:
        text, bounds = match[0], _bounds(match[0])
        if bounds and before:
            item = 1 if text == "+" else item  # a possessive repetition never goes back, a lazy one does
        elif bounds:
            item = min(item ** bounds[1] * (bounds[1] - bounds[0] + 1), MOST_WAYS + 1)
        elif text == "|":
            finished, current, item = finished + current * item, 1, 1
        elif text == ")":
            break
        else:
            current = min(current * item, MOST_WAYS + 1)
            item = count_ways(pieces) if text in ("(", "(?:", "(?=", "(?!") else 1 + text.count("|")
        before = bounds
    return min(finished + current * item, MOST_WAYS + 1)


def _bounds(text: str) -> tuple[int, int] | None:
    """How often a repetition repeats in `SPAN` characters, at least and at most; None for anything else."""
    if match := re.fullmatch(r"\{(\d+)(,?)(\d*)\}", text):
        least = min(int(match[1]), SPAN)
        return least, min(int(match[3] or SPAN), SPAN) if match[2] else least
    return {"?": (0, 1), "*": (0, SPAN), "+": (1, SPAN)}.get(text)


def translate(pattern: str, last: int = UNICODE) -> str:
    r"""Rewrite a pattern of Oniguruma's dialect for `re`, with `\p{L}`, `\p{N}` and `\s` as Unicode 16.0 defines them.

    `last` is the last code point that texts hold; characters beyond it are left out of the classes. Raises ValueError
    for a construct outside the common part of both dialects.

    >>> translate(r"'s| ?\p{N}+", last=0x7F)
    "'s|\\ ?[0-9]+"
    """
    pieces: list[str] = []
    for match in _pieces(pattern):
        text = match[0]
        match match.lastgroup:
            case "set":
                text = f"[{match['negated']}{_translate_members(match['members'], last)}]"
            case "class":
                text = f"[{_classes(last)[text]}]"
            case "complement":
                text = f"[^{_classes(last)[text.replace('P', 'p').replace('S', 's')]}]"
            case "group":
                text = "(?:"
            case "literal":
                text = re.escape(text)
        pieces.append(text)
    return "".join(pieces)


@cache
def _compile(pattern: str, last: int) -> re.Pattern[str]:
    try:
        compiled = re.compile(translate(pattern, last))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"pattern: {pattern!r} is not a regular expression: {error}") from error
    if count_ways(_pieces(pattern)) > MOST_WAYS:
        raise ValueError(
            f"pattern: {pattern!r} could try more than {MOST_WAYS:,} ways to match {SPAN} characters\n"
            "Repeat no group that holds repetitions or alternatives, or make them possessive: (?:a++)+"
        )
    return compiled


def compile_for(text: str, pattern: str) -> re.Pattern[str]:
    """The published pattern, compiled for the characters of one text.

    Raises ValueError when it is malformed, uses what `translate` refuses, or could try too many ways to match.
    """
    if text.isascii():
        return _compile(pattern, ASCII)
    return _compile(pattern, BASIC_PLANE if max(text) <= "\uffff" else UNICODE)


def split(text: str, pattern: str) -> list[str]:
    """Cut a text at every match of a published pattern: matches and what lies between them, in order.

    >>> split("It's 10 o'clock", GPT2_PATTERN)
    ['It', "'s", ' 10', ' o', "'", 'clock']
    """
    compiled = compile_for(text, pattern)
    found = compiled.findall(text)
    if sum(map(len, found)) == len(text):
        return found if "" not in found else [piece for piece in found if piece]
    pieces: list[str] = []
    position = 0
    for match in compiled.finditer(text):
        pieces += (text[position : match.start()], match[0])
        position = match.end()
    return [piece for piece in (*pieces, text[position:]) if piece]
