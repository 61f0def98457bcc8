from __future__ import annotations

from graftlm.core.words import join, owners, places


def words(text):
    return [text[start:end] for start, end in places(text)]


def test_words_are_runs_of_letters_or_digits_and_single_signs():
    assert words("Don't pay $1,000!") == ["Don", "'", "t", "pay", "$", "1", ",", "000", "!"]
    assert words("naïve cafe\u0301 हिन्दी") == ["naïve", "cafe\u0301", "हिन्दी"]


def test_scripts_without_spaces_give_characters():
    assert words("在iPhone6s发布 ｂｙ苹果") == ["在", "iPhone", "6", "s", "发", "布", "ｂｙ", "苹", "果"]
    assert words("東京へ") == ["東", "京", "へ"]


def test_tokens_are_joined_with_spaces_only_where_a_script_has_them():
    assert join(["EU", "rejects", "."]) == ("EU rejects .", [(0, 2), (3, 10), (11, 12)])
    assert join(["科", "技", "vs", "A", "，", "B"])[0] == "科技vs A，B"
    text, spots = join(["我", "", "爱"])
    assert (text, spots) == ("我爱", [(0, 1), (1, 1), (1, 2)])


def test_the_first_subtoken_of_each_word_is_found():
    text = "New York's"
    spots = [(0, 3), (4, 8), (8, 10)]
    assert owners([(0, 3), (3, 6), (6, 8), (8, 9), (9, 10)], spots, text) == [0, 1, 3]
    # a token over two words belongs to the first; the other has none of its own
    assert owners([(0, 3), (3, 10)], spots, text) == [0, 1, -1]
    assert owners([], spots, text) == [-1, -1, -1]
