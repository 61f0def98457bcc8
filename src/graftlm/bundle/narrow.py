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

    from graftlm.nn import bottleneck

    facts = bottleneck.facts(model.module)
    if facts is None:
        return None
    stem = f"{model.base}." if model.style == "pooled" else ""
    entry = adapted.base_entry(inside, model, task, space, write_base)
    tensors = {name.removeprefix(stem): tensor for name, tensor in bottleneck.tensors(model.module).items()}
    own = {} if stem else adapted.beside(model)
    parts = sorted({name.partition(".")[0] for name in own})
    kept = {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in (tensors | own).items()}
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
    from graftlm.nn import bottleneck

    tensors = adapted.tensors_for(folder, entry, body)
    tensors = adapted.fill(folder / TENSORS, part, tensors, tree.get("modules_to_save") or ())
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
