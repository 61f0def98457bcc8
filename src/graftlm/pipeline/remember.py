"""Remembering: what a model still knows of the tasks that it was trained on before.

The head of an earlier run is put on the new encoder and judged on that run's own rows: what it loses is
forgetting (Chaudhry et al. 2018, arXiv 1801.10112, eq. 3, with the earlier run's own score as the best one).
With a budget, weights on the line between start and end (Wortsman et al. 2022, arXiv 2109.01903) are tried
until the loss is small enough; what is chosen on validation rows is reported on test rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.model import Model
from graftlm.contracts.values import Example
from graftlm.core import log
from graftlm.core.errors import UserError, listing
from graftlm.pipeline.earlier import rows_of
from graftlm.recipe import RememberSection

if TYPE_CHECKING:
    from torch import Tensor

    from graftlm.bundle import Bundle
    from graftlm.contracts.backbone import Base
    from graftlm.contracts.method import Method
    from graftlm.contracts.verdict import Scores
    from graftlm.pipeline.general_text import GeneralText

MIXTURES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the way from the start weights to the trained ones, tried from the end on."""


@dataclass(frozen=True, slots=True)
class Source:
    """An earlier run: its verified bundle, its rows by split, and what its bundle scored on them."""

    run: Path
    bundle: Bundle
    model: Model
    rows: Mapping[str, list[Example]]
    before: Mapping[str, Scores]

    @property
    def body(self) -> dict[str, Tensor]:
        """Return the tensors below the head, by their names inside the base model."""
        return dict(self.model.module.get_submodule(self.model.base).state_dict())


@dataclass(frozen=True, slots=True)
class Remembered:
    """What became of the earlier tasks: the tree of metrics.json, and whether the budget was met."""

    tree: dict[str, Any]
    kept: bool
    sentence: str

    @property
    def moved(self) -> bool:
        """Tell whether the weights are not those that training ended with."""
        return bool(self.tree["share"] < 1)


def open_sources(section: RememberSection, *, seed: int, resamples: int) -> list[Source]:
    """Open the earlier runs and score their bundles on their own rows, before anything is trained.

    Raises:
        BundleError: a bundle is damaged.
        UserError: a folder is no run or holds an adapter alone, or its rows are not to be found any more.
    """
    from graftlm import bundle, recipe
    from graftlm.stages.applying import as_trained

    sources = []
    for run in map(Path, section.runs):
        opened = bundle.open_bundle(run)
        if "adapter" in opened.manifest:
            raise UserError(
                f"remember: '{run}' keeps an adapter beside its base, from which no run can start. Train it with "
                "merge: true (--set methods.0.merge=true) to fold it into its base."
            )
        path = run / "recipe.yaml"
        if not path.is_file():
            raise UserError(
                f"remember: expected the folder of a run, with the recipe that names its rows; '{run}' holds no "
                "recipe.yaml."
            )
        old = recipe.build(recipe.read(path))
        dataset = rows_of(run, old)
        rows = {
            split: as_trained(opened, dataset.splits[split].examples())
            for split in ("valid", "test")
            if split in dataset.splits and len(dataset.splits[split])
        }
        if not rows:
            raise UserError(f"remember: the run '{run}' has neither validation nor test rows to remember.")
        # fp32: what the rounding of bf16 does to one head must not be taken for forgetting
        model = bundle.load(opened, precision="fp32", device="cpu")
        source = Source(run, opened, model, rows, {})
        sources.append(Source(run, opened, model, rows, _scores(source, rows, resamples, seed)))
    return sources


def check_methods(methods: Sequence[Method]) -> None:
    """Refuse methods whose trained parts stay beside the base, before anything is trained.

    Raises:
        UserError: one does; the message names those that go.
    """
    for method in methods:
        if method.layout == "keeps" or getattr(method, "merge", True) is False:
            raise UserError(
                f"remember: the method '{method.name()}' keeps parts beside the base model, on which the head of an "
                "earlier run cannot stand; the base itself does not change. Use one that changes it or merges (merge: "
                "true), or leave --remember out."
            )


def general_text(
    section: RememberSection, base: Base, start: Model, *, seed: int, device: str = "cpu"
) -> GeneralText | str | None:
    """Measure the general text at the start; say once why it is left out, and None where none is named.

    The head is that of the run's own base, else of the base that an earlier run came from, followed back.

    Raises:
        UserError: the text cannot be read.
    """
    from graftlm.nn.precision import device_for
    from graftlm.pipeline.general_text import open_text

    if section.text is None:
        return None
    bases = itertools.chain([base], _origins(section.runs))
    found = open_text(section.text, section.lines, bases, start, seed=seed, device=str(device_for(device)))
    if isinstance(found, str):
        log.warn(f"remember.text: the masked language model's loss is left out: {found}.")
    return found


