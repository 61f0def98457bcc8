"""snips intent and slots in one model against each alone: accuracy, entity F1, bundle bytes, seconds.

    python benchmarks/joint.py
    python benchmarks/joint.py --fits joint joint:pcgrad joint:uncertainty --seeds 0

Each cell (fit, seed) is one whole fit with the default recipe in a process of its own and stands in
results/joint.json at once; cells that are there are not measured again. A fit is `intent`, `slots`, `joint` (balancer
`fixed`, every weight 1) or `joint:BALANCER` with the balancer's fields, such as `joint:dwa:temperature=1`. The files
dev.jsonl validate, test.jsonl is answered once, at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cells
import harness
import texts

NAME = "joint"
FITS = ("intent", "slots", "joint")
TASKS = {"intent": ("classification", "accuracy"), "slots": ("tagging", "entity_f1")}
REACH = {"intent": 98.7, "slots": 95.0}
MEGABYTE = 1e6


def files(place: Path) -> dict[str, dict[str, str]]:
    """Return the files of each task by split; the intents are written with their words as one text."""
    found: dict[str, dict[str, str]] = {"intent": {}, "slots": texts.data_set("snips")}
    for split, path in found["slots"].items():
        lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        rows = [{"text": " ".join(line["tokens"]), "label": line["intent"]} for line in lines]
        out = place / f"intent-{split}.jsonl"
        out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        found["intent"][split] = str(out)
    return found


def balancer(name: str) -> Any:
    """Return the balancer that a joint fit names."""
    import yaml

    use, *pairs = name.partition(":")[2].split(":")
    return {
        "use": use or "fixed",
        **{key: yaml.safe_load(value) for key, _, value in (p.partition("=") for p in pairs)},
    }


def fit(which: str, seed: int, model: str, rows: int | None, settings: Sequence[str]) -> dict[str, Any]:
    """Do one whole fit; return each task's figures, and what the model is and took."""
    import graftlm

    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        data = files(Path(folder))
        limit = {"limit": rows} if rows else {}
        recipe: dict[str, Any] = {"backbone": model, "train": {"seed": seed}, "out": str(Path(folder, "run"))}
        if which in TASKS:
            recipe |= {"task": TASKS[which][0], "data": {**data[which], **limit}}
        else:
            sections = {name: {"use": use, "data": {**data[name], **limit}} for name, (use, _) in TASKS.items()}
            recipe |= {"tasks": sections, "balancer": balancer(which)}
        recipe["evaluate"] = {"baselines": "none"}
        run = graftlm.fit(recipe, settings=dict(one.split("=", 1) for one in settings))
        by_task = run.metrics["tasks"] if "tasks" in run.metrics else {which: run.metrics}
        timing = run.metrics["timing"]
        return {
            "tasks": {name: _figures(tree, TASKS[name][1]) for name, tree in by_task.items()},
            "bundle_bytes": sum(file.stat().st_size for file in run.bundle.rglob("*") if file.is_file()),
            "parameters": run.metrics.get("parameters"),
            "examples_per_second": timing["examples_per_second"],
            "train_seconds": timing["seconds"]["train"],
        }


def _figures(tree: Mapping[str, Any], metric: str) -> dict[str, Any]:
    found = {split: scores[metric] for split, scores in tree["metrics"].items()}
    return {split: {key: one[key] for key in ("value", "low", "high", "n")} for split, one in found.items()}


def trial(given: argparse.Namespace) -> bool:
    """Tell whether fewer rows or another model are used than the table asks."""
    return bool(given.rows) or given.model != "minilm"


def key(given: argparse.Namespace, which: str, seed: int) -> str:
    """Return the name of a cell; a trial, or another setting, does not stand in the way of a result."""
    return "|".join([
        which, str(seed), *given.settings, *([given.model, f"rows={given.rows}"] if trial(given) else []),
    ])  # fmt: skip


def measure(given: argparse.Namespace, kept: cells.Cells) -> None:
    """Measure the cells that are not there yet, seed by seed."""
    for seed in given.seeds:
        for which in given.fits:
            one = key(given, which, seed)
            with kept.claimed(one) as mine:
                if not mine or (one in kept.read()["cells"] and not given.again):
                    continue
                began = harness.machine(given.threads)
                asked = {"which": which, "seed": seed, "model": given.model, "rows": given.rows}
                try:
                    cell = harness.side(__file__, "fit", threads=given.threads, settings=given.settings, **asked)
                except harness.SideFailed as fault:
                    cell = {"failed": cells.reason(fault, last=True)}
                facts = {name: began[name] for name in ("commit", "date", "load", "threads")}
                name = "+".join([which, *given.settings])
                cell |= {"fit": name, "seed": seed, "trial": trial(given), "machine": facts}
                with kept.changing() as results:
                    results["cells"][one] = cell
                    summarise(results, began)
                harness.say(f"{name}, seed {seed}: {said(cell)}")


