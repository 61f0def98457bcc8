"""`graft predict` as a function: a source of texts becomes lines of answers, in order and in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from graftlm.bundle import open_bundle
from graftlm.contracts.reader import BadRows
from graftlm.prediction.lines import as_line
from graftlm.stages.applying import predict_rows
from graftlm.stages.reading import stream


def predict(
    run: Path | str,
    source: Any,
    *,
    task: str | None = None,
    columns: Mapping[str, str | list[str]] | None = None,
    all_probabilities: bool = False,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    batch_tokens: int | None = None,
    device: str = "auto",
    bad_rows: BadRows = "stop",
) -> Iterator[dict[str, Any]]:
    """Yield `{"id", "label", "probability"}` for each row of a source, in its order.

    `run` is the folder of a run or a bundle, `source` a file, "-" for standard input, a Hub name or an
    object in memory (a list of texts' dicts, a DataFrame). `task` names one of several
    tasks. The bundle is verified and the first rows are read before the model is loaded. Example:
    `list(predict("runs/intents", "texts.csv"))`.

    Raises:
        BundleError: the bundle is damaged, incomplete or not safe to open.
        DataError: the source cannot be read, or lacks a column that the model needs.
    """
    bundle = open_bundle(run, task)
    asked = bundle.task()
    chunks = asked.asked(stream(source, asked, columns, bad_rows=bad_rows))
    rows = predict_rows(bundle, chunks, precision=precision, batch_tokens=batch_tokens, device=device)
    for example, answer in rows:
        yield as_line(example, answer, detail=all_probabilities)
