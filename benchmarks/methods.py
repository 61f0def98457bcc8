"""Every method, and every loss beside `full`, on Banking77: accuracy, trained parameters, bundle, speed, memory.

    python benchmarks/methods.py --cut 8 --seeds 0 1 2
    python benchmarks/methods.py --cut whole --methods full lora r_drop supervised_contrastive/probe
    python benchmarks/methods.py --cut 8 --choose
    python benchmarks/methods.py --cut 8 --confirm

Each cell (cut, row, seed) is one fit in a process of its own and stands in results/methods.json at once; cells that
are there are not measured again. A row is a name or a combination, as cells.py says. The cut `8` has 8 training rows of
each class and 8 others of each class to validate, `5%` a twentieth of each class and as many others to validate,
`whole` all rows but a tenth that is cut off to validate; the test rows are the whole test file, answered once, at the
end. The rows are drawn with the seed, the same for every method. Validation rows choose the epoch and, over the seeds,
the method.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cells
import fits
import harness
import texts

NAME = "methods"
CUTS: dict[str, float | int | None] = {"whole": None, "8": 8, "5%": 0.05}
PLAIN = "full:head=random"
"""Plain full fine-tuning, as most people do it: every parameter from the base's weights, the head from random ones."""
USUAL = "full"
CHAINS = ("supervised_contrastive/probe",)
WITH_BASELINES = "probe"
"""The row whose fit has the task's baselines beside it: it costs seconds."""
FRESH = (100, 101, 102, 103, 104)
MEGABYTE = 1e6


def rows() -> list[str]:
    """Return the rows of the whole table."""
    first = [PLAIN, USUAL, WITH_BASELINES]
    return [*first, *(name for name in cells.names("method") if name not in first), *cells.names("loss"), *CHAINS]


def fit(row: str, seed: int, model: str, train: str, test: str, valid: str | None) -> dict[str, Any]:
    """Fit one row, several fits where it is a chain; return what the last one came to, or why it cannot be."""
    from graftlm.core.errors import UserError

    chain = cells.steps(row)
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        base, found = fits.model_folder(model, Path(folder)), []
        for number, arguments in enumerate(chain):
            last = number == len(chain) - 1
            place = Path(folder, f"fit-{number}")
            try:
                found.append(
                    fits.fit(
                        train, folder=str(place), base=base, seed=seed, valid=valid, test=test if last else None,
                        **arguments, **({} if row == WITH_BASELINES else {"baselines": "none"}),
                    )
                )  # fmt: skip
            except UserError as fault:
                return {"refused": cells.reason(fault)}
            base = str(place / "bundle")
    first, end = found[0], found[-1]
    return {
        "valid": end["valid"],
        "test": end["accuracy"],
        "parameters": first["parameters"],
        "bundle_bytes": end["bundle_bytes"],
        "examples_per_second": first["examples_per_second"],
        "trained_peak_memory_bytes": max(one["trained_peak_memory_bytes"] or 0 for one in found),
        "train_seconds": sum(one["timing"]["seconds"].get("train", 0.0) for one in found),
        "epochs": first["planned"]["epochs"] if first["planned"] else None,
        **({"baselines": end["baselines"]} if row == WITH_BASELINES else {}),
    }


def measure(given: argparse.Namespace, kept: cells.Cells, wanted: Sequence[str], cut: str, seed: int) -> None:
    """Measure the cells of one cut and seed that are not there yet."""
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        files = texts.data_set("banking77")
        if given.rows:
            files = texts.cut(files, given.rows, Path(folder))
        share = CUTS[cut]
        if share is not None:
            files |= texts.drawn(files["train"], share, seed, Path(folder))
        for row in wanted:
            one = key(given, cut, row, seed)
            with kept.claimed(one) as mine:
                there = kept.read()["cells"].get(one)
                if not mine or (there is not None and not again(given.again, there)):
                    continue
                began = harness.machine(given.threads)
                try:
                    cell = harness.side(
                        __file__, "fit", threads=given.threads, row=row, seed=seed, model=given.model,
                        train=files["train"], test=files["test"], valid=files.get("valid"),
                    )  # fmt: skip
                except harness.SideFailed as fault:
                    cell = {"failed": cells.reason(fault, last=True)}
                facts = {name: began[name] for name in ("commit", "date", "load", "threads")}
                cell |= {"cut": cut, "row": row, "seed": seed, "trial": trial(given), "machine": facts}
                with kept.changing() as results:
                    results["cells"][one] = cell
                    summarise(results, began)
                harness.say(f"{cut}, {row}, seed {seed}: {said(cell)}")


