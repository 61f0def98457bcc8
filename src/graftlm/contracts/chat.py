"""Conversations: messages in the forms that people write them, what is wrong with them, and how a model reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graftlm.core.errors import DataError, listing

ROLES = {
    "system": "system", "developer": "system", "系统": "system",
    "user": "user", "human": "user", "prompter": "user", "customer": "user", "用户": "user", "问": "user", "人": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatbot": "assistant", "model": "assistant",
    "agent": "assistant", "助手": "assistant", "答": "assistant", "机器人": "assistant",
}  # fmt: skip
"""Who speaks, by the names that data sets use."""
_WHO, _WHAT = ("role", "from", "speaker", "author"), ("content", "value", "text", "message")

PLAIN = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}"
    "{% else %}{{ 'Assistant: ' + message['content'] + '%END%\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
"""The chat template of a base that has none; %END% stands for the token that ends a text."""

Message = dict[str, str]


def is_chat(value: Any) -> bool:
    """Tell whether a value is a list of messages or turns, as a list or as JSON text."""
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith(("[{", '["')))


def messages(value: Any) -> list[Message]:
    """Return messages as `{role, content}`; a list of plain turns begins with the user's and alternates.

    Raises:
        ValueError: it is no conversation; the message says why, without the place.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("expected a list of messages, got text that is not JSON") from None
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of messages, got " + ("none" if value in ([], None) else repr(value)[:60]))
    if all(isinstance(turn, str) for turn in value):
        return [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(value)]
    found = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, Mapping):
            raise ValueError(f"message {number} is no mapping with role and content, but {turn!r:.60}")
        who = next((turn[key] for key in _WHO if turn.get(key) is not None), None)
        what = next((turn[key] for key in _WHAT if turn.get(key) is not None), None)
        role = ROLES.get(str(who).strip().casefold())
        if role is None:
            raise ValueError(f"message {number} has the role {who!r}; known are {listing(list(ROLES), 30)}")
        if not isinstance(what, str) or not what.strip():
            raise ValueError(f"message {number} of the {role} is empty")
        found.append({"role": role, "content": what})
    return found


def disorder(turns: Sequence[Message]) -> str | None:
    """Return what is wrong with the order of a conversation, or None: a system message, then user and assistant."""
    spoken = [turn["role"] for turn in turns]
    if "system" in spoken[1:]:
        return f"message {spoken.index('system', 1) + 1} is of the system; it can only come first"
    first = 1 if spoken[0] == "system" else 0
    for number, role in enumerate(spoken[first:]):
        wanted = ("user", "assistant")[number % 2]
        if role != wanted:
            return f"message {number + first + 1} is of the {role}, where the {wanted} should speak"
    return "there is nothing beside the system message" if len(spoken) == first else None


def ending(tokenizer: Any) -> str:
    """Return the token that ends a text, as text.

    Raises:
        DataError: the tokenizer has none.
    """
    found = tokenizer.eos_token or tokenizer.sep_token
    if found is None:
        raise DataError("The base's tokenizer has no token that ends a text, so that answers could not end.")
    return str(found)


def template(tokenizer: Any) -> str | None:
    """Return the plain template where the tokenizer has none of its own, else None."""
    return None if tokenizer.chat_template else PLAIN.replace("%END%", ending(tokenizer))


def render(tokenizer: Any, turns: Sequence[Message], *, asking: bool) -> str:
    """Return a conversation as the model reads it; `asking`: up to where the assistant begins to speak."""
    return str(
        tokenizer.apply_chat_template(
            list(turns), chat_template=template(tokenizer), tokenize=False, add_generation_prompt=asking
        )
    )


@dataclass(frozen=True, slots=True)
class Taught:
    """A conversation as token ids, and which of them the model is to learn to write."""

    ids: list[int]
    learned: list[bool]


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []


def asked(tokenizer: Any, turns: Sequence[Message]) -> list[int]:
    """Return the token ids of a conversation up to where the assistant is to speak."""
    return _ids(tokenizer, render(tokenizer, turns, asking=True))


def answer_ids(tokenizer: Any, turns: Sequence[Message]) -> list[int]:
    """Return the token ids of the last message, the assistant's, with the token that ends it."""
    taught = teach(tokenizer, turns, all_turns=False)
    return [token for token, learned in zip(taught.ids, taught.learned, strict=True) if learned]


def teach(tokenizer: Any, turns: Sequence[Message], *, all_turns: bool = True) -> Taught:
    """Return a conversation with the assistant's words as what is learned, each up to the token that ends it.

    Where the template writes an earlier turn otherwise once another follows (as some do with thoughts), only the
    last one is learned.

    Raises:
        DataError: the template does not write a turn after what comes before it.
    """
    speaks = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    parts: list[tuple[str, bool]] = []
    done = ""
    for n in speaks if all_turns else speaks[-1:]:
        head, whole = render(tokenizer, turns[:n], asking=True), render(tokenizer, turns[: n + 1], asking=False)
        if not (head.startswith(done) and whole.startswith(head)):
            if not all_turns:
                raise DataError(
                    "The chat template of this base writes an answer otherwise than where it is asked for one, so that "
                    "answers cannot be told from questions. Use another base, or mend its chat template."
                )
            return teach(tokenizer, turns, all_turns=False)
        parts += [(head[len(done) :], False), (whole[len(head) :], True)]
        done = whole
    ids: list[int] = []
    learned: list[bool] = []
    for text, own in parts:
        new = _ids(tokenizer, text)
        stop = _end(tokenizer, new) if own else 0
        if own and stop == 0:  # a template without a token that ends a turn
            new.append(int(tokenizer.convert_tokens_to_ids(ending(tokenizer))))
            stop = len(new)
        ids += new
        learned += [place < stop for place in range(len(new))]
    size = len(learned) - learned[::-1].index(True) if True in learned else len(learned)
    return Taught(ids[:size], learned[:size])


def _end(tokenizer: Any, ids: Sequence[int]) -> int:
    """Return how many tokens of a turn come up to its last special one, and with it; 0 where none ends it."""
    special = set(tokenizer.all_special_ids)
    return next((place + 1 for place in reversed(range(len(ids))) if ids[place] in special), 0)


def ends(tokenizer: Any) -> list[int]:
    """Return the token ids that end an answer: what the template ends a turn with, and the end of a text."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    last = answer_ids(tokenizer, turns)[-1]
    return list(dict.fromkeys([last, tokenizer.convert_tokens_to_ids(ending(tokenizer))]))
