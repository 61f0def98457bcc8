"""Every task on a public set with its default recipe: the figure, what to reach, the baselines, the speed.

    python benchmarks/tasks.py --sets goemotions mrpc --seeds 0

Results lie in results/tasks.json; sets that are not run again keep theirs. A set is a line of SETS: its task, what
else its recipe says, and what to reach on the test split (the validation split where there is no test).
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import harness
import texts

NAME = "tasks"


@dataclass(frozen=True)
class Set:
    """One line: `files` of its folder, if not {train,dev,test}.jsonl, `settings` what the recipe says beside."""

    task: str
    reach: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    base: str = "minilm"
    settings: dict[str, Any] = field(default_factory=dict)
    data: str | None = None
    beside: dict[str, str] = field(default_factory=dict)
    """Settings that name a further file of the folder."""
    beat: tuple[str, ...] = ()
    """Baselines whose better one has to be passed."""


SCRATCH: dict[str, Any] = {"use": "scratch"}
WRITER: dict[str, Any] = {"use": "scratch", "layers": 2, "width": 128, "heads": 4, "tokenizer": "trained"}


def _translation(rows: int) -> Set:
    """Return English to German from so many pairs: a small model without pretraining, the same recipe for each."""
    settings = {
        "data.columns": {"source": "en", "target": "de"}, "data.limit": rows, "task.beams": 1,
        "backbone": {**WRITER, "architecture": "bart", "vocabulary": 3000}, "train.epochs": 8,
        "train.evaluate_every": 4, "train.optimizer.rate": 0.002, "losses": [{"use": "label_smoothing"}],
    }  # fmt: skip
    return Set("seq2seq", data="multi30k", settings=settings)


SETS = {
    **{f"multi30k_{rows}": _translation(rows) for rows in (1000, 2000, 4000, 8000)},
    "csl_title": Set(
        "seq2seq",
        files={"train": "dev.jsonl", "test": "test.jsonl"},
        settings={
            "task.metric": "rouge_l",
            "task.beams": 1,
            "train.epochs": 3,
            "train.optimizer.rate": 0.002,
            "backbone": {**WRITER, "architecture": "bart", "vocabulary": 4000, "max_length": 256},
        },
    ),
    "chatterbot": Set(
        "generation",
        data="chatterbot_corpus",
        files={"train": "all_en.jsonl"},
        settings={
            "data.split.test": 0.1,
            "train.epochs": 8,
            "train.evaluate_every": 4,
            "train.optimizer.rate": 0.002,
            "backbone": {**WRITER, "architecture": "gpt2", "vocabulary": 3000, "max_length": 192},
        },
    ),
    "goemotions": Set("multilabel", {"macro_f1": 0.45}),
    "mrpc": Set("pair", {"f1": 0.85}),
    "rte": Set("pair"),
    "sick": Set("pair", {"accuracy": 0.86}),
    "sick_relatedness": Set("regression", data="sick"),
    "stsb_regression": Set("regression", data="stsb"),
    "stsb": Set("similarity", {"spearman": 0.855}),
    # questions and their paragraphs: the others are mined
    "squad2_ranking": Set(
        "ranking", files={"train": "train_split.json", "test": "test_split.json"}, data="squad2_cs224n"
    ),
    # above the better of the two baselines that know no texts
    "movielens_small": Set(
        "recommendation",
        files={"train": "ratings.csv"},
        beside={"task.items": "movies.csv"},
        beat=("popularity", "item_knn"),
    ),
    "ocnli": Set("pair", settings={"backbone": {**SCRATCH, "tokenizer": "trained"}}),
    "afqmc": Set("pair", settings={"backbone": {**SCRATCH, "tokenizer": "trained"}}),
    "conll2003": Set("tagging", {"entity_f1": 0.865}),
    "wnut17": Set("tagging", {"entity_f1": 0.435}),
    "snips_slots": Set("tagging", {"entity_f1": 0.95}, data="snips"),
    "cluener": Set("tagging", settings={"backbone": SCRATCH}),
    "weibo_ner": Set("tagging", settings={"backbone": SCRATCH}),
    # 51.9 % of these questions have no answer: ten points above never answering
    "squad2_cs224n": Set("extractive_qa", {"f1": 0.619}, {"train": "train_split.json", "test": "test_split.json"}),
    "cmrc2018": Set("extractive_qa", files={"train": "dev.json", "test": "trial.json"}, settings={"backbone": SCRATCH}),
}


def fit(
    which: str, seed: int, baselines: str, model: str | None, rows: int | None, extra: list[str], runs: str | None
) -> dict[str, Any]:
    """Fit one set with its recipe; return the tree of metrics.json."""
    import graftlm

    one = SETS[which]
    name = one.data or which
    files = {split: str(texts.place_of(name) / file) for split, file in one.files.items()} or texts.data_set(name)
    beside = {path: str(texts.place_of(name) / file) for path, file in one.beside.items()}
    settings = {**one.settings, **beside, **({"data.limit": rows} if rows else {})}
    settings |= dict(part.split("=", 1) for part in extra)
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        run = graftlm.fit(
            files["train"], valid=files.get("valid"), test=files.get("test"), task=one.task, seed=seed,
            out=str(Path(runs or folder, f"{which}-{seed}")), settings=settings,
            **({"base": model or one.base} if model or "backbone" not in one.settings else {}),
            **({} if baselines == "auto" else {"baselines": baselines}),
        )  # fmt: skip
        return dict(run.metrics)


def main() -> None:
    """Run the sets, merge their results, print the table."""
    parser = harness.options(__doc__)
    parser.set_defaults(model=None)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS), help="sets to run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--baselines", default="auto", choices=["auto", "none"])
    parser.add_argument("--runs", help="folder where the runs stay; default: they are thrown away")
    parser.add_argument("--set", dest="extra", nargs="+", default=[], metavar="PATH=VALUE", help="try another recipe")
    given = parser.parse_args()
    path = given.out or harness.RESULTS / f"{NAME}.json"
    for name in given.sets:
        runs = []
        for seed in given.seeds:
            began = harness.machine(given.threads)
            measured = harness.side(
                __file__, "fit", threads=given.threads, which=name, seed=seed, baselines=given.baselines,
                model=given.model, rows=given.rows, extra=given.extra, runs=given.runs,
            )  # fmt: skip
            runs.append({"seed": seed, "machine": began, **measured})
            harness.say(f"{name}, seed {seed}: {_figures(measured)}")
        trial = bool(given.rows or given.model or given.extra)
        keep(path, name, {"recipe": asdict(SETS[name]), "trial": trial, "extra": given.extra, "runs": runs})
    print(table(json.loads(path.read_text(encoding="utf-8"))), end="")


def keep(path: Path, name: str, result: dict[str, Any]) -> None:
    """Put the result of one set among those that there are; its own earlier one is replaced."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"name": NAME, "sets": {}}
    kept["sets"][name] = result
    kept["complete"] = not any(one["trial"] for one in kept["sets"].values())
    kept["summary"] = {"table": table(kept)}
    kept["checks"] = checks(kept)
    kept["machine"] = {**result["runs"][-1]["machine"], "load_after": os.getloadavg()[0]}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def checks(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached, by the mean over seeds."""
    found = []
    for name, result in sorted(results["sets"].items()):
        for figure, reach in result["recipe"]["reach"].items():
            values = [run["metrics"][_split(run)][figure]["value"] for run in result["runs"]]
            found.append(harness.check(f"{name}: {figure}", harness.mean(values), reach=reach))
        if beat := SETS[name].beat:
            runs, figure = result["runs"], result["runs"][0]["primary"]["name"]
            value = harness.mean([run["metrics"][_split(run)][figure]["value"] for run in runs])
            theirs = [
                harness.mean([run["baselines"][other][_split(run)][figure]["value"] for run in runs]) for other in beat
            ]
            what = f"{name}: {figure}, above {' and '.join(beat)}"
            found.append(harness.check(what, value, reach=max(theirs)))
    return found


def _split(metrics: dict[str, Any]) -> str:
    return "test" if "test" in metrics["metrics"] else "valid"


def _figures(metrics: dict[str, Any]) -> str:
    found = metrics["metrics"][_split(metrics)]
    return ", ".join(f"{name} {score['value']:.4f}" for name, score in found.items())


def table(results: dict[str, Any]) -> str:
    """Return the table of all sets as Markdown: means over seeds, baselines by the same figure."""
    heads = ("set", "task", "split", "figure", "value", "reach", "baselines", "examples/s")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, result in sorted(results["sets"].items()):
        runs, recipe = result["runs"], result["recipe"]
        split, primary = _split(runs[0]), runs[0]["primary"]["name"]
        for figure in dict.fromkeys([*recipe["reach"], primary]):
            value = harness.mean([run["metrics"][split][figure]["value"] for run in runs])
            reach = recipe["reach"].get(figure)
            hit = "" if reach is None else f"{reach} ({'yes' if value >= reach else 'no'})"
            others = {
                other: harness.mean([run["baselines"][other][split][figure]["value"] for run in runs])
                for other, scores in runs[0]["baselines"].items()
                if figure in scores[split]
            }
            shown = ", ".join(f"{other} {one:.4f}" for other, one in others.items())
            speed = harness.mean([run["timing"]["examples_per_second"] or 0.0 for run in runs])
            mark = " (trial)" if result["trial"] else ""
            cells = [name + mark, recipe["task"], split, figure, f"{value:.4f}", hit, shown, f"{speed:.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    harness.start({"fit": fit}, main)
