"""Tasks: what is asked of the model, and how an answer is judged. One file holds both."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import field_validator

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import UserError, listing, near
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from graftlm.contracts.backbone import Card
    from graftlm.contracts.marked import Marked
    from graftlm.contracts.model import Model

_STACKS = {
    "encoder": "an encoder alone, which reads but does not write (BERT and its kin)",
    "decoder": "a decoder alone (GPT-2, Llama, Qwen and their kin)",
    "encoder-decoder": "an encoder with a decoder (T5, BART, Marian and their kin)",
}


@dataclass(frozen=True, slots=True)
class Role:
    """A column that a task needs: its name in recipes, what it holds, and the names that people give it.

    `kind` is "text" (read by the model), "target" (the truth) or "other". `spread` says which several columns
    make up the role where no single one does, the value then being a mapping from column to value: "flags" are
    columns that hold 0 and 1 alone, "numbered" columns called by one of `names` with a number or a letter behind it
    (`choice1`, `choice2`, or bare `A`, `B`, ...). With `blank`, a row may leave the role empty. With `nested`, the task
    reads lists and mappings in it; elsewhere lists of words are put together, and a truth is one value. `empty` tells
    how a row says that there is nothing, where leaving it out is a fault.
    """

    name: str
    kind: Literal["text", "target", "other"]
    names: tuple[str, ...]
    about: str
    required: bool = True
    spread: Literal["no", "flags", "numbered"] = "no"
    blank: bool = False
    nested: bool = False
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure computed from grades; the first of a task's metrics is its primary one.

    `percent` says that differences are told in points of a hundred. `hits`, where the figure is a share
    of right answers, gives them as a column of booleans: an exact test exists then.
    `resampled` is False where rows drawn twice would change what the figure means, so that it has no interval.
    """

    name: str
    compute: Callable[[Grades], float]
    higher_is_better: bool = True
    about: str = ""
    percent: bool = False
    hits: Callable[[Grades], np.ndarray] | None = None
    resampled: bool = True


@dataclass(frozen=True, slots=True)
class Preparing:
    """What `prepare` may use beside the rows.

    `embed(run, texts)` gives the vectors (N, H) of texts under the bundle of a run, which is refused with a UserError
    if its answers are no vectors of texts; `read(path)` the columns of another file by name, as texts.
    """

    seed: int
    embed: Callable[[str, Sequence[str]], np.ndarray]
    read: Callable[[str], dict[str, list[Any]]]


