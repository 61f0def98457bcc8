"""The one description of a run: file, command line and Python build the same object.

Defaults live in the fields and nowhere else. Unknown keys are refused, all faults are reported together,
near names are suggested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from graftlm.contracts.reference import (
    AugmentationRef,
    BackboneRef,
    BalancerRef,
    BaselineRef,
    LossRef,
    MethodRef,
    OptimizerRef,
    ReaderRef,
    TaskRef,
)
from graftlm.core import hashing, registry
from graftlm.core.errors import RecipeError, listing, near
from graftlm.core.plugin import Plugin


class Section(BaseModel):
    """Base of the recipe's sections."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def _seconds(given: Any) -> Any:
    """Turn "90s", "10m", "1.5h" into seconds."""
    if isinstance(given, str) and (found := re.fullmatch(r"\s*([\d.]+)\s*([smh]?)\s*", given)):
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
    if isinstance(given, str):
        raise ValueError(f"expected a time such as 90s, 10m or 1.5h; got '{given}'.")
    return given


def _as_list(given: Any) -> Any:
    """Let a single name or mapping stand for a list of one."""
    return [given] if isinstance(given, str | Mapping) else given


Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=float | str)]


class SplitSection(Section):
    """How splits are made where the user gave none."""

    valid: float = Field(0.1, ge=0, lt=1)
    """Share of the training rows cut off for validation, where no validation data is given."""
    test: float = Field(0.0, ge=0, lt=1)
    """Share of the training rows cut off for testing, where no test data is given."""
    by: Literal["stratified", "random", "group", "time"] = "stratified"
    """stratified by label; random; by group (a group never stands in two splits); by time (latest rows last)."""
    group: str | None = None
    """Column that names the group, for `by: group`."""
    time: str | None = None
    """Column to sort by, for `by: time`."""
    column: str | None = None
    """Column that names the split of each row (train, valid, test and the names people use for them)."""


class DataSection(Section):
    """What is read."""

    train: str | None = None
    """File, folder or Hub data set with the training rows."""
    valid: str | None = None
    """The same with validation rows; without it a part of the training rows is cut off."""
    test: str | None = None
    """The same with test rows: never looked at before the end."""
    columns: dict[str, str | list[str]] = Field(default_factory=dict)
    """Column of each role, `{text: 内容, label: 标签}`, or several columns, `{label: [joy, anger]}`; what is not named
    is guessed from names and contents."""
    split: SplitSection = SplitSection()
    """How splits are made where none are given."""
    reader: ReaderRef | None = None
    """Reader to use; None: the one that recognises the data."""
    bad_rows: Literal["stop", "skip", "keep"] = "stop"
    """What to do with a row that cannot be read: stop, skip it, or keep what can be kept."""
    overlap: Literal["keep", "remove"] = "keep"
    """Training rows whose text stands in another split too: keep and count them, or remove them."""
    limit: int | None = Field(None, ge=1)
    """Use only the first so many training rows, after shuffling."""


class TrainSection(Section):
    """How the gradient loop runs. What is None is chosen by the size of the data and the machine, and said."""

    epochs: float | None = Field(None, gt=0, le=10_000)
    """Passes over the training rows."""
    batch_size: int = Field(32, ge=1, le=65_536)
    """Sequences in one update, over all processes and accumulated micro-batches."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Sequences in one forward pass on one process; None: the whole batch."""
    optimizer: OptimizerRef = Field(default_factory=lambda: registry.make("optimizer", "adamw"))
    """The optimizer and its learning rate."""
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear"
    """How the learning rate falls after warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 switches clipping off."""
    patience: int | None = Field(None, ge=1)
    """Evaluations without improvement before training stops early; None: never."""
    evaluate_every: float = Field(1.0, gt=0)
    """Epochs between evaluations on the validation rows."""
    save_every: Seconds = Field(120.0, ge=0)
    """Seconds between checkpoints ("2m"); one is written after each evaluation too."""
    keep: int = Field(1, ge=1)
    """Newest checkpoints that are kept, the best one always beside them."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass; auto looks at the processor."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    processes: int = Field(1, ge=1, le=4096)
    """Processes on this machine that share each batch, one for each GPU; under torchrun or accelerate launch their
    number counts. Not part of a recipe's fingerprint: a run may go on with another number."""
    sharding: Literal["none", "full"] = "none"
    """none: each process holds the whole model; full: parameters, gradients and optimizer state are cut over the
    processes (FSDP), for models whose training does not fit one GPU."""
    seed: int = Field(0, ge=0)
    """Root of every stream of random numbers."""
    budget: Seconds | None = Field(None, gt=0)
    """Time for training ("10m"); the schedule is planned to end there."""
    bucket: bool = True
    """Put sequences of similar length into one batch."""
    working_vocabulary: bool = True
    """While training, keep only the embedding rows that the training text uses, where that is exact."""
    fast_dropout: bool = True
    """Take dropout masks from one random tape (probability rounded to 1/256)."""
    refit: bool = False
    """After choosing on the validation rows, train once more on training and validation rows together."""
    trackers: list[str] = Field(default_factory=list)
    """Accelerate's trackers by name: tensorboard, wandb, mlflow; figures, recipe, report and bundle go there."""


