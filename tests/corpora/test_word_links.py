"""Word links on a language made up here: a shuffled dictionary with another word order."""

import random

from madx.corpora.word_links import word_links, words_of


def test_words_in_every_script() -> None:
    assert words_of("Hunden sover, nu!") == ["Hunden", "sover", ",", "nu", "!"]
    assert words_of("我爱猫。") == ["我", "爱", "猫", "。"]


def test_translations_are_found_in_another_order() -> None:
    rng = random.Random(1)
    english = [f"e{i}" for i in range(60)]
    other = dict(zip(english, rng.sample([f"x{i}" for i in range(60)], 60), strict=True))
    pairs, wanted = [], []
    for _ in range(400):
        source = rng.sample(english, rng.randint(3, 10))
        order = list(range(len(source)))
        for k in range(len(order) - 1):  # neighbours change places
            if rng.random() < 0.3:
                order[k], order[k + 1] = order[k + 1], order[k]
        pairs.append((source, [other[source[i]] for i in order]))
        wanted.append({(i, j) for j, i in enumerate(order)})
    links = word_links(pairs)
    right = sum(len(set(found) & gold) for found, gold in zip(links, wanted, strict=True))
    assert right / sum(map(len, links)) > 0.98
    assert right / sum(map(len, wanted)) > 0.95


def test_a_word_has_one_link_and_an_empty_sentence_none() -> None:
    pairs = [(["a", "b"], ["x", "y"]), ([], ["x"]), (["a"], []), (["a", "a"], ["x"])] * 5
    for links in word_links(pairs):
        assert len({i for i, _ in links}) == len({j for _, j in links}) == len(links)
    assert word_links([]) == []