class Task(Plugin):
    """Facts and verbs of one kind of work."""

    kind: ClassVar[str] = "task"
    roles: ClassVar[tuple[Role, ...]] = ()
    auto_model: ClassVar[str] = ""
    configuration: ClassVar[Mapping[str, Any]] = {}
    """What the plain class's configuration must say beside labels: `problem_type`, say."""
    says: ClassVar[str] = "see the task's documentation"
    """What an answer is, for the model card; `{labels}` stands for the number of labels."""
    plainly: ClassVar[str] = ""
    """Python for the model card: prints the answer from `logits` (B, C), a numpy array, and graft.json's `space`."""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    baselines: ClassVar[tuple[str, ...]] = ()
    pooled: ClassVar[bool] = True
    """Whether one vector for a sequence is enough, so that a base that declares a pooling keeps it; tasks that look
    at each token say False and get the whole `auto_model`."""
    chooses: ClassVar[bool] = False
    """Whether its loss is the softmax cross-entropy of logits (..., C) and whole numbers, -100 for what does not
    count: losses that reshape the cross-entropy look at it."""
    whole: ClassVar[bool] = False
    """Whether the truth belongs to the whole text though it is a list or a mapping: words may then be moved."""
    together: ClassVar[bool] = False
    """Whether the Inputs of an example are trained in one batch, side by side in their order, as choices, pairs and
    in-batch negatives are; a batch then has `batch_size` examples, and a micro-batch is never cut through one."""
    writes_with: ClassVar[Literal["decoder", "encoder-decoder"] | None] = None
    """What a base must be made of, for tasks whose answers are written by the model; None: any base will do."""
    embeds: ClassVar[bool] = False
    """Whether the answer is the vector of a text itself: each text is read alone, the model has no head, its logits are
    pooled vectors (B, H) of length one, `Inputs.keep["place"]` is the number of its role among the text roles, and
    texts of roles beyond the required ones may be absent when answering."""
    repeats: ClassVar[bool] = False
    """Whether a batch holds the same text several times: a model that embeds then reads it once."""
    across: ClassVar[bool] = False
    """Whether its loss compares the examples of a batch with each other, so that it is no sum over examples."""
    group: ClassVar[str | None] = None
    """Role whose rows stay in one split, where splits are cut: the query of a ranking, say."""
    of_classes: ClassVar[bool] = False
    """Whether a truth is one of a few classes: a cut then leaves a row of each to train on. Elsewhere truths that come
    once, such as answers in words, tags and sets of labels, are cut off in the proportion of all the others."""
    splits_itself: ClassVar[bool] = False
    """Whether `prepare` makes the validation and test rows out of the training rows."""
    metric: str | None = None
    """Name of the metric that decides (early stopping, best checkpoint, verdict); None: the first."""

    @field_validator("metric", check_fields=False)
    @classmethod
    def _known_metric(cls, name: str | None) -> str | None:
        names = [metric.name for metric in cls.metrics]
        if name is not None and name not in names:
            raise ValueError(f"there is no metric '{name}'.{near(name, names)} Metrics: {listing(names)}.")
        return name

    @property
    def primary(self) -> Metric:
        """Return the metric that decides."""
        if self.metric is None:
            return self.metrics[0]
        return next(m for m in self.metrics if m.name == self.metric)

    def prepare(self, splits: dict[str, Rows], setting: Preparing) -> dict[str, Rows]:
        """Return the rows that the task works on, made of those that were read: grouped, mined, split by time.

        Raises:
            DataError: nothing can be made of the rows.
        """
        return splits

    def configured(self, space: Space) -> dict[str, Any]:
        """Return what the configuration of the plain class says for answers of this space."""
        changes: dict[str, Any] = dict(self.configuration)
        if space.size:
            changes["num_labels"] = space.size
        if space.labels:
            changes["id2label"] = dict(enumerate(space.labels))
            changes["label2id"] = {label: number for number, label in enumerate(space.labels)}
        return changes

    def suits(self, card: Card) -> None:
        """Refuse a base that cannot do this task.

        Raises:
            UserError: the task needs another kind of base; the message names the ways out.
        """
        if self.writes_with is not None and card.stack != self.writes_with:
            raise UserError(
                f"The task '{self.name()}' needs a base that is {_STACKS[self.writes_with]}; '{card.name}' "
                f"({card.architecture}) is {_STACKS[card.stack]}. Name another with --base."
            )

    def settled(self, rows: Rows, tokenizer: Any) -> Task:
        """Return the task with what its options leave open chosen by the training rows; the bundle keeps it."""
        return self

    def rivals(self) -> tuple[str, ...]:
        """Return the baselines of a run that names none: `baselines`, or those of them that suit the options."""
        return self.baselines

    def furnish(self, model: Model) -> None:
        """Change a freshly assembled model in place as the task needs it: what ends an answer, say."""

    def in_training(self) -> Task:
        """Return the task as it answers validation rows between steps: cheaper, where the best answers are dear."""
        return self

    def asked(self, chunks: Iterable[Sequence[Example]]) -> Iterable[Sequence[Example]]:
        """Return the examples to be answered, made of those that were read: gathered, where several rows are one."""
        return chunks

    def reads(self, example: Example) -> str:
        """Return what the model is asked, as one text: for baselines and for people."""
        texts = [example.fields.get(role.name) for role in self.roles if role.kind == "text"]
        return "\n".join(str(text) for text in texts if text is not None)

    def marked(self, example: Example) -> Marked | None:
        """Return a row whose truth names places in its text with signs in their stead, for augmentations; else None."""
        return None

    def fault(self, example: Example) -> str | None:
        """Return what makes a row unusable in this task's terms, or None: `data.bad_rows` then stops or leaves it out.

        The target is None where rows are read without it. Told without the row's place, which the reading adds.
        """
        return None

    @abstractmethod
    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return what is wrong or worth knowing about the rows, in this task's terms."""

    def unknown(self, rows: Rows, train: Rows) -> Sequence[int]:
        """Return the numbers of the rows whose truth is no answer that the training rows teach; the default: none.

        In validation and test rows that were given, `data.bad_rows` says what becomes of them.
        """
        return ()

    @abstractmethod
    def space(self, rows: Rows) -> Space:
        """Return what the answers can be, from the training rows."""

    def with_logits(self, module: nn.Module) -> None:
        """Let calling a plain model give `.logits`, where its class gives something else; names and tensors stay."""

    @abstractmethod
    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise examples; each gives one Inputs or several, none longer than `limit` tokens."""

    def encode_training(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise training examples, where that differs from `encode`: a decoder is shown the right answer, say."""
        return self.encode(examples, tokenizer, limit)

    @abstractmethod
    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return one target for each Inputs, in the form that `stack` takes.

        Where there is one Inputs a row, its form tells what a linear solution on features is: a whole number is the
        one class, an array of booleans (C,) the classes that are right, an array of floats (C,) quantities.
        """

    def stack(self, targets: Sequence[Any]) -> Any:
        """Return the targets of a batch as a tensor (or a mapping of tensors)."""
        import torch

        return torch.as_tensor(list(targets))

    def count(self, targets: Any) -> int:
        """Return how many terms the loss of these targets sums over: what the sum is divided by."""
        return len(targets)

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the **sum** of the loss over the batch's terms, a scalar."""

    def infer(self, model: nn.Module, inputs: dict[str, Tensor]) -> list[np.ndarray]:
        """Run the model on a padded batch; return what `decode` needs, one array for each sequence.

        Tasks that generate override this; the default returns the logits as float32.
        """
        logits = model(**inputs).logits.float().cpu().numpy()
        return list(logits)

    def catalogue(self, space: Space) -> Sequence[str]:
        """Return the texts that every answer is chosen among; what the model gives for them comes last in `pieces`."""
        return ()

    @abstractmethod
    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the answer for one example from all its Inputs and what `infer` gave for each."""

    def tune(
        self, examples: Sequence[Example], inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space
    ) -> Space:
        """Return the space with what is chosen on validation rows after training: thresholds, in `extra`.

        `pieces` is what `infer` gave for each of `inputs`. The default chooses nothing.
        """
        return space

    @abstractmethod
    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return the columns that metrics are computed from, one value a row."""

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return what the report shows beside the figures, in JSON types; every key may be absent.

        ```
        labels     names of the classes, in the order that `confusion` counts
        per_class  [{label, rows, ...}]: one row a class; the other keys become columns, shares are told in percent
        confusion  [[true, predicted, count], ...]: positions in `labels`
        never_seen how many answers' truth was no class of training
        tables     [{title, columns: [name, ...], rows: [[cell, ...], ...], about}]: cells are text, numbers or None;
                   columns sort by a click; the first column names the row. `about` is a line below the title
        curves     [{title, x, y, lines: [{name, points: [[x, y], ...]}], about}]: x and y name the axes
        ```

        A task that has other things to show gives `tables` and `curves`; the report needs no change.
        """
        return {}

    def remarks(self, space: Space) -> Sequence[str]:
        """Return sentences for the model card: what the answers need that the plain checkpoint does not have, say."""
        return ()

    def knows(self, example: Example, space: Space) -> bool:
        """Tell whether the truth of an example lies in the space, so that a model of this space can learn it."""
        return not (self.chooses and space.labels) or str(example.target) in space.labels

    def signatures(self, space: Space) -> dict[str, str]:
        """Return how figures are counted, in the words of the package that counts them, by metric; most need none."""
        return {}

    def truth(self, example: Example) -> Any:
        """Return the truth of an example as the user wrote it, for a metric of the user's own."""
        return example.target
