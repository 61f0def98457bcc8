"""Tagging: entities and slots in a text, as character spans and as tags of its tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from graftlm.contracts import marked, tagged
from graftlm.contracts.rows import Rows
from graftlm.contracts.tagged import (
    Sentence,
    WordDetail,
    filled,
    sentence_of,
    spans_of,
    strangers,
    tags_of,
    words_of,
)
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core import spans, tags, words
from graftlm.core.errors import DataError, listing
from graftlm.nn import chain, viterbi, windows

if TYPE_CHECKING:
    from torch import Tensor

TEXT = (
    "text", "tokens", "words", "sentence", "content", "body", "document", "utterance", "query", "tweet", "message",
    "文本", "内容", "句子", "正文",
)  # fmt: skip
TAGS = (
    "tags", "ner_tags", "entities", "spans", "labels", "label", "slots", "slot_tags", "annotations", "annotation",
    "ner", "bio", "entity", "标签", "实体", "标注",
)  # fmt: skip


class Tagging(Task):
    """Gives each word a tag of the scheme BIO; answers are the entities, and the tags where tokens were given."""

    source: ClassVar[str] = "Tjong Kim Sang & De Meulder 2003 (conlleval); seqeval; Devlin et al. 2019, section 5.3"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("text", "text", TEXT, "the text, or the list of its tokens", nested=True),
        Role("tags", "target", TAGS, "a tag for each token, or labelled character spans", nested=True),
    )
    auto_model: ClassVar[str] = "AutoModelForTokenClassification"
    says: ClassVar[str] = "the entities in the text with their places, by one of {labels} tags for each token"
    plainly: ClassVar[str] = (
        "print([space['labels'][best] for best in logits[0].argmax(-1)])  # one for each token; see Limits"
    )
    pooled: ClassVar[bool] = False
    chooses: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("entity_f1", tagged.entity_f1, about="F1 over entities, borders and type both right", percent=True),
        Metric("precision", tagged.precision, about="share of found entities that are right", percent=True),
        Metric("recall", tagged.recall, about="share of true entities that were found", percent=True),
        Metric("macro_f1", tagged.macro_f1, about="mean F1 over types, each type weighing the same", percent=True),
        Metric("token_accuracy", tagged.token_accuracy, about="share of words with the right tag", percent=True),
        Metric("sentence_accuracy", tagged.sentence_accuracy, about="share of rows with no entity wrong", percent=True,
               hits=tagged.all_right),
    )  # fmt: skip
    baselines: ClassVar[tuple[str, ...]] = ("token_frequency",)
    scheme: Literal["auto", "BIO", "IOB1", "BIOES", "BMES", "BILOU", "IO"] = "auto"
    """Scheme of the tags; auto: found out. IO: tags are bare types, and equal ones in a row are one entity."""
    names: tuple[str, ...] = ()
    """Names of the tags in their order, for data whose tags are numbers."""
    stride: int = Field(64, ge=0)
    """Tokens that two windows of a long text share."""
    crf: bool = False
    """Learn on the validation rows, after training, how tags follow each other: a linear-chain random field over the
    model's logits, kept in the bundle beside the plain checkpoint."""

    def reads(self, example: Example) -> str:
        """Return the text, joined where tokens were given."""
        return sentence_of(example.fields.get("text")).text

    def marked(self, example: Example) -> marked.Marked:
        """Return the row with its entities as signs."""
        return marked.mark(example, self.scheme, self.names)

    def fault(self, example: Example) -> str | None:
        """Return what is wrong with the tags or spans of a row."""
        try:
            self._spans(example, sentence_of(example.fields.get("text")))
        except ValueError as fault:
            return str(fault)
        return None

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on entities: none, of types that training lacks, two schemes, borders inside a word."""
        found: list[Finding] = []
        types: dict[str, Counter[str]] = {}
        for name, rows in splits.items():
            if rows.target is None or not rows.has(rows.target):
                continue
            types[name] = Counter()
            torn: list[str] = []
            for example, sentence, own in self._read(rows):
                types[name].update(kind for _, _, kind in own)
                inside = [
                    (sentence.spots[a][0], sentence.spots[b - 1][1], kind) for a, b, kind in words_of(sentence, own)
                ]
                if inside != own:
                    torn.append(example.where)
            if torn:
                message = (
                    f"{name}: {len(torn)} of {len(rows)} rows have entities that begin or end inside a word, or share "
                    "one; whole words are learnt and answered there, so that these entities count as missed."
                )
                found.append(Finding("note", "torn_words", message, len(torn), tuple(torn[:5])))
            if name == "train":
                found += self._scheme_findings(rows)
        if self.crf and "train" in splits and not len(splits.get("valid", ())):
            message = "The task's field 'crf' learns on validation rows; give some (data.valid), or cut some off."
            found.append(Finding("error", "no_validation", message))
        if "train" in types and not types["train"]:
            message = "The training rows have no entity: every tag is O. Is 'tags' the right column?"
            found.append(Finding("error", "no_entities", message, len(splits["train"])))
        for name, counts in types.items():
            if name != "train" and "train" in types:
                found += strangers(name, counts, types["train"])
        return found

    def _scheme_findings(self, rows: Rows) -> list[Finding]:
        examples = [(e, own) for chunk in rows.chunks() for e in chunk if (own := tags_of(e.target, self.names))]
        if self.scheme == "IO" or not examples:
            return []
        seen = tags.recognise([own for _, own in examples])
        places = tuple(examples[number][0].where for number in seen.odd[:5])
        if seen.mixed:
            message = (
                f"train: two tag schemes are mixed: {seen.mixed}. Write all tags in one scheme, such as "
                f"{listing(list(tags.LETTERS))}."
            )
            return [Finding("error", "mixed_schemes", message, len(seen.odd), places)]
        if seen.odd:
            message = (
                f"train: {len(seen.odd)} sentences do not keep to {seen.name}, the scheme of the others: a tag that "
                "continues an entity stands where none is open, say. It is read as the beginning of one."
            )
            return [Finding("warning", "odd_tags", message, len(seen.odd), places)]
        return []

    def space(self, rows: Rows) -> Space:
        """Return O and the tags B- and I- of each type in the training rows, types sorted; the scheme goes along.

        Raises:
            DataError: there is no entity.
        """
        kinds = sorted({kind for _, _, own in self._read(rows) for _, _, kind in own})
        if not kinds:
            raise DataError(
                f"Tagging needs entities in the training rows; found none in {len(rows)} rows. Is 'tags' the right "
                "column? Name it with data.columns.tags."
            )
        scheme: str = self.scheme
        if scheme == "auto":
            sentences = [own for value in rows.column(rows.target or "tags") if (own := tags_of(value, self.names))]
            scheme = tags.recognise(sentences).name if sentences else "BIO"
        tails = [f"-{kind}" if kind else "" for kind in kinds]
        labels = ("O", *(letter + tail for tail in tails for letter in "BI"))
        return Space(labels, len(labels), {"scheme": scheme, "types": kinds})

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise all texts in one call; a text longer than the limit gives overlapping windows.

        `keep` says at which places of the window the words stand that are read off there: each word once, in the
        window where it has the most context.
        """
        if not examples:
            return []
        around = windows.template(tokenizer, pair=False)
        sentences = [sentence_of(example.fields.get("text")) for example in examples]
        coded = windows.tokenise(tokenizer, [sentence.text for sentence in sentences])
        found = []
        for row, (sentence, (ids, offsets)) in enumerate(zip(sentences, coded, strict=True)):
            first = words.owners(offsets, sentence.spots, sentence.text)
            cuts = windows.cut(len(ids), limit - around.size, self.stride)
            holder = windows.holders(len(ids), cuts) if len(cuts) > 1 else None
            for number, (start, stop) in enumerate(cuts):
                here = [
                    (word, token)
                    for word, token in enumerate(first)
                    if token >= 0 and (holder is None or holder[token] == number)
                ]
                keep = {
                    "words": [word for word, _ in here],
                    "at": [token - start + len(around.first) for _, token in here],
                }
                found.append(Inputs(row, around.around(ids[start:stop]), keep=keep))
        return found

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return for each Inputs a label number at the places of its words, -100 elsewhere.

        Inputs without tokens get one number for each word.

        Raises:
            DataError: a row has faulty tags, or a type that the space does not hold.
        """
        index = {label: number for number, label in enumerate(space.labels)}
        known: dict[int, list[int]] = {}
        found = []
        for one in inputs:
            if one.row not in known:
                example = examples[one.row]
                try:
                    known[one.row] = [index[tag] for tag in self.truth(example)]
                except (ValueError, KeyError) as fault:
                    what = f"the tag {fault}, which no training row has" if isinstance(fault, KeyError) else str(fault)
                    raise DataError(f"{example.where or example.id}: {what}. Take the row out or correct it.") from None
            own = known[one.row]
            if not one.features:
                found.append(own)
                continue
            target = [-100] * len(one)
            for word, place in zip(one.keep["words"], one.keep["at"], strict=True):
                target[place] = own[word]
            found.append(target)
        return found

    def stack(self, targets: Sequence[Any]) -> Tensor:
        """Return the label numbers (B, L), -100 behind the shorter ones."""
        import torch

        longest = max(map(len, targets))
        return torch.tensor([[*target, *[-100] * (longest - len(target))] for target in targets])

    def count(self, targets: Any) -> int:
        """Return the number of words that count."""
        return int((targets != -100).sum())

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the summed cross-entropy of logits (B, L, C) and label numbers (B, L or less)."""
        from torch.nn.functional import cross_entropy

        logits = outputs.logits[:, : targets.shape[1]]
        return cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the best sequence of tags that the scheme allows, and its entities.

        Without inputs, `pieces` is one array of logits for the words (N, C). A word that has no token of its own
        goes with the entity round it.
        """
        sentence = sentence_of(example.fields.get("text"))
        logits = _logits(sentence, inputs, pieces, len(space.labels))
        seen = np.flatnonzero(~np.isnan(logits[:, 0]))
        path = _path(logits[seen], space)
        chosen = filled(path, seen, sentence)
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = grown / grown.sum(axis=1, keepdims=True)
        sure = probabilities[np.arange(len(chosen)), chosen]
        labels = [space.labels[number] for number in chosen]
        found = []
        for first, stop, kind in tags.entities(labels):
            start, end = sentence.spots[first][0], sentence.spots[stop - 1][1]
            own = sure[first:stop]
            found.append(
                {"start": start, "end": end, "label": kind, "text": sentence.text[start:end],
                 "probability": float(np.nanmin(own)) if np.isfinite(own).any() else 0.0}
            )  # fmt: skip
        public: dict[str, Any] = {"entities": found}
        if sentence.given:
            own_tags = tags.write(tags.entities(labels), len(labels), str(space.extra["scheme"]))
            public |= {"tags": own_tags, "text": sentence.text}
        confidence = float(sure[seen].min()) if len(seen) else 1.0
        detail = WordDetail(space.labels, np.nan_to_num(probabilities), sentence.spots)
        return Answer(labels, confidence, public, detail)

    def tune(
        self, examples: Sequence[Example], inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space
    ) -> Space:
        """Fit the transitions between tags, where `crf` asks for them."""
        if not self.crf:
            return space
        index = {label: number for number, label in enumerate(space.labels)}
        of_row: list[list[int]] = [[] for _ in examples]
        for number, one in enumerate(inputs):
            of_row[one.row].append(number)
        start, transitions = viterbi.bio_rules(len(index))
        held, paths = [], []
        for example, numbers in zip(examples, of_row, strict=True):
            if self.knows(example, space):
                sentence = sentence_of(example.fields.get("text"))
                some = [inputs[n] for n in numbers], [pieces[n] for n in numbers]
                logits = _logits(sentence, *some, len(space.labels))
                seen = np.flatnonzero(~np.isnan(logits[:, 0]))
                true = np.array([index[tag] for tag in self.truth(example)], np.int64)[seen]
                if viterbi.allowed(true, transitions, start):
                    held.append(logits[seen])
                    paths.append(true)
        found = chain.fit(held, paths, start, transitions)
        own = {"start": found.start, "transitions": found.transitions}
        learnt = {name: np.where(np.isfinite(part), part, 0.0).tolist() for name, part in own.items()}
        return replace(space, extra={**space.extra, "crf": {**learnt, "scale": found.scale}})

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return right, true and found entities of each type (N, T + 1; the last: never seen), and words."""
        index = {kind: number for number, kind in enumerate(space.extra["types"])}
        counts = np.zeros((3, len(examples), len(index) + 1), dtype=np.int32)
        right_words, all_words = (np.zeros(len(examples), dtype=np.int64) for _ in range(2))
        for row, (answer, example) in enumerate(zip(answers, examples, strict=True)):
            true = set(self._spans(example, sentence_of(example.fields.get("text"))))
            found = {(one["start"], one["end"], one["label"]) for one in answer.public["entities"]}
            for number, group in enumerate((true & found, true, found)):
                for _, _, kind in group:
                    counts[number, row, index.get(kind, len(index))] += 1
            wanted = self.truth(example)
            all_words[row] = len(wanted)
            right_words[row] = sum(one == two for one, two in zip(wanted, answer.value, strict=True))
        columns = dict(zip(("right", "truths", "answers"), counts, strict=True))
        return {**columns, "right_words": right_words, "words": all_words}

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return figures for each type."""
        kinds = [kind or "(no type)" for kind in space.extra["types"]]
        rows = []
        for number, kind in enumerate(kinds):
            right, truths, answers = (float(grades[n][:, number].sum()) for n in ("right", "truths", "answers"))
            rows.append({
                "label": kind,
                "precision": right / answers if answers else 0.0,
                "recall": right / truths if truths else 0.0,
                "f1": tagged.f1(right, truths, answers),
                "support": int(truths),
                "predicted": int(answers),
            })  # fmt: skip
        return {"labels": kinds, "per_class": rows, "never_seen": int(grades["truths"][:, -1].sum())}

    def truth(self, example: Example) -> list[str]:
        """Return the tag of each word in BIO, as answers give it."""
        sentence = sentence_of(example.fields.get("text"))
        return tags.write(words_of(sentence, self._spans(example, sentence)), len(sentence.spots), "BIO")

    def remarks(self, space: Space) -> Sequence[str]:
        """Say what makes answers of the plain logits, and name the transitions that no plain class has."""
        plain = (
            "A word's tag is read at its first token, and an I- tag may only continue an entity of its type; the best "
            "of single tokens can break that.",
        )
        if "crf" not in space.extra:
            return plain
        return (
            *plain,
            "The plain checkpoint gives the logits of each token. How tags follow each other was learnt beside it (a "
            "linear-chain CRF over these logits): `start`, `transitions` and `scale` under `crf` in `graft.json`.",
        )

    def knows(self, example: Example, space: Space) -> bool:
        """Tell whether every type of a row is in the space."""
        own = self._spans(example, sentence_of(example.fields.get("text")))
        return {kind for _, _, kind in own} <= set(space.extra["types"])

    def words(self, example: Example) -> list[str]:
        """Return the words that `decode` tags, in their order."""
        sentence = sentence_of(example.fields.get("text"))
        return [sentence.text[start:end] for start, end in sentence.spots]

    def _spans(self, example: Example, sentence: Sentence) -> list[spans.Span]:
        return spans_of(example.target, sentence, self.scheme, self.names)

    def _read(self, rows: Rows) -> Iterator[tuple[Example, Sentence, list[spans.Span]]]:
        for chunk in rows.chunks():
            for example in chunk:
                sentence = sentence_of(example.fields.get("text"))
                try:
                    yield example, sentence, self._spans(example, sentence)
                except ValueError as fault:
                    raise DataError(f"{example.where or example.id}: {fault}.") from None


def _logits(sentence: Sentence, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return the logits of each word (N, C), NaN for one without a token; without inputs they are the one piece."""
    logits = np.full((len(sentence.spots), size), np.nan, dtype=np.float64)
    if not inputs:
        logits[:] = pieces[0]
    for one, piece in zip(inputs, pieces, strict=False):
        logits[one.keep["words"]] = piece[one.keep["at"]]
    return logits


def _path(logits: np.ndarray, space: Space) -> np.ndarray:
    """Return the best label numbers (N,) that the scheme allows, by the transitions learnt if there are any."""
    learnt = space.extra.get("crf")
    if learnt is None:
        return viterbi.bio_path(logits)
    start, transitions = viterbi.bio_rules(len(space.labels))
    told = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return viterbi.best_path(
        learnt["scale"] * told, transitions + np.asarray(learnt["transitions"]), start + np.asarray(learnt["start"])
    )
