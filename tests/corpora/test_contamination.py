"""Test sentences in training text."""

import random

from madx.corpora.contamination import Contamination, contamination

LONG = "our old boat lay on the grey stones below the house"


def found(tests: list[str], training: list[str], has_spaces: bool = True) -> Contamination:
    return contamination({"test": tests}, iter(training), has_spaces)["test"]


def test_case_punctuation_and_blanks_do_not_hide_a_sentence() -> None:
    seen = found(["The dog sleeps.", "A cat eats.", ""], ["the  DOG, sleeps!", "a dog eats", ""])
    assert (seen.sentences, seen.matched, seen.long) == (3, 1, 0)
    assert seen.matched_share == 1 / 3
    assert seen.overlapping_share == 0.0


def test_eight_words_in_a_row_are_an_overlap_and_seven_are_not() -> None:
    words = LONG.split()
    assert found([LONG], ["we saw that " + " ".join(words[2:10]) + " again"]).overlapping == 1
    assert found([LONG], ["we saw that " + " ".join(words[2:9]) + " again"]).overlapping == 0
    assert found([LONG], [LONG]) == Contamination(sentences=1, matched=1, long=1, overlapping=1)


def test_without_blanks_characters_count() -> None:
    sentence = "我們今天在河邊的小屋裡一起煮了很多魚湯"
    assert found([sentence + "。"], ["昨天下雨，" + sentence], has_spaces=False).overlapping == 1
    assert found([sentence], [sentence[:15]], has_spaces=False).overlapping == 0
    assert found([sentence], [sentence + "！"], has_spaces=False).matched == 1


def test_marks_are_part_of_letters() -> None:
    assert found(["घर में किताब"], ["घर म कताब"]).matched == 0


def test_it_agrees_with_a_slow_count_on_random_text() -> None:
    rng = random.Random(1)
    line = lambda: [rng.choice("abc") for _ in range(rng.randint(1, 14))]  # noqa: E731
    tests, training = [line() for _ in range(60)], [line() for _ in range(60)]

    def runs(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}

    every = set().union(*map(runs, training))
    expected = Contamination(
        sentences=60, matched=sum(t in training for t in tests), long=sum(len(t) >= 8 for t in tests),
        overlapping=sum(bool(runs(t) & every) for t in tests),
    )  # fmt: skip
    assert found([" ".join(t) for t in tests], [" ".join(t) for t in training]) == expected
    assert expected.overlapping
