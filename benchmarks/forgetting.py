"""What a second task costs the first one: clinc150, then banking77 on the same backbone, by every method that holds.

    python benchmarks/forgetting.py --seeds 0 1 2
    python benchmarks/forgetting.py --methods full replay ewc:strength=1000 wise_ft:share=0.3 --rows 3000
    python benchmarks/forgetting.py --choose
    python benchmarks/forgetting.py --confirm

A first run is trained on clinc150 and kept in --runs; then each cell (row, seed) starts from its bundle, is trained on
banking77, and the first run's own head is judged on the encoder that came of it, as `graft fit --remember` does it. A
row is written as in methods.py; `run` of its parts is filled in. Rows that need an earlier run of their own kind
(`o_lora`, `synaptic_intelligence`) have a first run with that method. Cells stand in results/forgetting.json at once;
those that are there are not measured again. `--rows` and `--epochs` make it shorter, and the table says so. clinc150 is
its 150 intents: rows that belong to none are 0.7 % of those to train on but 18 % of the test rows, where an encoder
that calls more texts unknown seems to have gained.

The validation rows of both sets choose: the row with the highest sum of both accuracies among those that forget at most
30 % of what plain fine-tuning forgets and lose at most one point on banking77.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cells
import fits
import harness
import texts

NAME = "forgetting"
PLAIN = "full"
HOLDS = (
    "l2_sp", "ewc", "online_ewc", "mas", "synaptic_intelligence", "lwf", "kl_to_base", "replay", "o_lora", "osf",
    "wise_ft", "remember:forget_at_most=1.0",
)  # fmt: skip
"""Rows that hold what was learnt before; one of these, or of their variants, is chosen."""
BESIDE = ("rec_adam", "freeze", "lora", "probe")
"""Rows that are shown to compare with."""
ROWS = (PLAIN, *HOLDS, *BESIDE)
LEAVES = ("o_lora", "synaptic_intelligence")
"""Methods whose earlier run has to leave something for them."""
FRESH = (100, 101, 102)
GONE, COST = 0.7, 0.01


def first(seed: int, model: str, folder: str, row: str, files: dict[str, str], epochs: float | None) -> dict[str, Any]:
    """Train on the first task; the run stays in `folder`, beside the base model it began with."""
    (arguments,) = cells.steps(row)
    place = Path(folder)
    run = place / "run"
    return fits.fit(
        files["train"], folder=str(run), base=fits.model_folder(model, place), seed=seed, valid=files["valid"],
        test=files["test"], baselines="none", resume=run.is_dir(), epochs=epochs, **arguments,
    )  # fmt: skip


def then(seed: int, row: str, run: str, files: dict[str, str], epochs: float | None) -> dict[str, Any]:
    """Train on the second task from the first run's bundle; return both accuracies, or why it cannot be."""
    from graftlm.core import registry
    from graftlm.core.errors import GraftError

    (arguments,) = cells.steps(row)
    for kind, parts in (("method", arguments["method"]), ("loss", arguments["loss"] or [])):
        for number, part in enumerate(parts):
            given = part if isinstance(part, dict) else {"use": part}
            fields: Any = registry.load(kind, given["use"]).model_fields
            named = {"run": run} if "run" in fields else {"runs": [run]} if kind == "loss" and "runs" in fields else {}
            parts[number] = {**named, **given}
    # with a budget the loss on the validation rows is told as well; this one is always met
    settings = {"remember.forget_at_most": 100, **arguments["settings"], "remember.runs": [run]}
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        try:
            found = fits.fit(
                files["train"], test=files["test"], folder=str(Path(folder, "run")), base=str(Path(run, "bundle")),
                seed=seed, baselines="none", epochs=epochs, **{**arguments, "settings": settings},
            )  # fmt: skip
        except GraftError as fault:
            return {"refused": cells.reason(fault).split(" The run lies in")[0]}
    tree = found["remember"]
    old, taken = tree["runs"][0], next(one for one in tree["tried"] if one["share"] == tree["share"])
    before = json.loads(Path(run, "metrics.json").read_text(encoding="utf-8"))["metrics"]["valid"]["accuracy"]["value"]
    return {
        "valid": taken["score"], "test": found["accuracy"],
        "first_before": old["before"]["value"], "first_after": old["after"]["value"],
        "forgotten": old["forgotten"]["gain"], "first_before_valid": before, "forgotten_valid": taken["forgotten"],
        "share": tree["share"], "parameters": found["parameters"], "examples_per_second": found["examples_per_second"],
        "train_seconds": found["timing"]["seconds"].get("train"),
        "epochs": found["planned"]["epochs"] if found["planned"] else None,
        "trained_peak_memory_bytes": found["trained_peak_memory_bytes"],
    }  # fmt: skip


