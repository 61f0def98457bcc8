"""How the model card tells to open an adapter with the plain libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graftlm.bundle import adapter_files, bases

POOLED = {
    "mean": "mask = inputs['attention_mask'].unsqueeze(-1).float()\nvectors = (states * mask).sum(1) / mask.sum(1)",
    "cls": "vectors = states[:, 0]",
    "max": (
        "mask = inputs['attention_mask'].unsqueeze(-1) == 0\nvectors = states.masked_fill(mask, -1e30).amax(dim=1)"
    ),
}


def text(facts: Mapping[str, Any], call: str, reading: str, imports: str) -> str:
    """Return the part of the card: where the base is, and code that puts the adapter on it.

    `call` are the tokenizer's texts, `reading` what follows the logits, `imports` what that needs.
    """
    base, virtual = facts["adapter"]["base"], adapter_files.is_virtual(facts["adapter"]["type"])
    pooled = facts["style"] == "pooled"
    if virtual and not pooled:
        return (
            f"The folder holds virtual tokens for {bases.told(base)}, and no other, as a PEFT adapter for `AutoModel`, "
            f"and in `{adapter_files.HEAD}` what the class `{facts['auto_model']}` has beside it; GraftLM joins them."
        )
    loader = "AutoModel" if pooled else facts["auto_model"]
    size = len(next(iter(facts["tasks"].values()))["space"]["labels"])
    options = f", num_labels={size}" if size and not pooled and base["from"] != "bundle" else ""
    if base["from"] == "repository":
        options += f", revision={base['revision']!r}"
    lines = [
        f"from transformers import {loader}, AutoTokenizer",
        "from peft import PeftModel",
        "",
        f"base = {_place(base)}",
        f"model = PeftModel.from_pretrained({loader}.from_pretrained(base{options}), '.').eval()",
        "tokenizer = AutoTokenizer.from_pretrained('.')",
        f"inputs = tokenizer({call}, truncation=True, max_length={facts['max_length']}, return_tensors='pt')",
        *(_head(facts, virtual) if pooled else ["outputs = model(**inputs)"]),
    ]
    if not pooled and "QuestionAnswering" not in loader:
        lines.append("logits = outputs.logits.detach().numpy()")
    code = imports + ("from safetensors.torch import load_file\n" if pooled else "") + "\n".join(lines) + reading
    return (
        f"The folder holds a PEFT adapter, not a whole model. It fits {bases.told(base)}, and no other"
        + (" (SHA-256 of `model.safetensors` there)" if base["from"] == "package" else "")
        + ". Without GraftLM, inside this folder (`pip install peft transformers`):\n\n"
        f"```python\n{code}\n```"
    )


def _place(base: Mapping[str, str]) -> str:
    if base["from"] == "package":
        return f"'the folder of {base['name']}'  # it is not part of this one"
    return repr(base["name"] if base["from"] == "repository" else bases.ALONG)


def _head(facts: Mapping[str, Any], virtual: bool) -> list[str]:
    """Return what makes logits, or vectors of length one, of an encoder's states."""
    cut = "[:, -inputs['input_ids'].shape[1]:]  # without the virtual tokens" if virtual else ""
    lines = [f"states = model(**inputs).last_hidden_state{cut}", POOLED[facts["pooling"]]]
    if facts["module"]["head"] is None:
        return [*lines, "vectors = vectors / vectors.norm(dim=-1, keepdim=True)"]
    return [
        *lines,
        "head = load_file('2_Dense/model.safetensors')",
        "logits = (vectors @ head['linear.weight'].T + head['linear.bias']).detach().numpy()",
    ]