def key(given: argparse.Namespace, cut: str, row: str, seed: int) -> str:
    """Return the name of a cell; a trial does not stand in the way of a result."""
    return "|".join([cut, row, str(seed), *([given.model, f"rows={given.rows}"] if trial(given) else [])])


def trial(given: argparse.Namespace) -> bool:
    """Tell whether fewer rows or another model are used than the table asks."""
    return bool(given.rows) or given.model != "minilm"


def again(asked: str | None, cell: Mapping[str, Any]) -> bool:
    """Tell whether a cell that is there is measured again."""
    return asked == "all" or (asked == "failed" and ("failed" in cell or "refused" in cell))


def said(cell: Mapping[str, Any]) -> str:
    """Return one line about a cell."""
    return cells.not_possible(cell) or (
        f"validation {cells.points(cell['valid'])} %, test {cells.points(cell['test'])} %, "
        f"{cell['process_seconds']:.0f} s"
    )


def of(results: Mapping[str, Any], cut: str, row: str, seeds: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return the cells of a row that have figures; of trials only where there is nothing else."""
    found = [
        cell
        for cell in results["cells"].values()
        if cell["cut"] == cut and cell["row"] == row and (seeds is None or cell["seed"] in seeds) and "test" in cell
    ]
    real = [cell for cell in found if not cell["trial"]]
    return sorted(real or found, key=lambda cell: int(cell["seed"]))


def ranking(results: Mapping[str, Any], cut: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows that were measured with all seeds, best first by their mean validation accuracy."""
    told = []
    for row in dict.fromkeys(cell["row"] for cell in results["cells"].values() if cell["cut"] == cut):
        found = of(results, cut, row, seeds)
        if {cell["seed"] for cell in found} == set(seeds):
            valid = cells.mean([cell["valid"] for cell in found])
            told.append({"row": row, "valid": valid, "test": cells.mean([cell["test"] for cell in found])})
    return sorted(told, key=lambda one: (-one["valid"], one["row"]))


def choose(results: Mapping[str, Any], cut: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the row that the validation rows choose.

    Raises:
        SystemExit: no row was measured with all these seeds.
    """
    order = ranking(results, cut, seeds)
    if not order:
        raise SystemExit(
            f"No row of the cut '{cut}' was measured with the seeds {list(seeds)} yet; measure some first."
        )
    for one in order:
        harness.say(f"{cells.points(one['valid'], 2)} validation, {cells.points(one['test'], 2)} test: {one['row']}")
    return {**order[0], "seeds": list(seeds), "of": len(order)}


def confirm(results: Mapping[str, Any], cut: str, chosen: Mapping[str, Any], fresh: Sequence[int]) -> dict[str, Any]:
    """Return the chosen row's differences on the test rows, by fresh seeds, from plain and from our usual fit."""
    mine = {cell["seed"]: cell["test"] for cell in of(results, cut, chosen["row"], fresh)}
    against = {}
    for other in (PLAIN, USUAL):
        theirs = {cell["seed"]: cell["test"] for cell in of(results, cut, other, fresh)}
        against[other] = {**cells.differences(mine, theirs), "test": cells.mean(list(theirs.values()))}
    return {**chosen, "fresh": list(fresh), "fresh_test": cells.mean(list(mine.values())), "against": against}


def summarise(results: dict[str, Any], began: Mapping[str, Any]) -> None:
    """Put what follows from the cells beside them."""
    wanted = rows()
    wanted += [row for row in dict.fromkeys(cell["row"] for cell in results["cells"].values()) if row not in wanted]
    results["complete"] = not any(cell["trial"] for cell in results["cells"].values())
    results["summary"] = {"table": tables(results, wanted)}
    results["checks"] = checks(results)
    results["machine"] = {**began, "load_after": os.getloadavg()[0]}


def line(results: Mapping[str, Any], cut: str, row: str) -> dict[str, Any]:
    """Return what a row came to over the seeds that were not kept for confirming."""
    found = [cell for cell in of(results, cut, row) if cell["seed"] not in FRESH]
    faults = [
        cell.get("refused") or cell.get("failed")
        for cell in results["cells"].values()
        if cell["cut"] == cut and cell["row"] == row and "test" not in cell
    ]
    figures = {
        name: cells.mean([cell[name] for cell in found])
        for name in ("bundle_bytes", "examples_per_second", "trained_peak_memory_bytes", "train_seconds", "epochs")
    }
    return {
        "row": row,
        "seeds": [cell["seed"] for cell in found],
        "trial": any(cell["trial"] for cell in found),
        "valid": [cell["valid"] for cell in found],
        "test": [cell["test"] for cell in found],
        "parameters": found[0]["parameters"] if found else None,
        "fault": faults[0] if faults and not found else None,
        **figures,
    }


def baselines(results: Mapping[str, Any], cut: str) -> dict[str, float | None]:
    """Return the mean test accuracy of each baseline."""
    found = [cell["baselines"] for cell in of(results, cut, WITH_BASELINES) if cell.get("baselines")]
    return {name: cells.mean([one[name]["test"] for one in found]) for name in (found[0] if found else ())}


def best_lora(results: Mapping[str, Any]) -> tuple[str, dict[int, dict[str, Any]]]:
    """Return the row of LoRA, with its cells by seed, that the validation rows choose of those with the most seeds."""
    known = dict.fromkeys(cell["row"] for cell in results["cells"].values() if cell["cut"] == "whole")
    rows = {row: of(results, "whole", row) for row in known if re.match(r"lora\b(?!.*[/]|:merge)", row)}
    most = max((len(found) for found in rows.values()), default=0)
    there = {row: found for row, found in rows.items() if found and len(found) == most}
    if not there:
        return "lora", {}
    best = max(there, key=lambda row: (cells.mean([cell["valid"] for cell in there[row]]), row))
    return best, {cell["seed"]: cell for cell in there[best]}


def checks(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached."""
    full = {cell["seed"]: cell for cell in of(results, "whole", USUAL)}
    row, lora = best_lora(results)
    both = sorted(set(full) & set(lora))
    gap = cells.mean([100 * (full[seed]["test"] - lora[seed]["test"]) for seed in both])
    told = lora[both[0]]["parameters"] if both else None
    share = 100 * told["trained"] / told["of"] if told else None
    found = [
        harness.check(f"{row} below full on Banking77", gap, reach=0.6, least=False, unit="points"),
        harness.check(f"{row}: parameters that train", share, reach=2.0, least=False, unit="%"),
    ]
    unmerged = of(results, "whole", "lora:merge=false")
    if unmerged:
        size = unmerged[0]["bundle_bytes"] / MEGABYTE
        found.append(harness.check("lora, not merged: bundle", size, reach=5.0, least=False, unit="MB"))
    for cut in ("8", "5%"):
        one = results.get("confirmed", {}).get(cut)
        if one is None and cut != "8":
            continue
        between = one["against"][PLAIN]["interval"] if one else None
        what = f"chosen on validation rows over plain full fine-tuning, {_cut(cut)}: lower end of the interval"
        found.append(harness.check(what, 100 * between[0] if between else None, reach=0, unit="points"))
    return found


def _cut(cut: str) -> str:
    return {"whole": "all rows", "8": "8 rows a class", "5%": "5 % of the rows"}[cut]


def tables(results: Mapping[str, Any], wanted: Sequence[str]) -> str:
    """Return the tables of all cuts as Markdown."""
    told = []
    for cut in CUTS:
        told += [f"### {_cut(cut)[0].upper()}{_cut(cut)[1:]}\n", table([line(results, cut, row) for row in wanted])]
        known = {name: value for name, value in baselines(results, cut).items() if value is not None}
        if known:
            told.append(f"Baselines: {', '.join(f'{name} {cells.points(value)}' for name, value in known.items())}.\n")
        one = results.get("confirmed", {}).get(cut)
        if one:
            against = "; ".join(f"over `{other}` {cells.told(each)}" for other, each in one["against"].items())
            told.append(
                f"Chosen on the validation rows of the seeds {', '.join(map(str, one['seeds']))}, of {one['of']} rows "
                f"of this table: `{one['row']}`. On the test rows, with the fresh seeds "
                f"{', '.join(map(str, one['fresh']))}: {cells.points(one['fresh_test'])} %, {against}.\n"
            )
    return "\n".join(told)


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of one cut, best first by the validation rows."""
    heads = ("row", "seeds", "validation", "test [95 %]", "trained", "bundle MB", "examples/s", "memory MiB", "train s")
    missing = [f"`{one['row']}`" for one in lines if not one["test"] and not one["fault"]]
    if len(missing) == len(lines):
        return "Not measured yet.\n"
    told = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in sorted(lines, key=lambda one: -(cells.mean(one["valid"]) or -1)):
        name = f"`{one['row']}`" + (" (trial)" if one["trial"] else "")
        if not one["test"]:
            if one["fault"]:
                fault = one["fault"].replace("|", "/")
                told.append(f"| {name} | 0 | {fault} |" + " |" * (len(heads) - 3))
            continue
        trains = one["parameters"]
        part = (
            "-" if not trains else f"{trains['trained'] / 1e6:.2f} M ({100 * trains['trained'] / trains['of']:.1f} %)"
        )
        speed = "-" if one["examples_per_second"] is None else f"{one['examples_per_second']:.0f}"
        row = [
            name, str(len(one["seeds"])), cells.points(cells.mean(one["valid"])), cells.spread(one["test"]), part,
            f"{one['bundle_bytes'] / MEGABYTE:.1f}", speed,
            f"{one['trained_peak_memory_bytes'] / 2**20:,.0f}", f"{one['train_seconds']:.0f}",
        ]  # fmt: skip
        told.append(f"| {' | '.join(row)} |")
    rest = f"\nNot measured yet: {', '.join(missing)}.\n" if missing else ""
    return "\n".join(told) + f"\n{rest}"


def main() -> None:
    """Measure what is asked and not there yet; or choose, or confirm."""
    parser = harness.options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--methods", nargs="+", default=None, metavar="ROW", help="rows to measure; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--cut", nargs="+", default=["8"], choices=list(CUTS), help="rows to train on; default: 8")
    parser.add_argument(
        "--again", nargs="?", const="all", choices=["all", "failed"], help="measure cells that are there again"
    )
    parser.add_argument("--choose", action="store_true", help="measure nothing; rank the rows on the validation rows")
    parser.add_argument("--confirm", action="store_true", help="measure the chosen row and full on fresh seeds")
    parser.add_argument("--fresh", type=int, nargs="+", default=list(FRESH), help="seeds for --confirm")
    given = parser.parse_args()
    kept = cells.Cells(given.out or harness.RESULTS / f"{NAME}.json", NAME)
    wanted = given.methods or rows()
    for row in wanted:
        cells.steps(row)
    for cut in given.cut:
        if given.choose:
            print(json.dumps(choose(kept.read(), cut, given.seeds)))
        elif given.confirm:
            chosen = choose(kept.read(), cut, given.seeds)
            for seed in given.fresh:
                measure(given, kept, list(dict.fromkeys([chosen["row"], PLAIN, USUAL])), cut, seed)
            with kept.changing() as results:
                found = confirm(results, cut, chosen, given.fresh)
                results.setdefault("confirmed", {})[cut] = found
                summarise(results, harness.machine(given.threads))
            for other, difference in found["against"].items():
                harness.say(f"{cut}: {chosen['row']} over {other}: {cells.told(difference)}")
        else:
            for seed in given.seeds:
                measure(given, kept, wanted, cut, seed)
    if not given.choose:
        results = kept.read()
        print(results["summary"]["table"] if "summary" in results else "Nothing is measured yet.")


if __name__ == "__main__":
    harness.start({"fit": fit}, main)