def how(given: argparse.Namespace) -> str:
    """Return what makes a measurement shorter than it should be; empty where nothing does."""
    told = {"model": given.model if given.model != "minilm" else None, "rows": given.rows, "epochs": given.epochs}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)


def beginning(row: str) -> str:
    """Return the row of the first run that a row needs."""
    name = row.split(":")[0].split("+")[0]
    return row if name in LEAVES else PLAIN


def data(given: argparse.Namespace, name: str, seed: int, place: Path) -> dict[str, str]:
    """Return the files of a set, the training rows cut where that is asked."""
    files = texts.data_set(name)
    if name == "clinc150":
        files = texts.without(files, "oos", place)
    if given.rows:
        place.mkdir(parents=True, exist_ok=True)
        files |= {"train": texts.part_of(files["train"], given.rows, seed, place)}
    return files


def measure(given: argparse.Namespace, kept: cells.Cells, wanted: Sequence[str], seed: int) -> None:
    """Measure the cells of one seed that are not there yet."""
    for row in wanted:
        one = "|".join([row, str(seed), *([how(given)] if how(given) else [])])
        with kept.claimed(one) as mine:
            there = kept.read()["cells"].get(one)
            stale = there is not None and (given.again == "all" or (given.again == "failed" and "test" not in there))
            if not mine or (there is not None and not stale):
                continue
            began = harness.machine(given.threads)
            try:
                run = _first(given, beginning(row), seed)
                with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
                    files = data(given, "banking77", seed, Path(folder))
                    cell = harness.side(
                        __file__, "then", threads=given.threads, seed=seed, row=row, run=str(run), files=files,
                        epochs=given.epochs,
                    )  # fmt: skip
            except harness.SideFailed as fault:
                cell = {"failed": cells.reason(fault, last=True)}
            facts = {name: began[name] for name in ("commit", "date", "load", "threads")}
            cell |= {"row": row, "seed": seed, "how": how(given), "trial": bool(how(given)), "machine": facts}
            with kept.changing() as results:
                results["cells"][one] = cell
                summarise(results, began)
            harness.say(f"{row}, seed {seed}: {said(cell)}")


def _first(given: argparse.Namespace, row: str, seed: int) -> Path:
    """Return the folder of the first run, which is trained if it is not there."""
    mark = "".join(letter if letter.isalnum() else "-" for letter in f"{row}-{seed}-{how(given)}").strip("-")
    place = (given.runs / mark).resolve()
    with cells.lock(str(place), wait=True):
        if not (place / "run" / "metrics.json").is_file():
            harness.say(f"first run, {row}, seed {seed}")
            place.mkdir(parents=True, exist_ok=True)
            files = data(given, "clinc150", seed, place)
            harness.side(
                __file__, "first", threads=given.threads, seed=seed, model=given.model, folder=str(place), row=row,
                files=files, epochs=given.epochs,
            )  # fmt: skip
    return place / "run"


def said(cell: Mapping[str, Any]) -> str:
    """Return one line about a cell."""
    return cells.not_possible(cell) or (
        f"forgotten {cells.points(cell['forgotten'])} points of clinc150, banking77 {cells.points(cell['test'])} %, "
        f"{cell['process_seconds']:.0f} s"
    )


def of(results: Mapping[str, Any], short: str, row: str, seeds: Sequence[int] | None = None) -> dict[int, Any]:
    """Return the cells of a row that have figures, by seed."""
    found = {
        cell["seed"]: cell
        for cell in results["cells"].values()
        if cell["how"] == short and cell["row"] == row and "test" in cell
    }
    return {seed: found[seed] for seed in sorted(found) if seeds is None or seed in seeds}


def gone(mine: Mapping[int, Any], plain: Mapping[int, Any], name: str = "forgotten") -> float | None:
    """Return the share of plain fine-tuning's forgetting that a row does not have, over the seeds of both."""
    both = sorted(set(mine) & set(plain))
    lost = sum(plain[seed][name] for seed in both)
    return None if lost <= 0 else 1 - sum(mine[seed][name] for seed in both) / lost


def holds(row: str) -> bool:
    """Tell whether a part of a row is there to hold what was learnt before."""
    known = {one.split(":")[0] for one in HOLDS}
    return any(part.split(":")[0] in known for part in row.split("+"))


