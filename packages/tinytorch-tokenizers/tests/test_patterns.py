import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.tokenizers import GPT2_PATTERN, LLAMA3_PATTERN
from tinytorch.tokenizers.patterns import ASCII, BASIC_PLANE, UNICODE, split, translate
from tinytorch.tokenizers.unicode_classes import LETTERS, NUMBERS, WHITE_SPACE, ranges


@pytest.mark.parametrize(("table", "category"), [(LETTERS, "L"), (NUMBERS, "N")])
def test_tables_agree_with_this_pythons_unicode(table: str, category: str) -> None:
    members = {code for first, last in ranges(table) for code in range(first, last + 1)}
    for code in range(sys.maxunicode + 1):
        found = unicodedata.category(chr(code))
        if found != "Cn" and (unicodedata.unidata_version <= "16" or code in members):
            assert (found[0] == category) == (code in members), hex(code)


def test_white_space_is_what_unicode_says_and_not_what_isspace_says() -> None:
    members = {chr(code) for first, last in ranges(WHITE_SPACE) for code in range(first, last + 1)}
    assert {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()} - members == {*"\x1c\x1d\x1e\x1f"}
    assert all(character.isspace() for character in members)


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, LLAMA3_PATTERN])
@given(text=st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("ab1 \n'sS.é猫🙂"))))
def test_pieces_join_to_the_text(pattern: str, text: str) -> None:
    assert "".join(split(text, pattern)) == text
    assert "" not in split(text, pattern)


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, LLAMA3_PATTERN])
@given(text=st.text(st.characters(max_codepoint=127)), wide=st.sampled_from("é猫🙂½"))
def test_the_pattern_for_narrow_texts_cuts_as_the_one_for_all(pattern: str, text: str, wide: str) -> None:
    # A newline and a letter after it end every word, so that what follows cannot change the cuts before.
    head = split(f"{text}\nx", pattern)
    assert split(f"{text}\nx {wide}", pattern)[: len(head)] == head


def test_narrow_classes_hold_no_more_than_they_must() -> None:
    assert translate(r"[\p{L}_]\p{N}\S", ASCII) == "[A-Za-z_][0-9][^\t-\r - ]"
    assert len(translate(r"\p{L}", ASCII)) < len(translate(r"\p{L}", BASIC_PLANE)) < len(translate(r"\p{L}", UNICODE))


@pytest.mark.parametrize(
    ("pattern", "text", "pieces"),
    [
        (GPT2_PATTERN, "It's 3.5\n\n  x", ["It", "'s", " 3", ".", "5", "\n\n ", " x"]),
        (GPT2_PATTERN, "IT'S", ["IT", "'", "S"]),
        (LLAMA3_PATTERN, "IT'S 12345 .x\n", ["IT", "'S", " ", "123", "45", " .", "x", "\n"]),
        (r"b+", "abba", ["a", "bb", "a"]),  # what lies between matches is kept
        (r"\P{L}", "a1b", ["a", "1", "b"]),
        (r"x*", "axxb", ["a", "xx", "b"]),  # empty matches give no empty pieces
        (r"(a|b)c", "acbc", ["ac", "bc"]),
        (r"[a\-\]]+", "x-]ay", ["x", "-]a", "y"]),
        (r"\.\n", "a.\nb", ["a", ".\n", "b"]),
        (r"\p{N}{2}", "12345", ["12", "34", "5"]),
        (r"\p{Letter}+|\p{Number}", "ab12", ["ab", "1", "2"]),
    ],
)
def test_known_cuts(pattern: str, text: str, pieces: list[str]) -> None:
    assert split(text, pattern) == pieces


@pytest.mark.parametrize(
    "pattern",
    [
        r"\p{Lu}", r"\w", r"\d", r"\b", r"\h", "(?i:é)", "(?i:Mass)",
        r"\1", r"^a", r"a$", ".", r"(?<=a)b", r"(?<n>a)", r"(?i)a", r"(?i:\p{L})",
        r"[a&&b]", r"[[a]]", r"[^\S]", r"a{2}+", r"a{,2}", "a{", "]", "[a", "(?>a)", "\\", r"[\d]", r"[+--]",
    ],
)  # fmt: skip
def test_what_the_dialects_may_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not supported"):
        split("text", pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(\p{L}+)+!", r"(?:a|a)*b", r"(?:a?){22}b", r"(?:(?i:a|aa))+b", "a*a*a*a*a*b", "a?" * 21 + "b", "(?=(a*)*)b",
        "(a|b*){2,}c", "(?:a|a)(?:a|a)" * 11 + "b", r"(?:a*?)+b", "(?:" * 20 + "a" + "+)" * 20,
    ],
)  # fmt: skip
def test_patterns_that_could_try_too_many_ways_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="ways to match 32 characters"):
        split("text", pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        GPT2_PATTERN, LLAMA3_PATTERN, r"\p{N}{1,3}(?=(?:\p{N}{3})*!)", "(?:a++)+b", "(abc)*d", "a{22}" * 22,
        "a*a*a*a*", "(a|b|c)(d|e)?f+|g*", "(?:a*+b)*c",
    ],
)  # fmt: skip
def test_patterns_that_go_back_little_are_accepted(pattern: str) -> None:
    assert "".join(split("text", pattern)) == "text"


@pytest.mark.parametrize("pattern", ["(a", "a)", "*a", "a**", "[z-a]", "a{3,1}"])
def test_malformed_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        split("text", pattern)