def said(cell: Mapping[str, Any]) -> str:
    """Return one line about a cell."""
    if "failed" in cell:
        return f"failed: {cell['failed']}"
    shown = [f"{name} {cells.points(of['test']['value'])}" for name, of in cell["tasks"].items()]
    return f"{', '.join(shown)}, {cell['process_seconds']:.0f} s"


def of(results: Mapping[str, Any], which: str) -> dict[int, dict[str, Any]]:
    """Return the cells of a fit that have figures, by seed; trials only where there is nothing else."""
    found = [cell for cell in results["cells"].values() if cell["fit"] == which and "tasks" in cell]
    real = [cell for cell in found if not cell["trial"]]
    return {int(cell["seed"]): cell for cell in real or found}


def gaps(results: Mapping[str, Any], which: str) -> dict[str, dict[str, Any]]:
    """Return, for each task, the differences of the test figures by seed: together less alone."""
    joint = of(results, which)
    # what is set of the tasks, such as their weights, is nothing to a task alone
    alone = "+".join(one for one in which.split("+")[1:] if not one.startswith("tasks."))
    found = {}
    for name in TASKS:
        single = of(results, "+".join([name, *([alone] if alone else [])]))
        mine, theirs = ({s: c["tasks"][name]["test"]["value"] for s, c in side.items()} for side in (joint, single))
        found[name] = cells.differences(mine, theirs)
    return found


def joints(results: Mapping[str, Any]) -> list[str]:
    """Return the joint fits that there are, the plain one first."""
    found = {cell["fit"] for cell in results["cells"].values() if cell["fit"].startswith("joint")}
    return sorted(found | {"joint"})


def summarise(results: dict[str, Any], began: Mapping[str, Any]) -> None:
    """Put what follows from the cells beside them."""
    results["complete"] = not any(cell["trial"] for cell in results["cells"].values())
    told = {which: gaps(results, which) for which in joints(results)}
    results["summary"] = {"gaps": told, "table": table(results)}
    checks = []
    for name, gap in told["joint"].items():
        below = None if gap["mean"] is None else -100 * gap["mean"]
        checks.append(
            harness.check(f"snips {name}: together below alone", below, reach=0.3, least=False, unit="points")
        )
    for name in TASKS:
        mean = cells.mean([cell["tasks"][name]["test"]["value"] for cell in of(results, "joint").values()])
        value = None if mean is None else 100 * mean
        checks.append(harness.check(f"snips {name}, together", value, reach=REACH[name], unit="%"))
    sizes = [cells.mean([c["bundle_bytes"] for c in of(results, which).values()]) for which in FITS]
    share = sizes[2] / (sizes[0] + sizes[1]) if all(sizes) else None
    checks.append(harness.check("snips: the joint bundle against both alone", share, reach=0.55, least=False))
    results["checks"] = checks
    results["machine"] = {**began, "load_after": os.getloadavg()[0]}


def table(results: Mapping[str, Any]) -> str:
    """Return the table of all fits as Markdown: means over the seeds, and the gaps to training alone."""
    heads = ("fit", "seeds", "intent accuracy [95 %]", "slots entity F1 [95 %]", "bundle MB", "examples/s", "train s")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    singles = sorted({cell["fit"] for cell in results["cells"].values() if not cell["fit"].startswith("joint")})
    for which in [*singles, *joints(results)]:
        found = list(of(results, which).values())
        if not found:
            continue
        figures = [
            cells.spread([cell["tasks"][name]["test"]["value"] for cell in found if name in cell["tasks"]])
            for name in TASKS
        ]
        means = {name: cells.mean([cell[name] for cell in found]) or 0.0
                 for name in ("bundle_bytes", "examples_per_second", "train_seconds")}  # fmt: skip
        row = [
            f"`{which}`" + (" (trial)" if any(cell["trial"] for cell in found) else ""), str(len(found)), *figures,
            f"{means['bundle_bytes'] / MEGABYTE:.1f}", f"{means['examples_per_second']:.0f}",
            f"{means['train_seconds']:.0f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(row)} |")
    if len(lines) == 2:
        return "Not measured yet.\n"
    told = [
        f"* `{which}`: " + "; ".join(f"{name} {cells.told(gap)}" for name, gap in gaps(results, which).items())
        for which in joints(results)
        if of(results, which)
    ]
    return "\n".join([*lines, "", *(["Together less alone, by seed:", "", *told] if told else [])]) + "\n"


def main() -> None:
    """Measure what is asked and not there yet; print all results."""
    parser = harness.options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--fits", nargs="+", default=list(FITS), metavar="FIT", help=f"default: {' '.join(FITS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="PATH=VALUE",
                        help="a setting of every fit, such as train.epochs=5")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="measure cells that are there again")
    given = parser.parse_args()
    for which in given.fits:
        if which not in TASKS and which.partition(":")[0] != "joint":
            raise SystemExit(f"'{which}' is neither intent, slots nor joint[:BALANCER].")
    kept = cells.Cells(given.out or harness.RESULTS / f"{NAME}.json", NAME)
    measure(given, kept)
    print(cells.text(kept.read()), end="")


if __name__ == "__main__":
    harness.start({"fit": fit}, main)
