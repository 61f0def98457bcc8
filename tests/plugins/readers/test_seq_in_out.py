"""Intents and slots in three files side by side."""

from __future__ import annotations

import pytest

from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.reading import read
from graftlm.stages.reading.sources import find

TEXTS = ["play some jazz", "放一首 周杰伦 的歌", "fly to New York"]
TAGS = ["O O B-genre", "O B-artist O", "O O B-city I-city"]
LABELS = ["PlayMusic", "PlayMusic", "BookFlight"]


def write(folder, stem="", texts=TEXTS, tags=TAGS, labels=LABELS):
    for name, lines in (("seq.in", texts), ("seq.out", tags), ("label", labels)):
        if lines:
            (folder / f"{stem}{name}").write_text("".join(f"{line} \n" for line in lines), encoding="utf-8")
    return folder / f"{stem}seq.in"


@pytest.mark.parametrize("stem", ["", "dev."])
def test_three_files_are_one_table(tmp_path, stem):
    path = write(tmp_path, stem)
    reader, given = find(path)
    assert reader.name() == "seq_in_out"
    corpus = reader.read(given)
    assert corpus.table.to_pydict() == {"text": TEXTS, "tags": TAGS, "label": LABELS}
    assert corpus.where(2) == f"{path}:3"


def test_tagging_and_classification_take_what_they_need(tmp_path):
    path = write(tmp_path, texts=TEXTS * 5, tags=TAGS * 5, labels=LABELS * 5)
    tagging = registry.make("task", "tagging")
    rows = read(DataSection(train=str(path), split={"valid": 0}), tagging).train
    assert tagging.marked(rows.examples(2, 3)[0]) is not None
    assert [tagging.fault(one) for one in rows.examples()] == [None] * 15
    task = registry.make("task", "classification")
    assert task.space(read(DataSection(train=str(path), split={"valid": 0}), task).train).labels == (
        "BookFlight", "PlayMusic",
    )  # fmt: skip


def test_files_may_lack_tags_or_labels_but_not_lines(tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    assert find(write(only, tags=None))[0].read(only / "seq.in").table.column_names == ["text", "label"]
    with pytest.raises(DataError, match="must have the same number of lines; label has only 2"):
        find(write(tmp_path, labels=LABELS[:2]))[0].read(tmp_path / "seq.in")
    path = write(tmp_path, labels=["a", "", "b"])
    with pytest.raises(DataError, match="seq.in:2: the line is empty in label"):
        find(path)[0].read(path)
    corpus = find(path)[0].read(path, bad_rows="skip")
    assert (corpus.table.num_rows, len(corpus.skipped), corpus.read) == (2, 1, 3)
    (tmp_path / "seq.out").unlink()
    (tmp_path / "label").unlink()
    assert registry.make("reader", "seq_in_out").claims(path, b"") == 0
    with pytest.raises(DataError, match="with seq.out or label beside it"):
        registry.make("reader", "seq_in_out").read(path)


@pytest.mark.data
def test_the_public_files_are_read(data_folder):
    corpus = find(data_folder / "snips" / "raw" / "dev.seq.in")[0].read(data_folder / "snips" / "raw" / "dev.seq.in")
    assert (corpus.table.num_rows, len(set(corpus.table.column("label").to_pylist()))) == (700, 7)
