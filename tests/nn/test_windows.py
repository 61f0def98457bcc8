from __future__ import annotations

import numpy as np
import pytest

from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.nn import windows


@pytest.fixture(scope="module")
def tokenizer():
    return registry.make("backbone", "tiny").open().tokenizer


@pytest.mark.parametrize("pair", [False, True])
def test_what_is_put_together_equals_what_the_tokenizer_gives(tokenizer, pair):
    texts, others = ["abc", "中文 x"], ["the second", ""]
    around = windows.template(tokenizer, pair=pair)
    whole = tokenizer(texts, others if pair else None)
    coded, beside = windows.tokenise(tokenizer, texts), windows.tokenise(tokenizer, others)
    for row in range(2):
        features = around.around(coded[row][0], beside[row][0] if pair else ())
        assert features["input_ids"] == whole["input_ids"][row]
        assert features.get("token_type_ids", [0] * len(features["input_ids"])) == whole["token_type_ids"][row]
    assert around.size == (3 if pair else 2)


def test_pairs_of_other_tokenizers_are_put_together_as_they_do():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2, "b": 3, "c": 4}, unk_token="</s>"))  # noqa: S106
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"])
    around = windows.template(tokenizer, pair=True)
    assert around == windows.Template((0,), (1, 1), (1,), None)
    assert around.around([2, 3], [4])["input_ids"] == tokenizer("a b", "c")["input_ids"]


def test_windows_cover_all_and_share_what_was_asked():
    assert windows.cut(10, 20, 5) == [(0, 10)]
    assert windows.cut(0, 20, 5) == [(0, 0)]
    assert windows.cut(25, 10, 4) == [(0, 10), (6, 16), (12, 22), (15, 25)]
    assert windows.cut(30, 10, 0) == [(0, 10), (10, 20), (20, 30)]
    assert windows.cut(12, 10, 99) == [(0, 10), (2, 12)]
    for size in range(1, 80):
        for room in (1, 2, 7, 30):
            for shared in (0, 3, 50):
                found = windows.cut(size, room, shared)
                assert set().union(*(range(*one) for one in found)) == set(range(size))
                assert all(stop - start == min(room, size) for start, stop in found)
    with pytest.raises(UserError, match="room for a token"):
        windows.cut(5, 0, 1)


def test_each_token_is_held_where_it_has_the_most_context():
    cuts = [(0, 10), (6, 16), (12, 22)]
    held = windows.holders(22, cuts)
    for token in range(22):
        context = [
            min(token - a if a else 99, b - 1 - token if b < 22 else 99) if a <= token < b else -1 for a, b in cuts
        ]
        assert context[held[token]] == max(context)
    assert np.array_equal(windows.holders(5, [(0, 5)]), np.zeros(5))


def test_a_tokenizer_without_places_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(UserError, match="need a fast tokenizer"):
        windows.template(Slow(), pair=False)
