"""The Fisher matrix's diagonal of a base: on an earlier run's task, on general text, or of its own vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from graftlm.contracts.ground import Earlier, Ground
from graftlm.core import seeds
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

Labels = Literal["model", "data"]
MASKED = 0.15
"""Share of the tokens of general text that are masked."""


def of_vectors(ground: Ground, names: Mapping[str, Any], rows: int) -> dict[str, Tensor]:
    """Return F of the vectors f that the model gives: p(y|x) = N(f(x), 1), so F = E_x sum_d (df_d / dw)^2.

    One pass a row: with v drawn from N(0, 1), the expectation of (d(v f) / dw)^2 is that sum.
    """
    import torch

    from graftlm.nn.importance import importance, vector
    from graftlm.nn.kept import resting

    module = ground.model.module
    draw = torch.Generator().manual_seed(seeds.child(ground.seed, "fisher"))

    def values() -> Iterator[Tensor]:
        for batch in ground.batches(rows, 1):
            found = vector(module(**batch.inputs, output_hidden_states=True), batch.inputs["attention_mask"])
            yield (found * torch.randn(found.shape, generator=draw).to(found)).sum()

    with resting(module):
        return importance({name: module.get_parameter(name) for name in names}, values())


def of_run(earlier: Earlier, rows: int, labels: Labels, seed: int) -> dict[str, Tensor]:
    """Return F of an earlier run's task on its training rows, by the names of its own model.

    Tasks that do not choose a class take the truth.
    """
    from graftlm.nn.importance import importance

    parameters = {n: p.requires_grad_() for n, p in earlier.model.module.named_parameters()}
    return importance(parameters, run_values(earlier, rows, labels, seed))


def run_values(earlier: Earlier, rows: int, labels: Labels, seed: int) -> Iterator[Tensor]:
    """Yield -ln p(y|x) of an earlier run's rows, each by itself."""
    import torch

    from graftlm.contracts.values import Outputs

    draw = torch.Generator().manual_seed(seeds.child(seed, "fisher"))
    for inputs, target in earlier_rows(earlier, rows, seed):
        device = next(earlier.model.module.parameters()).device
        out = earlier.model.module(**{name: tensor.to(device) for name, tensor in inputs.items()})
        logits = out.logits.float()
        stacked = earlier.task.stack([target])
        if labels == "model" and earlier.task.chooses:
            drawn = torch.multinomial(logits.detach().flatten(0, -2).softmax(-1).cpu(), 1, generator=draw)
            drawn = drawn.view(logits.shape[:-1])
            stacked = torch.where(stacked == -100, stacked, drawn.view(stacked.shape))
        yield earlier.task.loss(Outputs(logits), stacked.to(device))


def earlier_rows(earlier: Earlier, rows: int, seed: int) -> Iterator[tuple[dict[str, Tensor], Any]]:
    """Yield the padded inputs and the target of an earlier run's training rows, drawn once, one by one."""
    from graftlm.nn.packed import Packed

    examples = earlier.examples(rows, seed)
    tokenizer = earlier.model.tokenizer
    inputs = earlier.task.encode_training(examples, tokenizer, earlier.limit)
    for one, target in zip(inputs, earlier.task.targets(examples, inputs, earlier.space), strict=True):
        yield Packed.of([one.features]).batch([0], tokenizer.pad_token_id), target


def of_text(ground: Ground, path: str, rows: int, labels: Labels) -> tuple[dict[str, Tensor], str]:
    """Return F of the base's masked language model on general text, and the path of the base inside that model.

    Raises:
        UserError: the base has no such head, or the text cannot be read.
    """
    import torch

    from graftlm.nn.importance import importance

    lines, module, tokenizer = general_text(path, rows, ground.seed), masked_model(ground), ground.model.tokenizer
    draw = torch.Generator().manual_seed(seeds.child(ground.seed, "fisher"))
    limit = ground.model.card.limit

    def values() -> Iterator[Tensor]:
        for line in lines:
            ids, told = masked(tokenizer(line, truncation=True, max_length=limit)["input_ids"], tokenizer, draw)
            if (told != -100).any():
                logits = module(input_ids=ids).logits[told != -100].float()
                truth = told[told != -100]
                if labels == "model":
                    truth = torch.multinomial(logits.detach().softmax(-1), 1, generator=draw).squeeze(1)
                yield torch.nn.functional.cross_entropy(logits, truth, reduction="sum")

    prefix = str(module.base_model_prefix)
    body = {name: p for name, p in module.named_parameters() if name.startswith(f"{prefix}.")}
    return importance(body, values()), prefix


def masked(ids: Any, tokenizer: Any, draw: Any) -> tuple[Tensor, Tensor]:
    """Return token ids (1, L) with some masked, and the ids that stood there (1, L), -100 elsewhere."""
    import torch

    plain = torch.as_tensor([list(ids)])
    special = torch.as_tensor([tokenizer.get_special_tokens_mask(list(ids), already_has_special_tokens=True)]).bool()
    chosen = (torch.rand(plain.shape, generator=draw) < MASKED) & ~special
    return torch.where(chosen, tokenizer.mask_token_id, plain), torch.where(chosen, plain, -100)


def _kinds(ground: Ground) -> list[str]:
    """Return the classes of Transformers that the base was saved as."""
    return [] if ground.base is None else list(getattr(ground.base.config, "architectures", None) or [])


def has_masked_head(ground: Ground) -> bool:
    """Tell whether the base was saved with the head of a masked language model."""
    return any(k.endswith("ForMaskedLM") for k in _kinds(ground)) and bool(ground.model.tokenizer.mask_token)


def masked_model(ground: Ground) -> Any:
    """Return the base with its masked language model's head, in eval mode.

    Raises:
        UserError: it has none.
    """
    base, kinds = ground.base, _kinds(ground)
    if base is None or not has_masked_head(ground):
        raise UserError(
            f"General text needs a base with a masked language model's head; '{ground.model.card.name}' was saved as "
            f"{', '.join(kinds) or 'an encoder alone'}. Name an earlier run instead, or leave both out."
        )
    module: nn.Module = base.build("AutoModelForMaskedLM")
    return module.eval()


def general_text(path: str, rows: int, seed: int) -> list[str]:
    """Return some lines of a text file, drawn once.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as fault:
        raise UserError(f"The general text '{path}' cannot be read: {fault.strerror or fault}.") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"The general text '{path}' is not UTF-8: {fault}.") from None
    if not lines:
        raise UserError(f"The general text '{path}' is empty: expected one piece of text a line.")
    order = seeds.generator(seed, "text").permutation(len(lines))[:rows]
    return [lines[number] for number in sorted(order.tolist())]


def check_same_start(ground: Ground, earlier: Earlier, run: str) -> None:
    """Refuse an earlier run whose weights are not those that this run starts from.

    Raises:
        UserError: they differ.
    """
    import torch

    module = ground.model.module if ground.start is None else ground.start
    ours = dict(module.named_parameters())
    inside = f"{earlier.model.base}."
    for name, tensor in earlier.model.module.named_parameters():
        if not name.startswith(inside) or "pooler" in name:
            continue
        other = ours.get(f"{ground.model.base}.{name.removeprefix(inside)}")
        if other is None or other.shape != tensor.shape or not torch.equal(other.cpu(), tensor.detach().cpu()):
            raise UserError(
                f"The weights that this run starts from are not those that '{run}' ended with (they differ in "
                f"'{name}'). Start from it: --base {run}/bundle"
            )
