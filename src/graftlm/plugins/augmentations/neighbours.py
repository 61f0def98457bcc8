"""Words whose vectors are nearest: of the base's own table of word embeddings, or of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts import replacing
from graftlm.contracts.augmentation import ManyTexts, Scene
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


class Neighbours(ManyTexts):
    """Puts one of the nearest words by cosine in the place of a share of the words; casing stays.

    Only whole words change, for whole words that stand in the table in lower case; characters in Chinese, and words of
    it where the file has them. Near is what is used alike, which antonyms are too: look at some rows (`graft check`
    does not), and raise the floor where labels hang on such words.
    """

    source: ClassVar[str] = (
        "Wang and Yang 2015, aclanthology.org/D15-1306, section 3; Jiao et al. 2020, arXiv:1909.10351"
    )
    vectors: str | None = None
    """File of word vectors in word2vec's or GloVe's text format; None: the base's own word embeddings."""
    nearest: int = Field(10, ge=1, le=100)
    """Nearest words that one is drawn from."""
    floor: float = Field(0.5, ge=-1, le=1)
    """Least cosine of a word that may stand in."""
    shortest: int = Field(3, ge=1, le=20)
    """Letters that a word of an alphabet has at least, to change."""
    most: int = Field(100_000, ge=2)
    """Words that are read of a file, from its beginning, where the frequent ones stand."""

    def check(self, scene: Scene) -> None:
        """Read the file, or look for whole words in the base's vocabulary.

        Raises:
            UserError: it cannot be read, or there are none.
        """
        if self.vectors is not None:
            self._table(scene)
        elif scene.base is not None and not replacing.whole_words(scene.base.tokenizer):
            raise self._no_words(scene.base.card.name, "its tokens are bytes or pieces of words")

    def change_all(
        self, texts: Sequence[str], shown: Sequence[Mapping[int, str]], rng: np.random.Generator, scene: Scene
    ) -> list[str]:
        """Return the texts with some words replaced."""
        from graftlm.nn.word_vectors import neighbours

        table, vectors = self._table(scene)
        places = [
            [
                (start, end)
                for start, end in replacing.replaceable(text, table)
                if replacing.han(text[start]) or end - start >= self.shortest
            ]
            for text in texts
        ]
        asked = sorted({text[a:b].lower() for text, own in zip(texts, places, strict=True) for a, b in own})
        near: dict[str, list[str]] = {}
        for chinese in (False, True):  # no letters for characters, and no characters for letters
            part = {word: row for word, row in table.items() if replacing.han(word) == chinese}
            some = [word for word in asked if replacing.han(word) == chinese]
            if part:
                near |= neighbours(some, part, vectors, self.nearest, self.floor)
        out = []
        for text, own in zip(texts, places, strict=True):
            own = [(a, b) for a, b in own if text[a:b].lower() in near]
            chosen = [own[n] for n in self.chosen(range(len(own)), rng)]
            others = []
            for a, b in chosen:
                some = near[text[a:b].lower()]
                others.append(replacing.cased(some[int(rng.integers(len(some)))], text[a:b]))
            out.append(replacing.put(text, chosen, others))
        return out

    def _table(self, scene: Scene) -> tuple[dict[str, int], Any]:
        """Return the row of each word, and the vectors (N, D)."""
        if self.vectors is not None:
            from graftlm.nn.word_vectors import read

            words, vectors = read(self.vectors, self.most)
            known: dict[str, int] = {}
            for row, word in enumerate(words):
                if word.isalpha() and word == word.lower():
                    known.setdefault(word, row)
            if not known:
                raise UserError(f"The word vectors '{self.vectors}' hold no word of letters in lower case.")
            return known, vectors
        if scene.base is None:
            raise UserError(
                "augmentations.neighbours: there is no base model to take word embeddings of; name a file of word "
                "vectors with `vectors`."
            )
        from graftlm.nn.vocabulary import input_embedding

        table = input_embedding(scene.base.build("AutoModel"))
        known = replacing.whole_words(scene.base.tokenizer)
        if table is None or not known:
            why = "bytes or pieces of words" if table is not None else "not looked up in one table"
            raise self._no_words(scene.base.card.name, f"its tokens are {why}")
        return known, table.weight.detach().float().cpu().numpy()

    @staticmethod
    def _no_words(name: str, why: str) -> UserError:
        return UserError(
            f"augmentations.neighbours: '{name}' has no table of whole words ({why}). Name a file of word vectors with "
            "`vectors`, in word2vec's or GloVe's text format."
        )
