"""What every benchmark shares: sides in fresh processes, turns, facts about the machine, results as JSON.

The process that measures imports nothing heavy: on Linux the peak memory of a child begins at what its
parent held when it was started.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
PACKAGES = ("graftlm", "torch", "transformers", "accelerate", "sentence-transformers", "scikit-learn", "numpy")

Side = Callable[..., dict[str, Any]]


class SideFailed(RuntimeError):
    """A side ended with an error."""


def start(sides: Mapping[str, Side], main: Callable[[], None]) -> None:
    """Run one side if this process was started as one, else the measuring itself."""
    if sys.argv[1:2] != ["--side"]:
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        main()
        return
    name, given, answer = sys.argv[2:5]
    measured = sides[name](**json.loads(Path(given).read_text(encoding="utf-8")))
    Path(answer).write_text(json.dumps(measured), encoding="utf-8")


def options(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each side")
    parser.add_argument("--rows", type=int, help="use only about so many training rows (a trial, not a result)")
    parser.add_argument("--model", default="minilm", help="minilm, tiny (random weights: a trial) or a model's folder")
    parser.add_argument("--out", type=Path, help="file of the result; default: results/NAME.json beside the script")
    return parser


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def say(text: str) -> None:
    """Tell how the measuring goes; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a side: its threads, and no network."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def command(arguments: Sequence[str], *, threads: int, folder: Path | None = None) -> dict[str, Any]:
    """Run a command to its end; return its wall seconds, its peak memory and its standard output.

    Raises:
        SideFailed: it ended with an error; the message has the end of what it said.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        began = time.monotonic()
        process = subprocess.Popen(
            list(arguments), stdout=said, stderr=complaints, env=environment(threads), cwd=folder
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # who is stopped leaves no side behind that goes on training
            process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        said.seek(0)
        complaints.seek(0)
        out, err = said.read(), complaints.read()
    if process.returncode:
        raise SideFailed(f"{' '.join(arguments)} ended with {process.returncode}:\n{(out + err)[-4000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "process_seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_bytes": usage.ru_maxrss * unit,
        "stdout": out,
    }


def side(script: str, name: str, *, threads: int, **given: Any) -> dict[str, Any]:
    """Run one side of a script in a fresh process; return what it measured, with its peak memory and wall seconds.

    Raises:
        SideFailed: it ended with an error.
    """
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        asked, answer = Path(folder, "asked.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(given), encoding="utf-8")
        ran = command([sys.executable, script, "--side", name, str(asked), str(answer)], threads=threads)
        measured = json.loads(answer.read_text(encoding="utf-8"))
    return {**measured, **{key: value for key, value in ran.items() if key != "stdout"}}


def timed(answer: Callable[[list[Any]], Any], asked: list[Any], passes: int) -> dict[str, Any]:
    """Warm up with a few rows, then time whole passes over all; the speed is that of the best pass."""
    answer(asked[:64])
    seconds = []
    for _ in range(passes):
        began = time.monotonic()
        answer(asked)
        seconds.append(time.monotonic() - began)
    return {"examples_per_second": len(asked) / min(seconds), "seconds": seconds, "rows": len(asked)}


def machine(threads: int) -> dict[str, Any]:
    """Return the facts that a figure depends on; `load` is the load average over the last minute."""
    cpu = _cpu()
    return {
        "cpu": cpu["model"],
        "flags": [flag for flag in CPU_FLAGS if flag in cpu["flags"]],
        "cores": cores(),
        "threads": threads,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "load": os.getloadavg()[0],
    }


def _cpu() -> dict[str, Any]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"model": platform.processor() or platform.machine(), "flags": set()}
    found: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        found[key.strip()] = value.strip()
    flags = set(found.get("flags", found.get("Features", "")).split())
    return {"model": found.get("model name") or platform.machine(), "flags": flags}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit, with a + where source files differ from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/src", ":/benchmarks/*.py")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def _git(*arguments: str) -> str:
    asked = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return statistics.fmean(values)


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio of each pair of measurements that were made one after the other."""
    return [a / b for a, b in zip(over, under, strict=True)]


def check(what: str, value: float | None, *, reach: float, least: bool = True, unit: str = "") -> dict[str, Any]:
    """Return one line of the table of what is to be reached; `least`: the value must be at least `reach`."""
    reached = None if value is None else bool(value >= reach if least else value <= reach)
    return {"what": what, "value": value, "unit": unit, "reach": reach, "least": least, "reached": reached}


def report(
    name: str,
    given: argparse.Namespace,
    began: Mapping[str, Any],
    *,
    complete: bool,
    summary: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    runs: Any,
    aloud: bool = True,
) -> None:
    """Write the result to its file and, unless more of it comes, to standard output.

    `complete` tells whether it was measured as its target asks: full data, the real model, all seeds.
    """
    result = {
        "name": name,
        "complete": complete,
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()},
        "machine": {**began, "load_after": os.getloadavg()[0]},
        "summary": dict(summary),
        "checks": list(checks),
        "runs": runs,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    path = given.out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    if aloud:
        print(text, end="")
