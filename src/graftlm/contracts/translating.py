"""Translating many texts with a plain seq2seq checkpoint: tokenised once, sorted by length, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graftlm.contracts.backbone import Base
from graftlm.core import hashing, seeds
from graftlm.core.errors import UserError

BATCH_TOKENS = 2048
"""Tokens of the sources that are translated at once."""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction: what stands before each text, codes of the languages, how tokens are chosen."""

    prefix: str = ""
    source: str | None = None
    target: str | None = None
    beams: int = 1
    temperature: float = 0.0
    seed: int = 0


@dataclass(slots=True)
class Translator:
    """Translates jobs [text, number]; equal texts with other numbers are drawn anew. Weights load when it is made."""

    base: Base
    way: Way
    device: str = "cpu"
    module: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        suits(self.base)
        way, tokenizer = self.way, self.base.tokenizer
        for name, code in (("src_lang", way.source), ("tgt_lang", way.target)):
            if code is None:
                continue
            if tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id) or not hasattr(tokenizer, name):
                raise UserError(
                    f"The tokenizer of '{self.base.card.name}' knows no language '{code}'; take it out, or correct it."
                )
            setattr(tokenizer, name, code)
        self.module = self.base.build("AutoModelForSeq2SeqLM", complete=True).eval().to(self.device)
        if way.target is not None:
            code = tokenizer.convert_tokens_to_ids(way.target)
            if tokenizer(text_target="a")["input_ids"][0] == code:  # mBART-50, M2M100, NLLB
                self.module.generation_config.forced_bos_token_id = code
            else:  # mBART: the language is the start
                self.module.generation_config.decoder_start_token_id = code

    def mark(self) -> list[Any]:
        """Return what the translations hang on."""
        from dataclasses import asdict

        from graftlm.nn.marks import of_weights

        tokenizer = self.base.tokenizer
        words = hashing.of_value([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
        return [of_weights(self.module), words, asdict(self.way), self.base.card.limit]

    def __call__(self, jobs: Sequence[Any]) -> list[str | None]:
        """Return the translation of each job; None for a text that is longer than the model reads."""
        import torch

        from graftlm.nn.generating import Search, search
        from graftlm.nn.packed import Packed

        tokenizer = self.base.tokenizer
        texts = [self.way.prefix + text for text, _ in jobs]
        coded = tokenizer(texts, verbose=False)["input_ids"]
        found: list[str | None] = [None] * len(jobs)
        order = sorted(
            (n for n in range(len(jobs)) if len(coded[n]) <= self.base.card.limit), key=lambda n: -len(coded[n])
        )
        with torch.inference_mode():
            while order:
                size = max(1, BATCH_TOKENS // (len(coded[order[0]]) * self.way.beams))
                rows, order = order[:size], order[size:]
                batch = Packed.of([{"input_ids": coded[n], "attention_mask": [1] * len(coded[n])} for n in rows]).batch(
                    list(range(len(rows))), tokenizer.pad_token_id, "right"
                )
                longest = min(self.base.card.limit, 2 * len(coded[rows[0]]) + 16)
                seed = seeds.child(self.way.seed, *(hashing.of_value(jobs[n]) for n in rows))
                how = Search(self.way.beams, longest, temperature=self.way.temperature, seed=seed)
                ids, mask = (batch[name].to(self.device) for name in ("input_ids", "attention_mask"))
                for n, new in zip(rows, search(self.module, ids, mask, how), strict=True):
                    found[n] = tokenizer.decode(new.tolist(), skip_special_tokens=True).strip()
        return found


def suits(base: Base) -> None:
    """Refuse a model that does not translate: no encoder with a decoder.

    Raises:
        UserError: it is another kind.
    """
    if base.card.stack != "encoder-decoder":
        raise UserError(
            f"Translation needs an encoder with a decoder (Marian, T5, mBART, M2M100 and their kin); "
            f"'{base.card.name}' ({base.card.architecture}) is none."
        )
