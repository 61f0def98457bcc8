"""Nearest words by cosine, from a file and from the base's own embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from graftlm.contracts.augmentation import Scene
from graftlm.core import registry
from graftlm.core.errors import UserError

GLOVE = """card 1 0 0
plastic 0.9 0.1 0
money 0 1 0
cash 0 0.9 0.1
Card 1 0 0
. 0 0 1
银行 0.5 0.5 0
钱庄 0.5 0.6 0
"""


def make(**fields):
    return registry.make("augmentation", {"use": "neighbours", **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text(GLOVE, encoding="utf-8")
    return str(path)


def test_words_give_way_to_the_nearest_in_their_casing(vectors):
    one = make(vectors=vectors, nearest=1, floor=0.8, rate=1.0)
    assert one.change("Card and MONEY, card-holder cardinal", rng()) == "Plastic and CASH, card-holder cardinal"
    assert one.change("我的银行", rng()) == "我的钱庄"
    assert one.change("nothing known", rng()) == "nothing known"


def test_the_floor_is_a_cosine(vectors):
    # cos(card, plastic) = 0.9 / sqrt(0.82) = 0.99388
    assert make(vectors=vectors, floor=0.9938, rate=1.0).change("card", rng()) == "plastic"
    assert make(vectors=vectors, floor=0.9940, rate=1.0).change("card", rng()) == "card"


def test_the_neighbours_are_those_of_scikit_learn():
    from sklearn.metrics.pairwise import cosine_similarity

    from graftlm.nn.word_vectors import neighbours

    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    words = [f"w{number}" for number in range(300)]
    found = neighbours(words[:40], {word: n for n, word in enumerate(words)}, vectors, 5, 0.3)
    cosines = cosine_similarity(vectors)
    for number in range(40):
        order = [n for n in np.argsort(-cosines[number]) if n != number and cosines[number, n] >= 0.3][:5]
        assert found.get(words[number], []) == [words[n] for n in order]


def test_word2vec_text_has_a_first_line_and_the_seed_decides(tmp_path):
    path = tmp_path / "w2v.txt"
    path.write_text("6 3\n" + "".join(GLOVE.splitlines(keepends=True)[:6]), encoding="utf-8")
    one = make(vectors=str(path), floor=-1, rate=1.0)
    texts = ["money card"] * 20
    first = one.change_all(texts, [{}] * 20, rng(3), Scene())
    assert first == one.change_all(texts, [{}] * 20, rng(3), Scene())
    assert len(set(first)) > 3


@pytest.mark.parametrize("content", [None, "", "a 1 2\nb 1\n", "a one two\n", b"\xff\xfe\x00", "A 1 2\n"])
def test_a_file_that_is_none_is_told_before_training(tmp_path, content):
    path = tmp_path / "vectors.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"vectors\.txt"):
        make(vectors=str(path)).check(Scene())


def test_without_a_base_or_words_in_it_the_way_out_is_named():
    with pytest.raises(UserError, match="name a file of word vectors"):
        make().change("card", rng())


@pytest.mark.model
def test_the_base_has_neighbours_of_its_own():
    scene = Scene(registry.make("backbone", "minilm").open())
    one = make(rate=1.0, floor=0.6, nearest=3)
    text = one.change_all(["My Card arrived"], [{}], rng(), scene)[0]
    assert text.split()[1] == "Cards"
    assert text.split()[2] in ("arrive", "arrives", "arriving")


def test_a_base_of_bytes_is_refused_by_the_check():
    with pytest.raises(UserError, match="no table of whole words"):
        registry.make("augmentation", "neighbours").check(Scene(registry.make("backbone", "tiny").open()))