def _origins(runs: Sequence[str]) -> Iterator[Base]:
    """Yield the bases that runs came from, and where that is the bundle of another run, the base of that one too."""
    from graftlm import recipe

    seen: set[Path] = set()
    for run in map(Path, runs):
        place: Path | None = run
        while place is not None and place.resolve() not in seen and (place / "recipe.yaml").is_file():
            seen.add(place.resolve())
            backbone = recipe.build(recipe.read(place / "recipe.yaml")).backbone
            try:
                yield backbone.open()
            except UserError as fault:
                log.note(f"remember: the base of '{place}' cannot be opened ({fault})")
            folder = getattr(backbone, "path", None)
            place = Path(str(folder)).expanduser().parent if folder else None


def check_start(sources: Sequence[Source], start: Model) -> None:
    """Refuse a start that has nothing to do with the runs to remember.

    Raises:
        UserError: another tokenizer or architecture, or none of the runs ended where this one begins.
    """
    import torch

    weights = start.module.get_submodule(start.base).state_dict()
    exact = []
    for source in sources:
        if source.model.tokenizer.get_vocab() != start.tokenizer.get_vocab():
            raise UserError(
                f"remember: '{source.run}' reads its text with another tokenizer than {start.card.name}, so its head "
                f"means nothing here. Start from it: --base {source.run / 'bundle'}"
            )
        body = source.body
        missing = [name for name in body if name not in weights and not name.startswith("pooler.")]
        other = [name for name in body if name in weights and body[name].shape != weights[name].shape]
        if missing or other:
            raise UserError(
                f"remember: '{source.run}' and {start.card.name} are built differently "
                f"({listing([*missing, *other], 3)}). Start from it: --base {source.run / 'bundle'}"
            )
        exact.append(all(torch.equal(body[name], weights[name]) for name in body if name in weights))
    if sources and not any(exact):
        runs = listing([str(source.run) for source in sources])
        raise UserError(
            f"remember: this run starts from {start.card.name}, whose weights are not where {runs} ended: there is "
            f"nothing to forget. Start from the last one: --base {sources[-1].run / 'bundle'}"
        )


def remember(
    section: RememberSection,
    sources: Sequence[Source],
    start: Mapping[str, Tensor],
    trained: Model,
    judge: Callable[[Model], Any] | None,
    *,
    text: GeneralText | str | None = None,
    ahead: Mapping[str, Any] | None = None,
    seed: int,
    resamples: int,
) -> Remembered:
    """Measure what was forgotten; with a budget, move the model back along the line to its start until it is met.

    `text` is general text measured at the start, or why it is left out; `ahead` what forward transfer there was.

    `start` holds the tensors of the base model before training. The trained model is changed in place.

    Raises:
        UserError: the method left parts that the base model does not have (unmerged adapters).
    """
    import torch

    body = trained.module.get_submodule(trained.base)
    end = {name: tensor.detach().clone() for name, tensor in body.state_dict().items()}
    if end.keys() != start.keys():
        odd = sorted(set(end) ^ set(start))
        raise UserError(
            f"remember: the method left other parts than the base model has ({listing(odd, 3)}). Use one that merges "
            "(merge: true), or leave --remember out."
        )

    def move(share: float) -> None:
        with torch.no_grad():
            for name, tensor in body.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(torch.lerp(start[name], end[name], share))  # exact at both ends

    def forgotten() -> float:
        return max(_lost(source, "valid", trained) for source in sources)

    chosen, kept = 1.0, True
    tried: list[dict[str, Any]] = []
    worth: list[float] = []
    if section.forget_at_most is not None:
        for share in (1.0, *MIXTURES):
            move(share)
            lost = forgotten()
            score = judge(trained) if judge else None
            value = None if score is None else score.value
            tried.append({"share": share, "forgotten": lost, "score": value})
            worth.append(0.0 if score is None else score.value if score.higher_is_better else -score.value)
            log.note(f"remember: {share:.0%} of the way: {_points(lost)} forgotten, new task {_figure(value)}")
            if share == 1.0 and lost <= section.forget_at_most / 100:
                break
        chosen, kept = _choose(tried, worth, section.forget_at_most / 100)
        move(chosen)
    rows = []
    for source in sources:
        after = _scores(source, source.rows, resamples, seed, body=trained)
        rows.append(_entry(source, after, resamples, seed))
    said = []
    if rows:
        worst = max(rows, key=lambda row: row["forgotten"]["gain"])
        said.append(_sentence(worst, chosen, kept, section.forget_at_most))
    told: dict[str, Any] | None = None
    if isinstance(text, str):
        told = {"left_out": text}
        said.append(f"The masked language model's loss on general text is left out: {text}.")
    elif text is not None:
        told = text.tree(body.state_dict(), resamples=resamples, seed=seed)
        said.append(told["sentence"])
    if ahead is not None:
        said.append(ahead["sentence"])
    sentence = " ".join(said)
    tree = {
        "forget_at_most": section.forget_at_most, "share": chosen, "tried": tried, "runs": rows,
        "text": told, "forward": ahead, "kept": kept, "sentence": sentence,
    }  # fmt: skip
    return Remembered(tree, kept, sentence)


