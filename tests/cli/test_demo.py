"""graft demo: the sample data through the same fit, here on the tiny backbone."""

from __future__ import annotations

import json

from graftlm.cli.main import main


def test_it_fits_the_sample_data(tmp_path, capsys):
    out = tmp_path / "run"
    args = "--method full --baselines none --baselines majority --device cpu --json".split()
    small = [
        "backbone=tiny",
        "data.limit=200",
        "train.epochs=1",
        "train.precision=fp32",
        "evaluate.resamples=100",
        "data.bad_rows=keep",
    ]
    settings = [part for one in (*small, "methods.0.head=random") for part in ("--set", one)]
    assert main(["demo", "--out", str(out), *args, *settings]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["primary"]["n"] == 3080
    assert (out / "bundle").is_dir()
    rows = json.loads((out / "data.json").read_text(encoding="utf-8"))["counts"]
    assert rows["train"]["rows"] == 200
