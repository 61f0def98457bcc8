"""Conversations in the forms that data sets have, and what of them is learned."""

from __future__ import annotations

import pytest

from graftlm.contracts import chat
from graftlm.core import registry

TURNS = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "嗨"},
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "Me."},
]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture
def tokenizer():
    return registry.make("backbone", {"use": "tiny", "architecture": "gpt2"}).open().tokenizer


@pytest.mark.parametrize(
    "given",
    [
        TURNS,
        [
            {"from": {"user": "human", "assistant": "gpt"}.get(t["role"], "system"), "value": t["content"]}
            for t in TURNS
        ],
        [
            {"role": {"user": "用户", "assistant": "助手"}.get(t["role"], "系统"), "content": t["content"]}
            for t in TURNS
        ],
    ],
)
def test_roles_by_the_names_that_people_give(given):
    assert chat.messages(given) == TURNS


def test_plain_turns_alternate():
    import json

    found = chat.messages(["你好", "嗨", "Who?"])
    assert [(one["role"], one["content"]) for one in found] == [("user", "你好"), ("assistant", "嗨"), ("user", "Who?")]
    assert chat.messages(json.dumps(TURNS)) == TURNS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "got none"),
        ("[{", "not JSON"),
        ([{"role": "narrator", "content": "x"}], "message 1 has the role 'narrator'; known are 'system'"),
        ([{"role": "user", "content": " "}], "message 1 of the user is empty"),
        ([{"role": "user", "content": "x"}, "y"], "message 2 is no mapping"),
    ],
)
def test_what_is_no_conversation_is_said(given, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        chat.messages(given)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (["user", "user"], "message 2 is of the user, where the assistant should speak"),
        (["assistant", "user"], "message 1 is of the assistant, where the user should speak"),
        (["user", "system"], "message 2 is of the system; it can only come first"),
        (["system"], "nothing beside the system message"),
        (["system", "user", "assistant", "user"], None),
    ],
)
def test_the_order_is_checked(roles, message):
    found = chat.disorder([{"role": role, "content": "x"} for role in roles])
    assert found is None if message is None else message in found


def test_answers_are_learned_and_nothing_else(tokenizer):
    taught = chat.teach(tokenizer, TURNS)
    assert tokenizer.decode(taught.ids) == "Be short.\nUser: 你好\nAssistant: 嗨[SEP]\nUser: Who?\nAssistant: Me.[SEP]"
    learned = [token for token, own in zip(taught.ids, taught.learned, strict=True) if own]
    assert tokenizer.decode(learned) == "嗨[SEP]Me.[SEP]"
    assert chat.answer_ids(tokenizer, TURNS) == tokenizer("Me.[SEP]", add_special_tokens=False)["input_ids"]
    asked = chat.asked(tokenizer, TURNS[:-1])
    assert [*asked, *chat.answer_ids(tokenizer, TURNS)] == taught.ids


def test_a_template_of_its_own_decides(tokenizer):
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    taught = chat.teach(tokenizer, TURNS)
    learned = [token for token, own in zip(taught.ids, taught.learned, strict=True) if own]
    assert tokenizer.decode(learned) == "嗨<|im_end|>Me.<|im_end|>"
    assert tokenizer.convert_ids_to_tokens(chat.ends(tokenizer)) == ["<|im_end|>", "[SEP]"]


def test_a_template_that_rewrites_earlier_turns_teaches_the_last_alone(tokenizer):
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{% if loop.last %}{{ 'A:' + m['content'] + '[SEP]' }}"
        "{% else %}{{ 'short' }}{% endif %}{% else %}{{ 'Q:' + m['content'] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'A:' }}{% endif %}"
    )
    taught = chat.teach(tokenizer, TURNS)
    learned = [token for token, own in zip(taught.ids, taught.learned, strict=True) if own]
    assert tokenizer.decode(learned) == "Me.[SEP]"


def test_a_template_without_an_ending_gets_one(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] + '|' }}{% endfor %}"
    assert tokenizer.decode(chat.answer_ids(tokenizer, TURNS)) == "Me.|[SEP]"