def choose(results: Mapping[str, Any], short: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the row that the validation rows choose.

    Raises:
        SystemExit: plain fine-tuning, or everything else, was not measured with all these seeds; nothing was forgotten.
    """
    plain = of(results, short, PLAIN, seeds)
    if set(plain) != set(seeds):
        raise SystemExit(f"'{PLAIN}' was not measured with the seeds {list(seeds)} yet; measure it first.")
    usual = cells.mean([cell["valid"] for cell in plain.values()]) or 0.0
    told = []
    for row in dict.fromkeys(cell["row"] for cell in results["cells"].values() if cell["how"] == short):
        mine = of(results, short, row, seeds)
        if not holds(row) or set(mine) != set(seeds):
            continue
        valid = cells.mean([cell["valid"] for cell in mine.values()]) or 0.0
        left = cells.mean([cell["first_before_valid"] - cell["forgotten_valid"] for cell in mine.values()]) or 0.0
        share = gone(mine, plain, "forgotten_valid")
        if share is None:
            raise SystemExit("Plain fine-tuning forgot nothing on the validation rows: there is nothing to choose.")
        within = share >= GONE and usual - valid <= COST
        told.append({"row": row, "valid": valid, "first_valid": left, "gone_valid": share, "within": within})
    if not told:
        raise SystemExit(f"Nothing that holds was measured with the seeds {list(seeds)} yet; measure more first.")
    told.sort(key=lambda one: (-one["within"], -(one["valid"] + one["first_valid"]), one["row"]))
    for one in told:
        mark = "within" if one["within"] else "not within"
        harness.say(
            f"{mark}: {one['row']}: banking77 {cells.points(one['valid'], 2)} ({100 * (one['valid'] - usual):+.2f}), "
            f"clinc150 {cells.points(one['first_valid'], 2)}, {100 * one['gone_valid']:.0f} % of the forgetting gone"
        )
    return {**told[0], "seeds": list(seeds), "of": len(told)}


def confirm(results: Mapping[str, Any], short: str, chosen: Mapping[str, Any], fresh: Sequence[int]) -> dict[str, Any]:
    """Return, on the test rows and by fresh seeds, what the chosen row leaves of the forgetting and what it costs."""
    mine, plain = (of(results, short, row, fresh) for row in (chosen["row"], PLAIN))

    def by_seed(found: Mapping[int, Any], name: str) -> dict[int, float]:
        return {seed: cell[name] for seed, cell in found.items()}

    return {
        **chosen,
        "fresh": list(fresh),
        "gone": gone(mine, plain),
        "kept": cells.differences(by_seed(plain, "forgotten"), by_seed(mine, "forgotten")),
        "gain": cells.differences(by_seed(mine, "test"), by_seed(plain, "test")),
        "forgotten": {row: cells.mean([cell["forgotten"] for cell in of(results, short, row, fresh).values()])
                      for row in (PLAIN, chosen["row"])},
    }  # fmt: skip


def summarise(results: dict[str, Any], began: Mapping[str, Any]) -> None:
    """Put what follows from the cells beside them."""
    results["complete"] = not any(cell["trial"] for cell in results["cells"].values())
    results["summary"] = {"table": tables(results)}
    results["checks"] = checks(results)
    results["machine"] = {**began, "load_after": os.getloadavg()[0]}


def checks(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached: of the confirmed row of full length, else of a shorter one."""
    known = results.get("confirmed", {})
    one = known.get("") or next(iter(known.values()), None)
    share, gain = (one["gone"], one["gain"]["mean"]) if one else (None, None)
    gone_part = None if share is None else 100 * share
    cost = None if gain is None else -100 * gain
    return [
        harness.check("clinc150 then banking77: forgetting that disappears", gone_part, reach=100 * GONE, unit="%"),
        harness.check("clinc150 then banking77: cost on banking77", cost, reach=100 * COST, least=False, unit="points"),
    ]


def tables(results: Mapping[str, Any]) -> str:
    """Return a table for each way it was run as Markdown."""
    told = []
    for short in sorted({cell["how"] for cell in results["cells"].values()} | {""}):
        told += [f"### {f'Shorter: {short}' if short else 'All rows'}\n", table(results, short)]
        one = results.get("confirmed", {}).get(short)
        if one:
            left = one["forgotten"]
            share = "-" if one["gone"] is None else f"{100 * one['gone']:.0f} %"
            told.append(
                f"Chosen on the validation rows of the seeds {', '.join(map(str, one['seeds']))}, of {one['of']} rows: "
                f"`{one['row']}`{'' if one['within'] else ', though none keeps within both bounds there'}. On the test "
                f"rows, with the fresh seeds {', '.join(map(str, one['fresh']))}: plain fine-tuning forgets "
                f"{cells.points(left[PLAIN], 2)} points, the chosen row {cells.points(left[one['row']], 2)}, so that "
                f"{share} of the forgetting disappears ({cells.told(one['kept'])}); banking77 "
                f"{cells.told(one['gain'])}.\n"
            )
    return "\n".join(told)


def table(results: Mapping[str, Any], short: str) -> str:
    """Return the table of one way it was run."""
    found = [cell for cell in results["cells"].values() if cell["how"] == short]
    plain = {seed: cell for seed, cell in of(results, short, PLAIN).items() if seed not in FRESH}
    heads = (
        "row", "seeds", "clinc150 before", "after", "forgotten [95 %]", "gone", "banking77 [95 %]", "against plain",
        "validation: gone", "banking77",
    )  # fmt: skip
    told = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    missing: list[str] = []
    for row in [*ROWS, *(row for row in dict.fromkeys(cell["row"] for cell in found) if row not in ROWS)]:
        mine = {seed: cell for seed, cell in of(results, short, row).items() if seed not in FRESH}
        if not mine:
            faults = [cell.get("refused") or cell.get("failed") for cell in found if cell["row"] == row]
            faults = [fault for fault in faults if fault]
            if faults:
                told.append(f"| `{row}` | 0 | {faults[0].replace('|', '/')} |" + " |" * 7)
            elif row not in missing:
                missing.append(row)
            continue
        column = {name: [cell[name] for cell in mine.values()] for name in next(iter(mine.values()))}
        both = cells.differences(
            {seed: cell["test"] for seed, cell in mine.items()}, {seed: cell["test"] for seed, cell in plain.items()}
        )
        less, less_valid = (gone(mine, plain, name) for name in ("forgotten", "forgotten_valid"))
        line = [
            f"`{row}`", str(len(mine)), cells.points(cells.mean(column["first_before"])),
            cells.points(cells.mean(column["first_after"])), cells.spread(column["forgotten"]),
            "-" if less is None or row == PLAIN else f"{100 * less:.0f} %", cells.spread(column["test"]),
            "-" if both["mean"] is None or row == PLAIN else f"{100 * both['mean']:+.1f}",
            "-" if less_valid is None or row == PLAIN else f"{100 * less_valid:.0f} %",
            cells.points(cells.mean(column["valid"])),
        ]  # fmt: skip
        told.append(f"| {' | '.join(line)} |")
    if len(told) == 2:
        return "Not measured yet.\n"
    rest = f"\nNot measured yet: {', '.join(f'`{row}`' for row in missing)}.\n" if missing else ""
    return "\n".join(told) + f"\n{rest}"


def main() -> None:
    """Measure what is asked and not there yet; or choose, or confirm."""
    parser = harness.options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--methods", nargs="+", default=list(ROWS), metavar="ROW", help="rows to measure; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--epochs", type=float, help="epochs of both runs; default: chosen by their size")
    place = harness.HERE.parent / "runs" / NAME
    parser.add_argument("--runs", type=Path, default=place, help="folder of the first runs; default: runs/forgetting")
    parser.add_argument(
        "--again", nargs="?", const="all", choices=["all", "failed"], help="measure cells that are there again"
    )
    parser.add_argument("--choose", action="store_true", help="measure nothing; rank the rows on the validation rows")
    parser.add_argument("--confirm", action="store_true", help="measure the chosen row and plain full on fresh seeds")
    parser.add_argument("--fresh", type=int, nargs="+", default=list(FRESH), help="seeds for --confirm")
    parser.add_argument("--clear", action="store_true", help="remove the first runs at the end")
    given = parser.parse_args()
    kept = cells.Cells(given.out or harness.RESULTS / f"{NAME}.json", NAME)
    for row in given.methods:
        cells.steps(row)
    if given.choose:
        print(json.dumps(choose(kept.read(), how(given), given.seeds)))
        return
    if given.confirm:
        chosen = choose(kept.read(), how(given), given.seeds)
        for seed in given.fresh:
            measure(given, kept, [PLAIN, chosen["row"]], seed)
        with kept.changing() as results:
            results.setdefault("confirmed", {})[how(given)] = confirm(results, how(given), chosen, given.fresh)
            summarise(results, harness.machine(given.threads))
    else:
        for seed in given.seeds:
            measure(given, kept, given.methods, seed)
    if given.clear:
        shutil.rmtree(given.runs, ignore_errors=True)
    results = kept.read()
    print(results["summary"]["table"] if "summary" in results else "Nothing is measured yet.")


if __name__ == "__main__":
    harness.start({"first": first, "then": then}, main)