HOW = ("processes",)
"""Keys of `train` that change how the work is done, not what comes of it."""


class TaskSection(Section):
    """One of several tasks on one backbone."""

    task: TaskRef = Field(default_factory=lambda: registry.make("task", "classification"))
    """What is asked."""
    data: DataSection = DataSection()
    """What is read; keys that are not set here are those of the recipe's own `data`."""
    weight: float = Field(1.0, ge=0, le=1e6)
    """What the balancer's weight of this task is multiplied by."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        """Let `{use: tagging, data: {...}}` stand for `{task: {use: tagging}, data: {...}}`."""
        if isinstance(given, str):
            return {"task": given}
        if isinstance(given, Mapping) and "use" in given:
            own = {key: value for key, value in given.items() if key not in cls.model_fields}
            return {**{key: value for key, value in given.items() if key in cls.model_fields}, "task": own}
        return given


class EvaluateSection(Section):
    """How the result is judged."""

    baselines: list[BaselineRef] | Literal["auto", "none"] = "auto"
    """Baselines beside the model on the same rows; auto: those that the task names."""
    metrics: list[str] = Field(default_factory=list)
    """The user's own metrics by import path, `package.module:function(true, predicted) -> float`."""
    resamples: int = Field(1000, ge=100, le=100_000)
    """Bootstrap resamples behind each 95 % interval."""
    require_gain: bool = False
    """End with exit code 3 unless the transfer measurably helped."""
    single: bool = False
    """With several tasks: train each one alone too, and tell by how much training them together helped or hurt."""
    language: Literal["auto", "en", "zh"] = "auto"
    """What the report opens in (both are in it); auto: Chinese where the data or the machine's settings are."""


class RememberSection(Section):
    """What the model should still know."""

    runs: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list)
    """Folders of earlier runs, whose own rows are judged before and after; the run starts where one of them ended."""
    forget_at_most: float | None = Field(None, ge=0, le=100)
    """Points of the earlier runs' metrics that may be lost on validation rows; beyond it weights between start and end
    are taken, and where none of them keeps within it the run ends with exit code 3."""
    text: str | None = None
    """File of general text, one piece a line: the masked language model's loss on it is told before and after, where
    the base, or one that an earlier run came from, was saved with that head."""
    lines: int = Field(1000, ge=1, le=1_000_000)
    """Lines of it that are drawn."""

    @model_validator(mode="after")
    def _held(self) -> RememberSection:
        if self.forget_at_most is not None and not self.runs:
            raise ValueError("forget_at_most holds the loss of earlier runs, and none is named: --remember RUN")
        return self


class Recipe(Section):
    """Everything that a run depends on."""

    data: DataSection = DataSection()
    """What is read."""
    backbone: BackboneRef = Field(default_factory=lambda: registry.make("backbone", "minilm"))
    """The pretrained model."""
    task: TaskRef = Field(default_factory=lambda: registry.make("task", "classification"))
    """What is asked."""
    tasks: dict[str, TaskSection] = Field(default_factory=dict)
    """Several tasks on one backbone, by name: `{intent: {use: classification, data: {...}, weight: 1}}`; then `task`
    is not looked at."""
    balancer: BalancerRef = Field(default_factory=lambda: registry.make("balancer", "fixed"))
    """How the losses of several tasks share the backbone."""
    methods: Annotated[list[MethodRef], BeforeValidator(_as_list)] = Field(
        default_factory=lambda: [registry.make("method", "full")]
    )
    """What trains, and how."""
    losses: Annotated[list[LossRef], BeforeValidator(_as_list)] = Field(default_factory=list)
    """Losses beside, or in place of, the task's own."""
    augmentations: Annotated[list[AugmentationRef], BeforeValidator(_as_list)] = Field(default_factory=list)
    """More training examples from each."""
    train: TrainSection = TrainSection()
    """How the gradient loop runs."""
    evaluate: EvaluateSection = EvaluateSection()
    """How the result is judged."""
    remember: RememberSection = RememberSection()
    """What the model should still know of earlier runs."""
    out: str | None = None
    """Folder of the run; None: a new one under runs/."""

    def as_json(self) -> dict[str, Any]:
        """Return the whole tree, defaults filled in, in JSON types."""
        return self.model_dump(mode="json")

    def as_yaml(self) -> str:
        """Return the whole tree as YAML."""
        return yaml.safe_dump(self.as_json(), allow_unicode=True, sort_keys=False)

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that changes the result (not `out`, the language, or who does it)."""
        tree = {k: v for k, v in self.as_json().items() if k != "out"}
        tree["evaluate"] = {k: v for k, v in tree["evaluate"].items() if k != "language"}
        tree["train"] = {k: v for k, v in tree["train"].items() if k not in HOW}
        return hashing.of_value(tree)

    def changed(self) -> dict[str, Any]:
        """Return what differs from the defaults, by path, "methods.0.rank" say."""
        mine, usual = flat(self.as_json()), flat(Recipe().as_json())
        return {path: value for path, value in mine.items() if path not in usual or usual[path] != value}


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by path, as `--set` takes them; an empty list or mapping is a leaf."""
    inner = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    found: dict[str, Any] = {}
    for key, value in inner:
        found |= flat(value, f"{path}.{key}" if path else str(key))
    return found or ({path: tree} if path else {})


