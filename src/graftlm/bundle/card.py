"""The model card: what the model does, how well, on what it stands, and how to open it without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.bundle import adapter_card, narrow

MOST_LABELS = 60


def text(facts: Mapping[str, Any], limits: Sequence[str] = (), *, says: str = "", plainly: str = "") -> str:
    """Return README.md from the facts of the manifest, with the front matter that the Hub reads.

    `says` and `plainly` are what the task calls so.
    """
    name, task = next(iter(facts["tasks"].items()))
    labels = task["space"]["labels"]
    parts = [
        _front(facts),
        f"# {name}\n\nAnswers the task **{name}** on {' and '.join(task['roles']) or 'text'}: "
        f"{_what(labels, facts, says)}. It reads at most {facts['max_length']} tokens; what is longer is cut off.",
        _labels(labels),
        _figures(facts["metrics"]),
        _base(facts),
        _data(facts["data"]),
        "## How to use it\n\nWith GraftLM:\n\n```\ngraft predict . texts.csv\n```\n\n" + _plain(facts, plainly),
        _limits(limits),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def shared_text(facts: Mapping[str, Any], says: Mapping[str, str]) -> str:
    """Return README.md of a bundle of several tasks; `says` is what each task calls so."""
    names = list(facts["tasks"])
    parts = [
        _front({**facts, "auto_model": "AutoModel"}),
        f"# {', '.join(names)}\n\nOne backbone, and a head for each of {len(names)} tasks in `heads/`.",
        *(_one_of_several(name, facts["tasks"][name], facts, says[name]) for name in names),
        _base(facts),
        "## How to use it\n\nWith GraftLM:\n\n```\n"
        + "\n".join(f"graft predict . texts.csv --task '{name}'" for name in names)
        + f"\ngraft export . --task '{names[0]}' --out FOLDER\n```\n\n`graft export` writes a plain checkpoint of one "
        "task, which opens without GraftLM. The backbone alone is a plain Transformers model:\n\n```python\n"
        "from transformers import AutoModel, AutoTokenizer\n\ntokenizer = AutoTokenizer.from_pretrained('.')\n"
        "states = AutoModel.from_pretrained('.')(**tokenizer('a text', return_tensors='pt')).last_hidden_state\n```",
        _limits([f"{name}: {line}" for name in names for line in facts["tasks"][name]["limits"]]),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _one_of_several(name: str, entry: Mapping[str, Any], facts: Mapping[str, Any], says: str) -> str:
    own = {**facts, **{key: entry[key] for key in ("style", "module")}}
    labels = entry["space"]["labels"]
    parts = [
        f"## {name}\n\nThe task **{entry['use']}** on {' and '.join(entry['roles']) or 'text'}: "
        f"{_what(labels, own, says)}. It reads at most {entry['max_length']} tokens; what is longer is cut off.",
        _labels(labels),
        _figures(entry["metrics"]),
        _data(entry["data"]),
    ]
    return "\n\n".join(
        ("#" + part if part.startswith("## ") else part) if number else part
        for number, part in enumerate(parts)
        if part
    )


_TAGS = {
    "SequenceClassification": "text-classification",
    "TokenClassification": "token-classification",
    "QuestionAnswering": "question-answering",
}


def _front(facts: Mapping[str, Any]) -> str:
    lines = ["---"]
    if facts["licence"] and facts["licence"] != "unknown":
        lines.append(f"license: {str(facts['licence']).lower()}")
    library = "sentence-transformers" if facts["style"] == "pooled" else "transformers"
    if "adapter" in facts:
        library = "transformers" if facts["adapter"]["type"] == narrow.KIND else "peft"
    lines.append(f"library_name: {library}")
    for part, tag in _TAGS.items():
        if part in facts["auto_model"]:
            lines.append(f"pipeline_tag: {tag}")
    if facts["base"].get("hub_id"):
        lines.append(f"base_model: {facts['base']['hub_id']}")
    return "\n".join([*lines, "---"])


def _embeds(facts: Mapping[str, Any]) -> bool:
    return bool(facts["style"] == "pooled" and facts["module"]["head"] is None)


def _what(labels: Sequence[str], facts: Mapping[str, Any], says: str) -> str:
    if _embeds(facts):
        return f"a vector of length one for each text, {facts['base']['width']} numbers, compared by cosine"
    return says.replace("{labels}", str(len(labels)))


def _labels(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    shown = ", ".join(f"`{label}`" for label in labels[:MOST_LABELS])
    rest = f" and {len(labels) - MOST_LABELS} more, in `graft.json`" if len(labels) > MOST_LABELS else ""
    return f"## Labels\n\nIn the order of the logits: {shown}{rest}."


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"


def _figures(metrics: Mapping[str, Any]) -> str:
    rows = [
        f"| {split} | {name} | {_number(score.get('value'))} | {_interval(score)} | {score.get('n', '')} |"
        for split, scores in (metrics.get("metrics") or {}).items()
        for name, score in scores.items()
        if isinstance(score, Mapping)
    ]
    if not rows:
        return ""
    head = "| rows | metric | value | 95 % interval | n |\n|---|---|---|---|---|\n"
    verdict = (metrics.get("transfer") or {}).get("sentence")
    return "## Figures\n\n" + head + "\n".join(rows) + (f"\n\n{verdict}" if verdict else "")


def _interval(score: Mapping[str, Any]) -> str:
    if score.get("low") is None or score.get("high") is None:
        return ""
    return f"{_number(score['low'])} to {_number(score['high'])}"


def _base(facts: Mapping[str, Any]) -> str:
    base = facts["base"]
    where = f" (`{base['hub_id']}`)" if base.get("hub_id") else ""
    revision = f", revision {base['revision']}" if base.get("revision") else ""
    start = "Started from" if base.get("pretrained", True) else "Trained from random weights of"
    lines = [
        f"## Base model\n\n{start} {base['name']}{where}{revision}: {base['architecture']}, "
        f"{len(base['blocks'])} blocks of width {base['width']}. Licence of the base model: {facts['licence']}."
    ]
    if base.get("languages"):
        lines.append(f"Languages it was pretrained on: {', '.join(base['languages'])}.")
    return " ".join(lines)


def _data(data: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {count} |" for name, count in data.items() if isinstance(count, int)]
    return "## Data\n\n| split | rows |\n|---|---|\n" + "\n".join(rows) if rows else ""


def _plain(facts: Mapping[str, Any], plainly: str) -> str:
    name, task = next(iter(facts["tasks"].items()))
    pair = len(task["roles"]) > 1
    imports = "import json\nfrom pathlib import Path\n\n" + ("import numpy\n" if "numpy." in plainly else "")
    kept = f"json.loads(Path('graft.json').read_text(encoding='utf-8'))['tasks'][{name!r}]['space']"
    reading = f"\n\nspace = {kept}\n{plainly}" if plainly else ""
    if "adapter" in facts:
        given = "'first text', 'second text'" if pair else "'a text'"
        told = narrow.text if facts["adapter"]["type"] == narrow.KIND else adapter_card.text
        return told(facts, given, "" if _embeds(facts) else reading, imports if plainly else "")
    if _embeds(facts):
        return (
            "Without it, the folder is a Sentence Transformers model:\n\n"
            "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
            "model = SentenceTransformer('.')\nvectors = model.encode(['a text', 'another text'])\n"
            "print(model.similarity(vectors[0], vectors[1]))\n```"
        )
    if facts["auto_model"] in _WRITING:
        return _writing(facts, task)
    if facts["style"] == "pooled":
        call = "[('first text', 'second text')]" if pair else "['a text']"
        return (
            "Without it, the folder is a Sentence Transformers model whose vectors are the logits:\n\n"
            f"```python\n{imports if plainly else ''}from sentence_transformers import SentenceTransformer\n\n"
            f"logits = SentenceTransformer('.').encode({call}){reading}\n```"
        )
    call = "'first text', 'second text'" if pair else "'a text'"
    return (
        f"Without it, the folder is a Transformers model of the class `{facts['auto_model']}`:\n\n"
        f"```python\n{imports if plainly else ''}from transformers import {facts['auto_model']}, AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained('.')\n"
        f"inputs = tokenizer({call}, truncation=True, max_length={facts['max_length']}, return_tensors='pt')\n"
        f"{_called(facts['auto_model'])}{reading}\n```"
    )


def _called(auto_model: str) -> str:
    """Return the line that runs a plain model: a reader of answers gives their borders, all others logits."""
    if "QuestionAnswering" in auto_model:
        return (
            f"given = {auto_model}.from_pretrained('.')(**inputs)\n"
            "first, last = given.start_logits[0].argmax(), given.end_logits[0].argmax()\n"
            "print(tokenizer.decode(inputs['input_ids'][0][first : last + 1]))"
        )
    return f"logits = {auto_model}.from_pretrained('.')(**inputs).logits.detach().numpy()"


_WRITING = ("AutoModelForSeq2SeqLM", "AutoModelForCausalLM")


def _writing(facts: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """Return how a model that writes is used plainly: with the chat template, where answers were learned with one."""
    most = task["fields"].get("max_new_tokens") or 64
    if facts["auto_model"] == _WRITING[0]:
        prefix = task["fields"].get("prefix") or ""
        asked = f"inputs = tokenizer([{prefix + 'a text'!r}], return_tensors='pt')"
        written = f"model.generate(**inputs, num_beams={task['fields'].get('beams') or 1}, max_new_tokens={most})"
    elif task["fields"].get("form") == "text":
        asked, written = "inputs = tokenizer(['a text'], return_tensors='pt')", "model(**inputs).logits"
    else:
        asked = (
            "turns = [{'role': 'user', 'content': 'a question'}]\n"
            "inputs = tokenizer.apply_chat_template(\n"
            "    turns, add_generation_prompt=True, return_tensors='pt', return_dict=True\n)"
        )
        written = f"model.generate(**inputs, max_new_tokens={most})[:, inputs['input_ids'].shape[1]:]"
    end = "" if written.endswith("logits") else "\nprint(tokenizer.batch_decode(found, skip_special_tokens=True))"
    return (
        f"Without it, the folder is a Transformers model of the class `{facts['auto_model']}`:\n\n"
        f"```python\nfrom transformers import {facts['auto_model']}, AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained('.')\nmodel = {facts['auto_model']}.from_pretrained('.')\n"
        f"{asked}\nfound = {written}{end}\n```"
    )


def _limits(limits: Sequence[str]) -> str:
    known = [
        "The figures hold for texts like those it was tested on; on others they can be far lower.",
        "It always gives one of its answers, for texts that have nothing to do with the task too.",
        *limits,
    ]
    return "## Limits\n\n" + "\n".join(f"* {line}" for line in known)
