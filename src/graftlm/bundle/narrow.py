"""Bundles of bottleneck adapters after layers: no plain class and no library has these, so the card holds their code.

The files are those of a PEFT adapter, of a kind that PEFT does not know: it refuses them, rather than leave them out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.bundle import adapted, adapter_card, bases
from graftlm.bundle.adapter_files import CONFIG, PREFIX, TENSORS
from graftlm.bundle.strict import refuse
from graftlm.contracts.model import Model
from graftlm.contracts.values import Space
from graftlm.core import files

if TYPE_CHECKING:
    from torch import nn

    from graftlm.contracts.task import Task

KIND = "BOTTLENECK"
_CODE = """{imports}import torch
from safetensors.torch import load_file
from transformers import {loader}, AutoTokenizer

with open('{config}', encoding='utf-8') as file:
    facts = json.load(file)


class After(torch.nn.Module):
    def __init__(self, base, own):
        super().__init__()
        self.base, self.own = base, own

    def forward(self, x):
        h, own = self.base(x), self.own
        f, linear = getattr(torch.nn.functional, facts['activation']), torch.nn.functional.linear
        narrow = f(linear(h, own['down.weight'], own['down.bias']))
        return h + facts['scale'] * linear(narrow, own['up.weight'], own['up.bias'])


base = {base}
model = {loader}.from_pretrained(base{options})
tensors = {{name.removeprefix('{prefix}'): t for name, t in load_file('{file}').items()}}
parts = [f'{{part}}.{{key}}' for part in ('down', 'up') for key in ('weight', 'bias')]
for name in facts['target_modules']:
    parent, _, child = name.rpartition('.')
    own = {{part: tensors.pop(f'{{name}}.{{part}}') for part in parts}}
    setattr(model.get_submodule(parent), child, After(model.get_submodule(name), own))
model.load_state_dict(tensors, strict=False)  # what was trained beside the base
model.eval()
tokenizer = AutoTokenizer.from_pretrained('.')
inputs = tokenizer({call}, truncation=True, max_length={limit}, return_tensors='pt')
{answer}{reading}"""


def write(
    inside: Path, model: Model, task: Task, space: Space, write_base: Callable[[Path], None]
) -> dict[str, Any] | None:
    """Write the adapters that stand after layers; return the manifest's entry, None where there are none.

    The base goes along, written by `write_base(folder)`, unless it is named and holds exactly the tensors below them.
    """
    from safetensors.torch import save_file

    from graftlm.nn import adapters, bottleneck

    facts = bottleneck.facts(model.module)
    if facts is None:
        return None
    stem = f"{model.base}." if model.style == "pooled" else ""
    body = model.module.get_submodule(model.base)
    entry: dict[str, Any] = {"from": "bundle"}
    named = bases.named(model.card)
    if named is not None:
        base = bases.opened(inside / CONFIG, named)
        plain = adapted.build(base, model.style, model.auto_model, model.tokenizer, task, space)
        if not adapters.differ(body, plain.get_submodule("" if stem else model.base)):
            entry = named
    entry["sha256"] = adapters.digest(body)
    if entry["from"] == "bundle":
        (inside / bases.ALONG).mkdir()
        with adapters.lifted(model.module):
            write_base(inside / bases.ALONG)
    tensors = {name.removeprefix(stem): tensor for name, tensor in bottleneck.tensors(model.module).items()}
    parts: list[str] = []
    if model.style == "native" and model.head is not None and model.base:
        own = {n: t for n, t in model.module.state_dict().items() if not n.startswith(f"{model.base}.")}
        parts = sorted({name.partition(".")[0] for name in own})
        tensors |= own
    kept = {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, inside / TENSORS, metadata={"format": "pt"})
    tree = {
        **facts, "peft_type": KIND, "target_modules": [name.removeprefix(stem) for name in facts["target_modules"]],
        "modules_to_save": parts or None, "base_model_name_or_path": bases.title(entry),
        "revision": entry.get("revision"),
    }  # fmt: skip
    files.write_json(inside / CONFIG, tree)
    return {"type": KIND, "base": entry}


def put(folder: Path, entry: Mapping[str, Any], tree: Mapping[str, Any], part: nn.Module, body: nn.Module) -> None:
    """Put the adapters of a folder, and what was trained beside the base, into a plain module.

    Raises:
        BundleError: the base is not the one that they were trained on, or tensors do not fit.
    """
    from safetensors.torch import load_file

    from graftlm.nn import adapters, bottleneck

    found = adapters.digest(body)
    if found != entry["base"]["sha256"]:
        bases.wrong(
            folder / CONFIG, entry["base"],
            f"one whose parameters give the digest {found[:12]}... in place of {entry['base']['sha256'][:12]}...",
        )  # fmt: skip
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / TENSORS).items()}
    beside = tuple(f"{name}." for name in tree.get("modules_to_save") or ())
    own = {name: tensor.shape for name, tensor in part.state_dict().items() if name.startswith(beside)}
    came = {name: tensors.pop(name) for name in list(tensors) if name.startswith(beside)}
    if own != {name: tensor.shape for name, tensor in came.items()}:
        refuse(folder / TENSORS, f"the tensors of {', '.join(tree['modules_to_save'])}", "others")
    part.load_state_dict(came, strict=False)
    try:
        bottleneck.fill(part, tree, tensors)
    except ValueError as fault:
        refuse(folder / TENSORS, f"the tensors of {CONFIG} on this base", str(fault)[:300])


def text(facts: Mapping[str, Any], call: str, reading: str, imports: str) -> str:
    """Return the part of the card: what the folder holds, and code that puts the adapters on their base.

    `call` are the tokenizer's texts, `reading` what follows the logits, `imports` what that needs.
    """
    base, pooled = facts["adapter"]["base"], facts["style"] == "pooled"
    loader = "AutoModel" if pooled else facts["auto_model"]
    size = len(next(iter(facts["tasks"].values()))["space"]["labels"])
    options = f", num_labels={size}" if size and not pooled and base["from"] != "bundle" else ""
    if base["from"] == "repository":
        options += f", revision={base['revision']!r}"
    answer = "outputs = model(**inputs)"
    if pooled:
        answer = f"states = model(**inputs).last_hidden_state\n{adapter_card.POOLED[facts['pooling']]}\n" + (
            "vectors = vectors / vectors.norm(dim=-1, keepdim=True)"
            if facts["module"]["head"] is None
            else "head = load_file('2_Dense/model.safetensors')\n"
            "logits = (vectors @ head['linear.weight'].T + head['linear.bias']).detach().numpy()"
        )
    elif "QuestionAnswering" not in loader:
        answer += "\nlogits = outputs.logits.detach().numpy()"
    where = "'the folder of {0}'  # it is not part of this one" if base["from"] == "package" else "{0!r}"
    code = _CODE.format(
        imports=imports or "import json\n\n", loader=loader, base=where.format(bases.title(base)), options=options,
        prefix=PREFIX, config=CONFIG, file=TENSORS, call=call, limit=facts["max_length"], answer=answer,
        reading=reading,
    )  # fmt: skip
    return (
        f"The folder holds bottleneck adapters, which stand after layers of {bases.told(base)}, and no other. No "
        "library has these, so that nothing opens the folder as a whole model. "
        f"Without GraftLM, inside it (`pip install transformers`):\n\n```python\n{code}\n```"
    )
