"""Text to text: translation, summaries, titles; an encoder reads the source and a decoder writes the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts import written
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.texts import as_text, encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core import log
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from graftlm.contracts.model import Model

SOURCE = (
    "src", "source_text", "input", "article", "document", "text", "content", "body", "abstract", "passage", "dialogue",
    "sentence", "原文", "源文", "源文本", "正文", "文章", "内容", "文本", "摘要",
)  # fmt: skip
TARGET = (
    "tgt", "target_text", "output", "summary", "highlights", "title", "headline", "translation", "reference",
    "references", "summaries", "tldr", "答案", "译文", "目标", "目标文本", "标题", "总结", "概要", "摘要",
)  # fmt: skip
CEILING = 512
"""Tokens of an answer at most, where the training targets are longer and nothing else is said."""


class Seq2Seq(Task):
    """Writes one text for another; the loss is the cross-entropy of each target token, the ones before it given."""

    source: ClassVar[str] = "Sutskever et al. 2014, section 2; sacrebleu 2 (BLEU, chrF2), rouge-score (ROUGE F)"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("source", "text", SOURCE, "the text that is read"),
        Role("target", "target", TARGET, "the text to write: one, or a list of equally right ones", nested=True),
    )
    auto_model: ClassVar[str] = "AutoModelForSeq2SeqLM"
    pooled: ClassVar[bool] = False
    chooses: ClassVar[bool] = True
    writes_with: ClassVar[Literal["decoder", "encoder-decoder"] | None] = "encoder-decoder"
    metrics: ClassVar[tuple[Metric, ...]] = (
        written.BLEU, written.CHRF, written.ROUGE_1, written.ROUGE_2, written.ROUGE_L, written.EXACT,
    )  # fmt: skip
    baselines: ClassVar[tuple[str, ...]] = ("copy", "lead", "nearest_answer")
    prefix: str = ""
    """What stands before each source: "summarize: " for a T5, ">>de<<" for a Marian of several languages."""
    beams: int = Field(4, ge=1, le=64)
    """Beams of the search for an answer; 1: the likeliest token at each step. While training it is always 1."""
    max_new_tokens: int | None = Field(None, ge=1, le=100_000)
    """Longest answer in tokens; None: that of the longest training target."""
    min_new_tokens: int = Field(0, ge=0, le=100_000)
    """Shortest answer in tokens."""
    length_penalty: float = Field(1.0, ge=-10, le=10)
    """Power of the length that a beam's log-probability is divided by: larger means longer answers."""
    no_repeat_ngram: int = Field(0, ge=0, le=20)
    """No run of so many tokens comes twice in an answer; 0: no such rule."""
    cut: Literal["auto", "13a", "zh", "char"] = "auto"
    """Tokeniser of BLEU, as sacrebleu names it; auto: by the script of the training targets."""
    source_language: str | None = None
    """Code of the language read, for bases that want one (mBART, NLLB): "en_XX"."""
    target_language: str | None = None
    """Code of the language to write, for bases that want one: "de_DE"."""

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on targets: blank ones, and ones that repeat their source."""
        found = written.without_target(splits, "target")
        for name, rows in splits.items():
            if rows.has("target"):
                pairs = zip(rows.column("source"), rows.column("target"), strict=True)
                same = [n for n, (one, two) in enumerate(pairs) if as_text(one).strip() in written.references(two)]
                if same:
                    message = f"{name}: the target of {len(same)} of {len(rows)} rows is the source itself."
                    level = "warning" if len(same) >= 0.05 * len(rows) else "note"
                    found.append(Finding(level, "copied", message, len(same), tuple(rows.where(n) for n in same[:5])))
        return found

    def settled(self, rows: Rows, tokenizer: Any) -> Task:
        """Take the longest answer and the tokeniser of BLEU from the training targets."""
        from graftlm.nn import ngrams

        written.installed()
        texts = written.sample(rows, "target")
        chosen: dict[str, Any] = {}
        if self.max_new_tokens is None:
            self._languages(tokenizer)
            most = min(CEILING, tokenizer.model_max_length)
            chosen["max_new_tokens"] = max(written.longest(texts, tokenizer, most), self.min_new_tokens)
        if self.cut == "auto":
            chosen["cut"] = ngrams.cut_of(texts[:2000])
        return self.model_copy(update=chosen)

    def furnish(self, model: Model) -> None:
        """Have answers begin with the code of the target's language, where the tokenizer puts one to its texts."""
        if self.target_language is None:
            return
        self._languages(model.tokenizer)
        tokenizer, module = model.tokenizer, model.module
        own: Any = module.generation_config
        config: Any = module.config
        code = tokenizer.convert_tokens_to_ids(self.target_language)
        ids = tokenizer(text_target="a")["input_ids"]
        if ids[0] == code:  # mBART-50, M2M100, NLLB: after the start comes the language
            own.forced_bos_token_id = code
        elif ids[-1] == code:  # mBART: the language is the start
            own.decoder_start_token_id = config.decoder_start_token_id = code
            tokenizer.decoder_start_token_id = code

    def in_training(self) -> Task:
        """Answer with the likeliest token at each step."""
        return self.model_copy(update={"beams": 1})

    def space(self, rows: Rows) -> Space:
        """Return no labels; `extra` says how BLEU is counted."""
        from graftlm.nn import ngrams

        texts = written.sample(rows, "target", 2000)
        cut = ngrams.cut_of(texts) if self.cut == "auto" else self.cut
        return Space(extra={"bleu": ngrams.bleu_signature(cut, "var"), "cut": cut})

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise the sources, cut at `limit` tokens."""
        self._languages(tokenizer)
        texts = [self.prefix + as_text(example.fields.get("source")) for example in examples]
        return [
            Inputs(one.row, _read(one.features), one.truncated, {"tokenizer": tokenizer})
            for one in encode_texts(texts, None, tokenizer, limit)
        ]

    def encode_training(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise sources and targets, one Inputs for each right answer; the decoder is shown what stands before."""
        wanted = [written.references(example.target) for example in examples]
        flat = [text for texts in wanted for text in texts]
        labels = tokenizer(text_target=flat, verbose=False)["input_ids"] if flat else []
        cut = sum(len(ids) > limit for ids in labels)
        if cut:
            log.warn(f"{cut} of {len(labels)} targets are longer than {limit} tokens; what lies beyond is not learned.")
        start, given, out = tokenizer.decoder_start_token_id, iter(labels), []
        for one, texts in zip(self.encode(examples, tokenizer, limit), wanted, strict=True):
            for _ in texts:
                ids = list(next(given))[:limit]  # a cut target has no ending: the model does not learn to stop there
                features = {**one.features, "decoder_input_ids": [start, *ids[:-1]]}
                out.append(Inputs(one.row, features, one.truncated, {**one.keep, "labels": ids}))
        return out

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return the target's token ids; none for inputs that are only to be answered."""
        return [one.keep.get("labels", []) for one in inputs]

    def stack(self, targets: Sequence[Any]) -> Tensor:
        """Return labels (B, L), padded with -100."""
        return written.stacked(targets)

    def count(self, targets: Any) -> int:
        """Return the number of target tokens."""
        return written.counted(targets)

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the summed cross-entropy of logits (B, L, V) and labels (B, L)."""
        return written.summed_loss(outputs.logits, targets)

    def infer(self, model: nn.Module, inputs: dict[str, Tensor]) -> list[np.ndarray]:
        """Return the token ids (n,) that the decoder writes for each source."""
        from graftlm.nn.generating import Search, search

        how = Search(
            self.beams, self.max_new_tokens or CEILING, self.min_new_tokens, self.length_penalty, self.no_repeat_ngram
        )
        return search(model, inputs["input_ids"], inputs["attention_mask"], how)

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the text of the token ids; `cut` tells how many tokens of the source were not read."""
        text = inputs[0].keep["tokenizer"].decode(pieces[0].tolist(), skip_special_tokens=True).strip()
        public = {"output": text}
        return Answer(text, None, {**public, "cut": inputs[0].truncated} if inputs[0].truncated else public)

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return the counts of BLEU, chrF, ROUGE and exact match."""
        return written.grades(answers, [example.target for example in examples], str(space.extra.get("cut", "13a")))

    def signatures(self, space: Space) -> dict[str, str]:
        """Return sacrebleu's signature of BLEU."""
        return {"bleu": str(space.extra["bleu"])}

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return the signature of BLEU and the lengths of answers and references."""
        rows = [
            ["BLEU", str(space.extra.get("bleu", ""))],
            ["tokens of answers, mean", round(float(grades["bleu_length"].mean()), 1)],
            ["tokens of references, mean", round(float(grades["bleu_wanted"].mean()), 1)],
        ]
        return {"tables": [{"title": "How it was measured", "columns": ["figure", "is"], "rows": rows}]}

    def _languages(self, tokenizer: Any) -> None:
        """Tell the tokenizer the languages, where it wants to know.

        Raises:
            UserError: it knows no such code.
        """
        for name, code in (("src_lang", self.source_language), ("tgt_lang", self.target_language)):
            if code is None or getattr(tokenizer, name, None) == code:
                continue
            if tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id) or not hasattr(tokenizer, name):
                raise UserError(f"The tokenizer of this base knows no language '{code}'; take it out, or correct it.")
            setattr(tokenizer, name, code)


def _read(features: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    return {"input_ids": features["input_ids"]}
