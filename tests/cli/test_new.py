"""graft new: says what it wrote and what to do next."""

from __future__ import annotations

from graftlm.cli.main import main


def test_it_says_what_it_wrote_and_what_to_do(tmp_path, capsys):
    assert main(["new", "loss", "fading", "--folder", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"Wrote {tmp_path / 'fading.py'}" in shown
    assert "Now fill in the places that begin with '(fill in:'" in shown
    assert '[project.entry-points."graftlm.loss"]\nfading = "your_package.fading"' in shown
    assert main(["new", "loss", "fading", "--folder", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
