"""What the conformance tests share: every plug-in that the registry finds, and values for its fields."""

from __future__ import annotations

import copy
import importlib.util
import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from graftlm.core import registry
from graftlm.core.plugin import Plugin

EVERY = [(kind, name) for kind in registry.kinds() for name in registry.names(kind)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fill `plugin` with every plug-in; `method`, `loss`, ... with every name of that kind."""
    if "plugin" in metafunc.fixturenames:
        metafunc.parametrize("plugin", EVERY, ids=[f"{kind}-{name}" for kind, name in EVERY])
    for kind in registry.kinds():
        for fixture in (f"{kind}_name", f"other_{kind}_name"):
            if fixture in metafunc.fixturenames:
                metafunc.parametrize(fixture, registry.names(kind))


def unwrap(annotation: Any, metadata: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Yield the members of a type, each with its own bounds; None left out."""
    if get_origin(annotation) in (Union, types.UnionType):
        for inner in get_args(annotation):
            if inner is not type(None):
                yield from unwrap(inner, metadata)
    elif hasattr(annotation, "__metadata__"):
        inner, *marks = get_args(annotation)
        found = [m for mark in marks for m in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]
        yield from unwrap(inner, [*metadata, *found])
    else:
        yield annotation, metadata


def wrong_values(annotation: Any, metadata: list[Any]) -> list[Any]:
    """Return values that a field must refuse."""
    members = list(unwrap(annotation, metadata))
    found: list[Any] = []
    if not any(_takes_mapping(member) for member, _ in members):
        found.append({"no": "such thing"})
    if len(members) > 1:
        return found
    member, marks = members[0]
    origin = get_origin(member)
    if origin is Literal:
        found += ["no such word", 7.25]
    elif member is bool:
        found += ["perhaps", 2]
    elif member in (int, float):
        found += ["many", math.nan, math.inf]
        found += [0.5] if member is int else []
        found += [value for mark in marks for value in _beyond(mark)]
    elif member is str:
        found += [5, ["a"]]
    elif origin is tuple and Ellipsis not in get_args(member):
        found += [[value] * len(get_args(member)) for value in wrong_values(get_args(member)[0], [])]
        found += [[]]
    elif origin in (tuple, list, frozenset, set):
        found += [[value] for value in wrong_values(get_args(member)[0], [])]
        found += [5]
    return found


def _beyond(mark: Any) -> list[Any]:
    if isinstance(mark, annotated_types.Gt):
        return [mark.gt, mark.gt - 1]
    if isinstance(mark, annotated_types.Ge):
        return [mark.ge - 1]
    if isinstance(mark, annotated_types.Lt):
        return [mark.lt, mark.lt + 1]
    if isinstance(mark, annotated_types.Le):
        return [mark.le + 1]
    if isinstance(mark, annotated_types.MultipleOf):
        return [mark.multiple_of + 1] if mark.multiple_of > 1 else []
    return []


def _takes_mapping(member: Any) -> bool:
    return (
        member is Any
        or member is dict
        or get_origin(member) is dict
        or (isinstance(member, type) and issubclass(member, Plugin))
    )


def right_values(annotation: Any, metadata: list[Any]) -> list[Any]:
    """Return a few values that a field takes, as far as its type and bounds tell."""
    found: list[Any] = []
    for member, marks in unwrap(annotation, metadata):
        origin = get_origin(member)
        if origin is Literal:
            found += get_args(member)
        elif member is bool:
            found += [True, False]
        elif member in (int, float):
            found += _within(member, marks)
        elif isinstance(member, type) and issubclass(member, Plugin):
            kind = next(m.json_schema["x-kind"] for m in marks if hasattr(m, "json_schema"))
            found += [each for name in registry.names(kind) if (each := _bare(kind, name)) is not None][:1]
        elif member is str:
            longest = next((m.max_length for m in marks if isinstance(m, annotated_types.MaxLen)), 99)
            found += ["文 a name"[:longest]]
        elif isinstance(member, type) and issubclass(member, Path):
            found += ["文 a name"]
        elif origin is tuple and Ellipsis not in get_args(member):
            parts = [right_values(inner, []) for inner in get_args(member)]
            found += [[part[0] for part in parts]] if all(parts) else []
        elif origin in (tuple, list, frozenset, set):
            found += [right_values(get_args(member)[0], [])[:1]]
    return found


def _bare(kind: str, name: str) -> Plugin | None:
    """Return a plug-in made without options, or None if it needs some."""
    plugin = registry.load(kind, name)
    return None if any(info.is_required() for info in plugin.model_fields.values()) else plugin()


def _within(member: Any, marks: list[Any]) -> list[Any]:
    step = next((mark.multiple_of for mark in marks if isinstance(mark, annotated_types.MultipleOf)), None)
    if step is not None:
        return [8 * step, 16 * step]
    low: Any = next(
        (m.gt if isinstance(m, annotated_types.Gt) else m.ge for m in marks if hasattr(m, "gt") or hasattr(m, "ge")),
        None,
    )
    high: Any = next(
        (m.lt if isinstance(m, annotated_types.Lt) else m.le for m in marks if hasattr(m, "lt") or hasattr(m, "le")),
        None,
    )
    low = 0 if low is None and (high is None or high > 0) else high - 2 if low is None else low
    high = low + 2 if high is None else min(high, low + 2)
    if member is int:
        return [int(low) + 1] if low + 1 < high else [int(high)] if high == low + 1 else []
    return [low + (high - low) * 0.3, low + (high - low) * 0.7]


def sample(kind: str, name: str) -> Plugin:
    """Return a plug-in with every field that has no default filled in."""
    plugin = registry.load(kind, name)
    fields = {
        key: (info.examples or right_values(info.annotation, info.metadata))[0]
        for key, info in plugin.model_fields.items()
        if info.is_required()
    }
    return plugin(**fields)


@pytest.fixture
def sample_of() -> Any:
    """Return the function that makes a plug-in with its required fields filled in."""
    return sample


@pytest.fixture
def values_for() -> Any:
    """Return the functions that give right and wrong values of a field."""
    return right_values, wrong_values


ROWS = (
    ("the card was charged twice", "charge"),
    ("my card arrived", "card"),
    ("I paid and it was charged", "charge"),
    ("where is the card", "card"),
    ("transfer the money", "transfer"),
    ("the transfer of money failed again today", "transfer"),
    ("card", "card"),
    ("a second charge 卡", "charge"),
)


def rows_of(task: str) -> list[dict[str, Any]]:
    """Return rows for a task: those that its own test calls ROWS, else short texts with a label."""
    own = Path(__file__).parents[1] / "plugins" / "tasks" / f"test_{task}.py"
    if own.is_file() and "\nROWS" in own.read_text(encoding="utf-8"):
        spec = importlib.util.spec_from_file_location(f"rows_of_{task}", own)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return list(module.ROWS)
    return [{"text": text, "label": label} for text, label in ROWS]


def made(kind: str, given: Any) -> Any:
    """Return a plug-in; one given by name has the options that its own test calls OPTIONS, if it has any."""
    if isinstance(given, str):
        own = Path(__file__).parents[1] / "plugins" / registry.FOLDERS[kind] / f"test_{given}.py"
        if own.is_file() and "\nOPTIONS" in own.read_text(encoding="utf-8"):
            spec = importlib.util.spec_from_file_location(f"options_of_{given}", own)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            given = {"use": given, **module.OPTIONS}
    return registry.make(kind, given)


class Run:
    """One small training run, put together by hand from the parts that a recipe names."""

    def __init__(self, methods: list[Any], losses: list[str], layers: int, task: str) -> None:
        import numpy as np
        import pyarrow as pa

        from graftlm.contracts.method import Linear, Setting
        from graftlm.contracts.rows import Rows
        from graftlm.contracts.task import Preparing
        from graftlm.contracts.values import Batch
        from graftlm.stages.training.assembling import assemble
        from graftlm.stages.training.encoding import encode

        given = rows_of(task)
        count = len(given)
        columns = {
            "__id__": [str(n) for n in range(count)],
            "__where__": [f"rows:{n + 1}" for n in range(count)],
            **{role: [row[role] for row in given] for role in given[0]},
        }
        self.task = registry.make("task", task)
        target = next((role.name for role in self.task.roles if role.kind == "target"), None)
        target = target if target in columns else None
        read = {"train": Rows("train", pa.table(columns), target, "0" * 64)}
        prepared = self.task.prepare(read, Preparing(0, lambda run, texts: np.zeros((len(texts), 4)), lambda path: {}))
        self.rows = prepared["train"]
        count = len(self.rows)
        built = {"decoder": "gpt2", "encoder-decoder": "t5"}.get(self.task.writes_with, "bert")
        backbone = registry.make("backbone", {"use": "tiny", "layers": layers, "architecture": built})
        self.base = base = backbone.open()
        self.task = self.task.settled(self.rows, base.tokenizer)
        self.space = self.task.space(self.rows)
        self.model = assemble(base, backbone, self.task, self.space, seed=0)
        self.data = encode(self.rows, self.task, self.model.tokenizer, self.space, base.card.limit)
        self.limit = base.card.limit
        sequences = list(range(len(self.data.packed)))
        self.inputs = self.data.packed.batch(sequences, self.model.tokenizer.pad_token_id, "right")
        self.batch = Batch(self.inputs, self.task.stack(self.data.targets), sequences)
        self.methods = [made("method", each) for each in methods]
        self.losses = [made("loss", each) for each in losses]
        rng = np.random.default_rng(0)
        weight = rng.normal(size=(self.space.size, base.card.width)).astype("float32") * 0.1
        self.setting = Setting(
            task=self.task,
            space=self.space,
            optimizer=registry.make("optimizer", "adamw"),
            rows=count,
            steps=3,
            seed=0,
            methods=tuple(each.name() for each in self.methods),
            losses=tuple(losses),
            probe=lambda: Linear(weight, np.zeros(self.space.size, "float32"), 1.0),
        )

    def examples(self) -> list[Any]:
        """Return the rows as examples."""
        return list(self.rows.examples())

    @property
    def beside(self) -> list[Any]:
        """Return what decoding gets beside the pieces of an example: the task's catalogue."""
        from graftlm.prediction.predictor import Predictor

        return Predictor(self.model, self.task, self.space, limit=self.limit, precision="fp32").catalogue()

    def ground(self) -> Any:
        """Return what a loss is told before the first step."""
        from graftlm.contracts.ground import Ground
        from graftlm.contracts.values import Batch

        def batches(count: int, size: int) -> Any:
            for start in range(0, min(count, len(self.rows)), size):
                rows = list(range(start, min(start + size, count, len(self.rows))))
                inputs = self.data.packed.batch(rows, self.model.tokenizer.pad_token_id, "right")
                yield Batch(inputs, self.task.stack([self.data.targets[row] for row in rows]), rows)

        start = copy.deepcopy(self.model.module).requires_grad_(False).eval()
        return Ground(
            self.model, self.task, self.space,
            steps=3, rate=1e-3, start=start, base=self.base, targets=self.data.targets, batches=batches,
        )  # fmt: skip

    def snapshot_after(self, step: int, steps: int) -> Any:
        """Return a copy of the snapshot that a run of so many steps gives after one of them."""
        found: list[Any] = []

        def keep(progress: Any) -> None:
            if progress.step == step:
                kept = progress.snapshot()
                found.append({"tensors": {n: t.clone() for n, t in kept["tensors"].items()}, "facts": kept["facts"]})

        self.train(steps, watch=keep)
        return found[0]

    def train(
        self,
        steps: int,
        *,
        precision: str = "fp32",
        resume: Any = None,
        judge: Any = None,
        watch: Any = None,
        group: Any = None,
        micro: int | None = None,
    ) -> list[float]:
        """Apply the methods, train so many steps with the one loop, and return the losses that it told.

        `judge(model)` says at each evaluation, every two steps, whether these are the best weights so far.
        """
        from graftlm.contracts.values import Score
        from graftlm.recipe import TrainSection
        from graftlm.stages.training.job import Job
        from graftlm.stages.training.loop import train
        from graftlm.stages.training.planning import Plan
        from graftlm.stages.training.processes import Alone
        from graftlm.stages.training.stopping import Stop

        start = None
        if any(each.wants_start for each in (*self.methods, *self.losses)):
            start = copy.deepcopy(self.model.module).requires_grad_(False).eval()
        adaptations = [method.apply(self.model, self.setting) for method in self.methods]
        if any(adaptation.solved for adaptation in adaptations):
            return []
        plan = Plan(epochs=steps / 2, steps=steps, steps_per_epoch=2, rate=1e-3, reasons=())
        best: list[Any] = []
        facts: dict[str, Any] = {"judge": lambda model: Score(float(judge(model)))} if judge is not None else {}
        job = Job(
            self.model, self.task, self.space, self.data, plan, adaptations, self.losses,
            start=start, base=self.base, stop=(lambda: watch is not None) if group is None else Stop(True),
            best=lambda: best[-1] if best else None, **facts,
        )  # fmt: skip
        section = TrainSection(
            batch_size=4, micro_batch_size=micro, precision=precision, device="cpu", optimizer=self.setting.optimizer
        )
        losses = []
        for progress in train(job, section, group or Alone(), resume):
            losses.append(progress.loss)
            if progress.best:
                best.append({name: tensor.clone() for name, tensor in progress.snapshot()["tensors"].items()})
            if watch is not None:
                watch(progress)
        return losses

    def through_a_bundle(self, folder: Path) -> Any:
        """Write the model as a bundle and return what opening it gives."""
        from graftlm.bundle import load, open_bundle, write

        write(folder, self.model, self.task, self.space, max_length=self.limit)
        return load(open_bundle(folder), precision="fp32", device="cpu")


@pytest.fixture
def make_plugin() -> Any:
    """Return the function that makes a plug-in by name, with the options that its own test names."""
    return made


@pytest.fixture
def make_run() -> Any:
    """Return the function that puts a small run together."""
    return lambda methods, losses=(), layers=2, task="classification": Run(methods, list(losses), layers, task)
