"""TinyTalks is what its datasheet says, and its split holds out phrasings, not facts."""

import re
from collections import Counter

import pytest

from tinytorch.data import DataLoader
from tinytorch.data.datasets import tinytalks
from tinytorch.data.datasets.tinytalks import facts, read_talks


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", sentence.lower())


def test_there_are_enough_pairs_and_topics() -> None:
    assert (len(tinytalks("train")), len(tinytalks("test")), len(tinytalks("all"))) == (711, 227, 938)
    per_topic = Counter(tinytalks("all").topics)
    assert len(per_topic) == 16 and min(per_topic.values()) >= 30


def test_train_is_the_default_and_all_is_both() -> None:
    assert tinytalks().pairs == tinytalks("train").pairs
    assert sorted(tinytalks("all")) == sorted([*tinytalks("train"), *tinytalks("test")])


def test_each_fact_is_asked_in_four_to_six_ways_and_trained_in_at_least_three() -> None:
    for fact in facts():
        assert 4 <= len(fact.trained) + len(fact.held_out) <= 6, fact
        assert len(fact.trained) >= 3 and len(fact.held_out) == 1, fact


def test_every_held_out_fact_is_in_training() -> None:
    assert {answer for _, answer in tinytalks("test")} == {answer for _, answer in tinytalks("train")}


def test_no_question_is_asked_twice_whatever_its_case_and_punctuation() -> None:
    asked = Counter(" ".join(words(question)) for question, _ in tinytalks("all"))
    assert max(asked.values()) == 1, asked.most_common(3)


def test_no_two_questions_differ_in_the_order_of_their_words_alone() -> None:
    answers: dict[str, str] = {}
    for question, answer in tinytalks("all"):
        assert answers.setdefault(" ".join(sorted(words(question))), answer) == answer, question


def test_answers_are_distinct() -> None:
    answers = Counter(fact.answer for fact in facts())
    assert max(answers.values()) == 1, answers.most_common(3)


def test_sentences_are_short_plain_ascii_and_end_as_sentences_do() -> None:
    for question, answer in tinytalks("all"):
        assert question.isascii() and answer.isascii()
        assert len(question) <= 45 and len(answer) <= 40, (question, answer)
        assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9 ,.']*[.?!]", question), question
        assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9 ,.'!?]*[.?!]", answer), answer
        assert "  " not in question + answer


def test_a_held_out_question_uses_words_that_training_knows() -> None:
    known = Counter(word for question, _ in tinytalks("train") for word in set(words(question)))
    for fact in facts():
        own = {word for question in fact.trained for word in words(question)}
        for question in fact.held_out:
            assert all(word in known for word in words(question)), question
            assert own.intersection(words(question)), question


def test_spelling_is_british() -> None:
    text = " ".join(f"{question} {answer}" for question, answer in tinytalks("all"))
    american = ["color", "gray", "favorite", "harbor", "kilometer", " meter", "center", "neighbor", "soccer", "pajamas"]
    assert not [word for word in american if word in text.lower()]


def test_a_loader_gives_questions_and_answers_as_lists() -> None:
    questions, answers = next(iter(DataLoader(tinytalks(), batch_size=3)))
    assert list(zip(questions, answers, strict=True)) == tinytalks().pairs[:3]


def test_another_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'train', 'test' and 'all'"):
        tinytalks("valid")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lines",
    [
        ["Hello."],
        ["[a]", "  + Why?"],
        ["[a]", "Yes.", " + Why?"],
        ["[a]", "Yes.", "  + "],
        ["[a]", "Yes.", "[b]", "  + Why?"],
    ],
)
def test_a_malformed_line_is_refused_with_its_number(lines: list[str]) -> None:
    with pytest.raises(ValueError, match=f"line {len(lines)}"):
        read_talks(lines)
