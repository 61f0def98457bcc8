"""Packed sequences against what a tokenizer's own padding gives."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from graftlm.nn.packed import Packed

SEQUENCES = st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=12), min_size=1, max_size=9)


@given(SEQUENCES, st.sampled_from(["left", "right"]), st.data())
def test_a_batch_is_padded_as_by_hand(sequences, side, data):
    packed = Packed.of([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in sequences])
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=5))
    batch = packed.batch(rows, 99, side)
    longest = max(len(sequences[row]) for row in rows)
    for place, row in enumerate(rows):
        gap = longest - len(sequences[row])
        before, after = (gap, 0) if side == "left" else (0, gap)
        assert batch["input_ids"][place].tolist() == [99] * before + sequences[row] + [99] * after
        assert batch["attention_mask"][place].tolist() == [0] * before + [1] * len(sequences[row]) + [0] * after
    assert batch["input_ids"].dtype == torch.int64


def test_token_types_are_kept_where_they_say_something_and_padded_with_zero():
    packed = Packed.of(
        [{"input_ids": [5, 6, 7], "token_type_ids": [0, 1, 1]}, {"input_ids": [8], "token_type_ids": [0]}]
    )
    assert packed.batch([1, 0], 0)["token_type_ids"].tolist() == [[0, 0, 0], [0, 1, 1]]


def test_token_types_of_single_texts_are_left_out():
    packed = Packed.of([{"input_ids": [5, 6], "token_type_ids": [0, 0]}])
    assert set(packed.batch([0], 0)) == {"input_ids", "attention_mask"}


def test_it_tells_lengths_and_vocabulary():
    packed = Packed.of([{"input_ids": [5, 6, 5]}, {"input_ids": [9]}])
    assert len(packed) == 2
    assert packed.lengths.tolist() == [3, 1]
    assert packed.vocabulary().tolist() == [5, 6, 9]


def test_rows_may_be_an_array_of_numbers():
    packed = Packed.of([{"input_ids": [1]}, {"input_ids": [2, 3]}])
    assert packed.batch(np.array([1, 0]), 0)["input_ids"].tolist() == [[2, 3], [1, 0]]


def test_packs_joined_equal_one_pack_of_all():
    rows = [
        {"input_ids": [5, 6], "token_type_ids": [0, 0]},
        {"input_ids": [7]},
        {"input_ids": [8, 9, 4], "token_type_ids": [0, 1, 1]},
    ]
    rows[1]["token_type_ids"] = [0]
    whole = Packed.of(rows)
    joined = Packed.joined([Packed.of(rows[:2]), Packed.of(rows[2:])])
    assert joined.offsets.tolist() == whole.offsets.tolist()
    assert joined.features.keys() == whole.features.keys()
    for name, values in whole.features.items():
        assert joined.features[name].dtype == np.int32
        assert joined.features[name].tolist() == values.tolist()


def test_a_decoder_has_lengths_of_its_own():
    sequences = [
        {"input_ids": [5, 6, 7], "decoder_input_ids": [1]},
        {"input_ids": [8], "decoder_input_ids": [1, 9, 9, 4]},
    ]
    packed = Packed.joined([Packed.of(sequences[:1]), Packed.of(sequences[1:])])
    batch = packed.batch([1, 0], pad=0, side="left")
    assert batch["input_ids"].tolist() == [[0, 0, 8], [5, 6, 7]]
    assert batch["decoder_input_ids"].tolist() == [[1, 9, 9, 4], [1, 0, 0, 0]]
    assert batch["decoder_attention_mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert packed.vocabulary().tolist() == [1, 4, 5, 6, 7, 8, 9]