def build(tree: Mapping[str, Any]) -> Recipe:
    """Build a recipe from a plain tree; a mapping without `use` changes the plug-in that is the default there.

    Raises:
        RecipeError: the tree has faults; the message lists all of them.
    """
    try:
        return Recipe.model_validate(_named(tree, Recipe))
    except ValidationError as fault:
        lines = [f"  {n}. {_sentence(item)}" for n, item in enumerate(fault.errors(), 1)]
        count = f"{len(lines)} faults" if len(lines) > 1 else "a fault"
        raise RecipeError(f"The recipe has {count}:\n" + "\n".join(lines)) from None


def _named(tree: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return the tree with `use` put into each mapping that only sets fields of a default plug-in."""
    named = dict(tree)
    for key, field in model.model_fields.items():
        value, default = named.get(key), field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and isinstance(value, Mapping):
            if isinstance(default, Plugin):
                named[key] = _like(default, value)
            else:
                named[key] = _named(value, type(default))
        elif isinstance(default, list) and isinstance(value, list | Mapping):
            given = list(value) if isinstance(value, list) else [value]
            named[key] = [_like(one, other) for one, other in zip(default, given, strict=False)] + given[len(default) :]
    return named


def _like(default: Any, given: Any) -> Any:
    """Return what was given, with the name of the default plug-in where it has none."""
    return {"use": default.name(), **given} if isinstance(given, Mapping) and "use" not in given else given


def _sentence(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"] if not str(part).startswith(("list[", "function-", "literal[")))
    if item["type"] == "extra_forbidden":
        *outer, last = path.split(".")
        known = _fields(outer)
        return f"'{path}' is not a key of a recipe.{near(last, known)} Keys here: {listing(known, 40)}."
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"'{path}': {message}"
    return f"'{path}': {message}; got {item['input']!r}."


def _fields(path: Sequence[str]) -> list[str]:
    model: Any = Recipe
    parts = iter(path)
    for part in parts:
        model = getattr(getattr(model, "model_fields", {}).get(part), "annotation", None)
        if get_origin(model) is dict:  # sections by names of the user's own
            model, _ = get_args(model)[1], next(parts, None)
    return list(getattr(model, "model_fields", {}))


def read(path: Path) -> dict[str, Any]:
    """Read a recipe file as a plain tree.

    Raises:
        RecipeError: it cannot be read, or is not a mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"There is no recipe '{path}'.") from None
    except OSError as fault:
        raise RecipeError(f"The recipe '{path}' cannot be read: {fault.strerror or fault}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise RecipeError(f"'{path}' is not YAML: {' '.join(str(fault).split())}") from None
    if not isinstance(tree, dict):
        raise RecipeError(
            f"'{path}' must hold a mapping with keys such as 'data' and 'task'; got {type(tree).__name__}."
        )
    return tree


def put(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set `path` ("methods.0.rank") inside a plain tree, making mappings and list entries on the way.

    A bare plug-in name on the way becomes `{use: name}`.

    Raises:
        RecipeError: the path leads through a value, or past the end of a list.
    """
    parts = path.split(".")
    here: Any = tree
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        spot = ".".join(parts[: depth + 1])
        if isinstance(here, list):
            if not part.isdigit() or int(part) > len(here):
                raise RecipeError(f"--set {path}: '{spot}' must be a number from 0 to {len(here)}.")
            if int(part) == len(here):
                here.append({})
            key: Any = int(part)
        elif isinstance(here, dict):
            key = part
            if not last and key not in here:
                here[key] = [] if parts[depth + 1].isdigit() else {}
        else:
            raise RecipeError(f"--set {path}: '{'.'.join(parts[:depth])}' is a value, not a section.")
        if last:
            here[key] = value
            return
        if parts[depth + 1].isdigit() and isinstance(here[key], str | dict):
            here[key] = [here[key]]  # a single plug-in stands for a list of one
        elif isinstance(here[key], str):
            here[key] = {"use": here[key]}
        here = here[key]


def setting(text: str) -> tuple[str, Any]:
    """Split "path=value"; the value is read as YAML.

    Raises:
        RecipeError: there is no `=`.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set wants path=value, such as train.epochs=3; got '{text}'.")
    try:
        return path.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return path.strip(), value
