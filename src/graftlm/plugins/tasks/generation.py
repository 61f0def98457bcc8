"""A decoder that goes on writing: answers to prompts, dialogues, plain text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from graftlm.contracts import chat, written
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.texts import as_text
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graftlm.contracts.model import Model

PROMPT = (
    "instruction", "question", "query", "user", "messages", "conversations", "conversation", "dialogue", "dialog",
    "turns", "input", "text", "content", "指令", "提示", "提示词", "问题", "对话", "消息", "输入", "文本", "内容",
)  # fmt: skip
RESPONSE = (
    "completion", "answer", "output", "reply", "assistant", "target", "chosen", "回答", "回复", "答案", "输出", "答复",
)  # fmt: skip
CEILING = 256
"""New tokens at most, where the training answers are longer and nothing else is said."""


def perplexity(graded: Grades) -> float:
    """Return exp of the mean negative log-likelihood of a token of the truth."""
    tokens = graded["tokens"].sum()
    return float(np.exp(min(graded["nll"].sum() / tokens, 700.0))) if tokens else math.nan


def bits_per_byte(graded: Grades) -> float:
    """Return the negative log-likelihood in bits for each UTF-8 byte of the truth: comparable between tokenizers."""
    size = graded["bytes"].sum()
    return float(graded["nll"].sum() / math.log(2) / size) if size else math.nan


def _distinct(order: int) -> Any:
    def compute(graded: Grades) -> float:
        from graftlm.nn.ngrams import distinct

        return distinct([str(text) for text in graded["answer"]], order) if "answer" in graded else math.nan

    return compute


def _formed(graded: Grades) -> float:
    return written.mean(graded, "formed")


class Generation(Task):
    """Learns the answers (of every turn of a dialogue), or plain text; what was asked is read, not learned."""

    source: ClassVar[str] = "Radford et al. 2019, section 2; Li et al. 2016, arXiv:1510.03055, section 5.1 (distinct)"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("prompt", "text", PROMPT, "what is asked: a text, or messages; or plain text", nested=True),
        Role("response", "target", RESPONSE, "the answer, where it has its own column", required=False, nested=True),
        Role(
            "context", "other", ("context", "input", "背景", "输入"), "more that belongs to the prompt", required=False
        ),
        Role("system", "other", ("system_prompt", "系统"), "what the assistant is told beforehand", required=False),
    )
    auto_model: ClassVar[str] = "AutoModelForCausalLM"
    pooled: ClassVar[bool] = False
    chooses: ClassVar[bool] = True
    writes_with: ClassVar[Literal["decoder", "encoder-decoder"] | None] = "decoder"
    metrics: ClassVar[tuple[Metric, ...]] = (
        written.ROUGE_L, written.ROUGE_1, written.ROUGE_2, written.EXACT,
        Metric("perplexity", perplexity, higher_is_better=False, about="exp of the mean -ln p of a token of the truth"),
        Metric("bits_per_byte", bits_per_byte, higher_is_better=False, about="-log2 p of the truth for each byte"),
        Metric("distinct_1", _distinct(1), about="share of different words among all", percent=True, resampled=False),
        Metric("distinct_2", _distinct(2), about="share of different pairs of words", percent=True, resampled=False),
        Metric("format", _formed, about="share of answers in the form that was asked for", percent=True),
    )  # fmt: skip
    baselines: ClassVar[tuple[str, ...]] = ("copy", "nearest_answer", "unigram")
    form: Literal["auto", "pairs", "chat", "text"] = "auto"
    """What a row is: prompt and response, a conversation, or plain text; auto: by the training rows."""
    beams: int = Field(1, ge=1, le=64)
    """Beams of the search for an answer; 1: the likeliest token at each step."""
    max_new_tokens: int | None = Field(None, ge=1, le=100_000)
    """Longest answer in tokens; None: that of the longest training answer."""
    min_new_tokens: int = Field(0, ge=0, le=100_000)
    """Shortest answer in tokens."""
    no_repeat_ngram: int = Field(0, ge=0, le=20)
    """No run of so many tokens comes twice in an answer; 0: no such rule."""
    block: int | None = Field(None, ge=8, le=1_000_000)
    """Tokens of a block that plain text is cut into for training; None: as many as the base reads."""
    format: str | None = None
    """Form that answers must have: "json", or a regular expression that the whole answer matches."""

    @field_validator("format")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as fault:
                raise ValueError(f"is neither 'json' nor a regular expression: {fault}") from None
        return pattern

    @property
    def primary(self) -> Metric:
        """Return the metric that decides: of plain text, the perplexity."""
        if self.metric is None and self.form == "text":
            return next(metric for metric in self.metrics if metric.compute is perplexity)
        return super().primary

    def rivals(self) -> tuple[str, ...]:
        """Return those that give the figure that decides: plain text has no question to copy."""
        of_tokens = self.primary.compute in (perplexity, bits_per_byte)
        return self.baselines[2:] if of_tokens else self.baselines[:2]

    def fault(self, example: Example) -> str | None:
        """Return what is wrong with the messages of a row: a role that nobody has, an order that no dialogue has."""
        if self._form(example) != "chat":
            return None
        try:
            turns = chat.messages(example.fields["prompt"])
        except ValueError as fault:
            return str(fault)
        last = turns[-1]
        if last["role"] == "assistant" and last["content"] not in (
            written.references(example.target) or [last["content"]]
        ):
            return "the last message is the assistant's, and the response beside it is another one"
        return chat.disorder(turns)

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings: blank responses, conversations that end with a question."""
        found = written.without_target(splits, "response")
        for name, rows in splits.items():
            if not rows.has("response"):
                examples = (example for chunk in rows.chunks() for example in chunk)
                open_ = [n for n, e in enumerate(examples) if self._form(e) != "text" and self._turns(e)[1] is None]
                if open_:
                    message = (
                        f"{len(open_)} of {len(rows)} rows of {name} end with the user's words; expected the "
                        "assistant's last. Add the answer, or take the last message out."
                    )
                    places = tuple(rows.where(n) for n in open_[:5])
                    found.append(Finding("error", "no_answer", message, len(open_), places))
        return found

    def settled(self, rows: Rows, tokenizer: Any) -> Task:
        """Take the form of the rows and the longest answer from the training rows."""
        written.installed()
        chosen: dict[str, Any] = {}
        if self.form == "auto":
            chosen["form"] = self._form(rows.examples(0, 1)[0])
        if self.max_new_tokens is None:
            step = max(1, len(rows) // 20_000)
            texts = [
                t for e in rows.take(range(0, len(rows), step)).examples() for t in written.references(self.truth(e))
            ]
            most = min(CEILING, tokenizer.model_max_length // 2)
            chosen["max_new_tokens"] = max(written.longest(texts, tokenizer, most - 1) + 1, self.min_new_tokens)
        return self.model_copy(update=chosen)

    def furnish(self, model: Model) -> None:
        """Give the model what ends an answer, and the tokenizer a chat template where it has none."""
        tokenizer, module = model.tokenizer, model.module
        own: Any = module.generation_config
        own.eos_token_id = chat.ends(tokenizer)
        own.pad_token_id = tokenizer.pad_token_id
        tokenizer.padding_side = "right"
        if self.form != "text" and (plain := chat.template(tokenizer)) is not None:
            tokenizer.chat_template = plain
        if tokenizer.eos_token is None:
            tokenizer.eos_token = chat.ending(tokenizer)

    def space(self, rows: Rows) -> Space:
        """Return no labels."""
        return Space()

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise what is asked, the truth beside it for its likelihood; of plain text, windows that meet."""
        out: list[Inputs] = []
        for row, example in enumerate(examples):
            if self._form(example) == "text":
                out += _windows(row, _text_ids(tokenizer, self.reads(example)), limit, tokenizer)
                continue
            turns, answer = self._turns(example)
            ids = chat.asked(tokenizer, turns)
            room = limit - min(self.max_new_tokens or CEILING, limit // 2)
            truth: list[int] = []
            if answer is not None:
                truth = chat.answer_ids(tokenizer, [*turns, _said(answer[0])])
            kept = ids[-room:]
            features = {"input_ids": kept, "decoder_input_ids": truth[: limit - len(kept)]}
            out.append(Inputs(row, features, len(ids) - len(kept), {"tokenizer": tokenizer}))
        return out

    def encode_training(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise conversations with the answers as what is learned; plain text is joined and cut into blocks."""
        out: list[Inputs] = []
        texts: list[tuple[int, list[int]]] = []
        for row, example in enumerate(examples):
            if self._form(example) == "text":
                texts.append((row, _text_ids(tokenizer, self.reads(example))))
                continue
            turns, answers = self._turns(example)
            for answer in answers or []:
                taught = chat.teach(tokenizer, [*turns, _said(answer)])
                out.append(_trimmed(row, taught, limit, tokenizer))
        return out + list(_blocks(texts, min(self.block or limit, limit), tokenizer))

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return, for each token, the one that follows it, or -100 where that is not learned."""
        return [one.keep.get("labels", []) for one in inputs]

    def stack(self, targets: Sequence[Any]) -> Tensor:
        """Return labels (B, L), padded with -100."""
        return written.stacked(targets)

    def count(self, targets: Any) -> int:
        """Return the number of tokens that are learned."""
        return written.counted(targets)

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the summed cross-entropy of logits (B, L, V) and the tokens that follow (B, L)."""
        return written.summed_loss(outputs.logits, targets)

    def infer(self, model: nn.Module, inputs: dict[str, Tensor]) -> list[np.ndarray]:
        """Return -ln p of the truth, its number of tokens, and the token ids that the model writes, as one array."""
        from graftlm.nn import generating

        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        if "decoder_input_ids" not in inputs:
            return [np.array(pair) for pair in generating.likelihoods(model, ids, mask)]
        truths = generating.likelihoods(model, ids, mask, inputs["decoder_input_ids"], inputs["decoder_attention_mask"])
        how = generating.Search(
            self.beams, self.max_new_tokens or CEILING, self.min_new_tokens, no_repeat=self.no_repeat_ngram
        )
        answers = generating.search(model, *generating.to_the_right(ids, mask), how)
        return [np.array([*pair, *answer], np.float64) for pair, answer in zip(truths, answers, strict=True)]

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return what was written, or, of plain text, its perplexity."""
        nll, tokens = (float(sum(piece[n] for piece in pieces)) for n in (0, 1))
        detail = {"nll": nll, "tokens": tokens} if tokens else {"tokens": tokens}
        if "decoder_input_ids" not in inputs[0].features:
            value = math.exp(min(nll / max(tokens, 1.0), 700.0))
            return Answer(value, None, {"perplexity": value, "tokens": int(tokens)}, detail)
        tokenizer, ids = inputs[0].keep["tokenizer"], pieces[0][2:].astype(int).tolist()
        text = tokenizer.decode(ids, skip_special_tokens=True).strip()
        public: dict[str, Any] = {"output": text}
        if inputs[0].truncated:
            public["cut"] = inputs[0].truncated
        if len(ids) >= (self.max_new_tokens or CEILING) and ids[-1] not in tokenizer.all_special_ids:
            public["unfinished"] = True
        if self.format is not None:
            public["formed"] = self._formed(text)
        return Answer(text, None, public, detail)

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return the likelihood of the truth, and of written answers the counts of ROUGE, exact match and the form."""
        truths = [self.truth(example) for example in examples]
        given = [written.references(truth) or [""] for truth in truths]
        found: Grades = {
            "nll": np.array([_likelihood(answer) for answer in answers], np.float64),
            "tokens": np.array([answer.detail.get("tokens", 0) for answer in answers], np.float64),
            "bytes": np.array([len(texts[0].encode()) for texts in given], np.int64),
        }
        if all(self._form(example) == "text" for example in examples):
            return found
        texts = [answer.value if isinstance(answer.value, str) else "" for answer in answers]
        found |= written.grades([Answer(text) for text in texts], truths, None)
        found["answer"] = np.array(texts, dtype=object)
        if self.format is not None:
            found["formed"] = np.array([self._formed(text) for text in texts])
        return found

    def truth(self, example: Example) -> Any:
        """Return the right answer, or the plain text itself."""
        if self._form(example) == "text":
            return self.reads(example)
        answers = self._turns(example)[1]
        return None if answers is None else answers[0] if len(answers) == 1 else answers

    def reads(self, example: Example) -> str:
        """Return the last words of the user, or the plain text."""
        if self._form(example) != "chat":
            parts = (as_text(example.fields.get(name)) for name in ("prompt", "context"))
            return "\n".join(part for part in parts if part.strip())
        turns, _ = self._turns(example)
        return turns[-1]["content"] if turns else ""

    def _form(self, example: Example) -> str:
        """Return what a row is, by the options and else by what it holds."""
        if self.form == "text":
            return "text"
        if chat.is_chat(example.fields.get("prompt")):
            return "chat"
        # a plain prompt is a question of its own to a model of dialogues too
        return "text" if self.form == "auto" and example.target is None else "pairs"

    def _turns(self, example: Example) -> tuple[list[chat.Message], list[str] | None]:
        """Return the conversation up to the answer, and the right answers, None where there are none."""
        answers = written.references(example.target) or None
        system = as_text(example.fields.get("system"))
        before = [{"role": "system", "content": system}] if system.strip() else []
        if self._form(example) != "chat":
            return [*before, {"role": "user", "content": self.reads(example)}], answers
        turns = chat.messages(example.fields["prompt"])
        if turns[0]["role"] != "system":
            turns = before + turns
        if turns[-1]["role"] == "assistant":
            return turns[:-1], answers or [turns[-1]["content"]]
        return turns, answers

    def _formed(self, text: str) -> bool:
        if self.format != "json":
            return re.fullmatch(self.format or "", text, re.DOTALL) is not None
        try:
            json.loads(text)
        except ValueError:
            return False
        return True


def _likelihood(answer: Answer) -> float:
    """Return -ln p of the truth: nothing where no token of it was read, unknown to who writes without a model."""
    return float(answer.detail.get("nll", 0.0 if "tokens" in answer.detail else math.nan))


def _said(answer: str) -> chat.Message:
    return {"role": "assistant", "content": answer}


def _text_ids(tokenizer: Any, text: str) -> list[int]:
    """Return a text's tokens and the one that ends it."""
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return [*ids, int(tokenizer.convert_tokens_to_ids(chat.ending(tokenizer)))]


def _start(tokenizer: Any) -> int:
    """Return the token that stands before a text: its own, or the one that ends the text before."""
    start = tokenizer.bos_token_id
    return int(tokenizer.convert_tokens_to_ids(chat.ending(tokenizer)) if start is None else start)


def _windows(row: int, ids: list[int], limit: int, tokenizer: Any) -> Iterator[Inputs]:
    """Yield windows of a text in which each token follows another exactly once."""
    stream = [_start(tokenizer), *ids]
    for begin in range(0, len(stream) - 1, limit - 1):
        window = stream[begin : begin + limit]
        yield Inputs(row, {"input_ids": window}, 0, {"tokenizer": tokenizer, "labels": [*window[1:], -100]})


def _blocks(texts: Sequence[tuple[int, list[int]]], size: int, tokenizer: Any) -> Iterator[Inputs]:
    """Yield the windows of all texts put end to end, each with the row that it begins in."""
    if not texts:
        return
    stream = [token for _, ids in texts for token in ids]
    rows = np.repeat([row for row, _ in texts], [len(ids) for _, ids in texts])
    for number, block in enumerate(_windows(0, stream, size, tokenizer)):
        yield Inputs(int(rows[number * (size - 1)]), block.features, 0, block.keep)


def _trimmed(row: int, taught: chat.Taught, limit: int, tokenizer: Any) -> Inputs:
    """Return a conversation that fits: what came first goes first, but never more than half for a long last answer."""
    ids, learned = taught.ids, taught.learned
    over = len(ids) - limit
    if over > 0:
        own = len(ids) - 1 - learned[::-1].index(True)
        while own > 0 and learned[own - 1]:
            own -= 1  # the first token of the last answer
        begin = min(over, max(0, own - limit // 2))
        ids, learned = ids[begin : begin + limit], learned[begin : begin + limit]
    labels = [token if wanted else -100 for token, wanted in zip(ids[1:], learned[1:], strict=True)]
    keep = {"tokenizer": tokenizer, "labels": [*labels, -100]}
    return Inputs(row, {"input_ids": ids}, max(over, 0), keep)