def _choose(tried: Sequence[Mapping[str, Any]], worth: Sequence[float], most: float) -> tuple[float, bool]:
    """Return the share of the way that is worth most inside the budget, and whether there is one."""
    inside = [(good, one["share"]) for good, one in zip(worth, tried, strict=True) if one["forgotten"] <= most]
    return (float(max(inside)[1]), True) if inside else (1.0, False)


def _with(source: Source, trained: Model) -> Model:
    """Put the trained body below the source's head, in the source's own module."""
    target = source.model.module.get_submodule(source.model.base)
    new = trained.module.get_submodule(trained.base).state_dict()
    target.load_state_dict({name: new.get(name, tensor) for name, tensor in target.state_dict().items()})
    return source.model


def _answers(source: Source, rows: Sequence[Example], body: Model | None) -> Any:
    from graftlm.prediction import Predictor

    own = source.body if body is not None else {}
    own = {name: tensor.clone() for name, tensor in own.items()}
    model = source.model if body is None else _with(source, body)
    task, space = source.bundle.task(), source.bundle.space()
    try:
        return Predictor(model, task, space, limit=source.bundle.max_length, precision="fp32").answers(rows)
    finally:
        if own:
            model.module.get_submodule(model.base).load_state_dict(own)


def _scores(
    source: Source, rows: Mapping[str, list[Example]], resamples: int, seed: int, body: Model | None = None
) -> dict[str, Scores]:
    from graftlm.stages.evaluating import score

    task, space = source.bundle.task(), source.bundle.space()
    return {
        split: score(task, _answers(source, examples, body), examples, space, resamples=resamples, seed=seed)
        for split, examples in rows.items()
    }


def _lost(source: Source, split: str, trained: Model) -> float:
    """Return by how much the primary metric fell on a split (the other one where there is none)."""
    split = split if split in source.rows else next(iter(source.rows))
    task = source.bundle.task()
    examples = source.rows[split]
    grades = task.grade(_answers(source, examples, trained), examples, source.bundle.space())
    fall = source.before[split].headline.value - task.primary.compute(grades)
    return fall if task.primary.higher_is_better else -fall


def _entry(source: Source, after: Mapping[str, Scores], resamples: int, seed: int) -> dict[str, Any]:
    from graftlm.stages.evaluating import paired

    split = "test" if "test" in after else "valid"
    task = source.bundle.task()
    lost = paired(task, source.before[split].grades, after[split].grades, resamples=resamples, seed=seed)
    return {
        "run": str(source.run),
        "task": task.name(),
        "split": split,
        "metric": task.primary.name,
        "before": source.before[split].headline.as_json(),
        "after": after[split].headline.as_json(),
        "forgotten": lost.as_json(),
    }


def _sentence(worst: Mapping[str, Any], share: float, kept: bool, most: float | None) -> str:
    lost = worst["forgotten"]
    told = (
        f"Of {worst['run']}, {_points(lost['gain'])} of {worst['metric']} were forgotten "
        f"[{100 * lost['low']:.1f}, {100 * lost['high']:.1f}] on {worst['split']} rows "
        f"({100 * worst['before']['value']:.1f} -> {100 * worst['after']['value']:.1f})."
    )
    if most is None:
        return told
    if not kept:
        return (
            f"{told} No point between start and end keeps within {most:g} points. Try a smaller --set "
            "train.optimizer.rate, --method freeze or lora, or a method that holds on to the old weights (l2_sp, ewc, "
            "replay)."
        )
    if share < 1:
        return f"{told} To keep within {most:g} points, {share:.0%} of the way from the start to the end was taken."
    return told


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"


def _figure(value: float | None) -> str:
    return "not judged" if value is None else f"{value:.4f}"
