"""Adapters of one base: held in memory beside each other over one copy of it, or averaged into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.bundle.loading import load
from graftlm.bundle.opening import Bundle, open_bundle
from graftlm.bundle.writing import write
from graftlm.contracts.model import Model
from graftlm.core.errors import UserError, listing

if TYPE_CHECKING:
    from graftlm.nn.low_rank import Factors
    from graftlm.nn.precision import Precision


def together(
    runs: Mapping[str, Path | str], *, precision: Precision = "auto", device: str = "auto"
) -> dict[str, tuple[Bundle, Model]]:
    """Load bundles of adapters that stand on one base, each by a name of one's own; switching is looking up a name.

    The models can be used at the same time, and hold the parameters of the base once. Kinds of adapters, tasks and
    labels may differ.

    Raises:
        BundleError: a bundle is damaged, or its base is not there.
        UserError: one is no adapter, or stands on another base.
    """
    bundles = _opened(runs)
    found: dict[str, tuple[Bundle, Model]] = {}
    first: dict[str, Any] = {}
    for name, bundle in bundles.items():
        model = load(bundle, precision=precision, device=device)
        first = _shared(model, first)
        found[name] = (bundle, model)
    return found


def average(
    runs: Sequence[Path | str], out: Path | str, *, weights: Sequence[float] | None = None, rank: int | None = None
) -> Path:
    """Write the bundle of the weighted mean of LoRA adapters of one base and one task; return its folder.

    Without `rank` the mean of the updates is exact: ranks are put side by side, so that they add up. With it, each
    layer's update is the nearest one of that rank (SVD). What was trained beside the base (the head) is averaged by the
    same weights, which have to sum to one; without `weights` all count alike.

    Raises:
        BundleError: a bundle is damaged, or its base is not there.
        UserError: fewer than two runs, weights that do not fit, other kinds of adapters, or other labels.
    """
    import torch

    from graftlm.bundle import adapted
    from graftlm.nn import adapters, low_rank

    bundles = list(_opened({str(number): run for number, run in enumerate(runs)}).values())
    shares = _weights(bundles, weights)
    if rank is not None and rank < 1:
        raise UserError(f"average: expected a rank of at least 1; got {rank}.")
    _alike(bundles)
    models = [load(bundle, precision="fp32", device="cpu") for bundle in bundles]
    if any(part.use_dora.get(adapters.NAME) for model in models for part in adapters.layers(model.module).values()):
        raise UserError("average: DoRA scales whole rows of a weight, which do not add up; average LoRA adapters.")
    held = [adapters.lora_factors(model.module) for model in models]
    whole: dict[str, Factors] = {}
    for name in sorted(set().union(*held)):
        there = [(own[name], share) for own, share in zip(held, shares, strict=True) if name in own]
        update = low_rank.weighted_sum([factors for factors, _ in there], [share for _, share in there])
        whole[name] = update if rank is None else low_rank.truncated(update, rank)
    first = models[0]
    heads = [adapted.beside(model) or _head(model) for model in models]
    with torch.no_grad():
        for name, tensor in heads[0].items():
            if tensor.is_floating_point():
                parts = [share * head[name] for share, head in zip(shares, heads, strict=True)]
                tensor.copy_(torch.stack(parts).sum(0))
    adapters.become_lora(first.module, whole)
    value = bundles[0].manifest
    return write(
        Path(out), first, bundles[0].task(), bundles[0].space(), max_length=min(one.max_length for one in bundles),
        roles=bundles[0].roles, recipe=value["recipe"],
        lineage={"average": [{"bundle": one.fingerprint, "weight": w} for one, w in zip(bundles, shares, strict=True)]},
    )  # fmt: skip


def _opened(runs: Mapping[str, Path | str]) -> dict[str, Bundle]:
    bundles = {name: open_bundle(run) for name, run in runs.items()}
    bases: dict[str, str] = {}
    for name, bundle in bundles.items():
        entry = bundle.manifest.get("adapter")
        if entry is None:
            raise UserError(
                f"{runs[name]}: expected the bundle of an adapter; got a whole model. Train it with merge: false."
            )
        bases[str(runs[name])] = entry["base"]["sha256"]
    if len(set(bases.values())) > 1:
        told = listing([f"{run} ({digest[:8]}...)" for run, digest in bases.items()])
        raise UserError(f"Expected adapters of one base; got several, by the digests of their parameters: {told}.")
    return bundles


def _shared(model: Model, first: Mapping[str, Any]) -> dict[str, Any]:
    """Let the base of a model hold the given parameters, by their plain names; return those it holds."""
    from graftlm.nn import adapters

    body = model.module.get_submodule(model.base)
    with adapters.lifted(body):
        own = dict(body.named_parameters())
        for name in own.keys() & first.keys():
            if own[name].dtype == first[name].dtype:
                place, _, last = name.rpartition(".")
                setattr(body.get_submodule(place), last, first[name])
    return {**own, **first}


def _head(model: Model) -> dict[str, Any]:
    return {} if model.head is None else dict(model.module.get_submodule(model.head).state_dict())


def _weights(bundles: Sequence[Bundle], weights: Sequence[float] | None) -> list[float]:
    if len(bundles) < 2:
        raise UserError(f"average: expected at least two adapters; got {len(bundles)}.")
    shares = [1 / len(bundles)] * len(bundles) if weights is None else [float(weight) for weight in weights]
    if len(shares) != len(bundles) or not abs(sum(shares) - 1) < 1e-6:
        raise UserError(
            f"average: expected {len(bundles)} weights that sum to 1; got {len(shares)} with the sum {sum(shares):g}."
        )
    return shares


def _alike(bundles: Sequence[Bundle]) -> None:
    first = bundles[0]
    for bundle in bundles:
        kind = bundle.manifest["adapter"]["type"]
        if kind != "LORA":
            raise UserError(f"average: expected LoRA adapters; '{bundle.folder}' is one of the kind {kind}.")
        said = (bundle.name, bundle.space(), bundle.style, bundle.pooling)
        if said != (first.name, first.space(), first.style, first.pooling):
            raise UserError(
                f"average: expected adapters of one task with the same labels; '{bundle.folder}' differs from "
                f"'{first.folder}'. Use them beside each other instead."
            )
