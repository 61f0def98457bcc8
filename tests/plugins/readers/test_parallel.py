"""Files in two languages, line for line."""

from __future__ import annotations

import gzip

import pytest

from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.stages.reading.sources import find


def write(folder, **files):
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")


def test_the_file_beside_it_is_the_target(tmp_path):
    write(tmp_path, train_en="a cat\nthe end\n", train_de="eine Katze\ndas Ende\n", valid_en="x\n", valid_fr="y\n")
    reader, given = find(str(tmp_path / "train.en"))
    assert reader.name() == "parallel"
    corpus = reader.read(given)
    assert corpus.table.to_pylist() == [
        {"source": "a cat", "target": "eine Katze"}, {"source": "the end", "target": "das Ende"},
    ]  # fmt: skip
    assert corpus.where(1).endswith("train.en:2")
    turned, given = find(str(tmp_path / "train.de"))
    assert turned.read(given).table.column("source").to_pylist() == ["eine Katze", "das Ende"]


def test_gzip_regions_and_blank_lines(tmp_path):
    (tmp_path / "n.v2.zh_CN.gz").write_bytes(gzip.compress("猫\n\n狗\n".encode()))
    write(tmp_path, n_v2_pt="gato\n\ncão\n")
    reader, given = find(str(tmp_path / "n.v2.zh_CN.gz"))
    corpus = reader.read(given)
    assert corpus.table.to_pylist() == [{"source": "猫", "target": "gato"}, {"source": "狗", "target": "cão"}]
    assert corpus.lines.to_pylist() == [1, 3]


def test_other_files_are_left_to_other_readers(tmp_path):
    write(tmp_path, alone_en="x\n", train_csv="a,b\n", train_tsv="a\tb\n")
    claims = registry.make("reader", "parallel").claims
    for name in ("alone.en", "train.csv", "train.tsv"):
        assert claims(tmp_path / name, b"x") == 0


def test_several_languages_ask_for_a_choice(tmp_path):
    write(tmp_path, t_en="x\n", t_de="y\n", t_fr="z\n")
    with pytest.raises(DataError, match=r"beside it stand 't\.de', 't\.fr'\. Name the language.*into: de"):
        registry.make("reader", "parallel").read(tmp_path / "t.en")
    chosen = registry.make("reader", {"use": "parallel", "into": "fr"}).read(tmp_path / "t.en")
    assert chosen.table.column("target").to_pylist() == ["z"]
    with pytest.raises(DataError, match="none in 'it'"):
        registry.make("reader", {"use": "parallel", "into": "it"}).read(tmp_path / "t.en")


def test_files_that_do_not_match_are_refused(tmp_path):
    write(tmp_path, t_en="x\ny\n", t_de="z\n", u_en="x\ny\n", u_de="z\n\n")
    with pytest.raises(DataError, match="must have the same number of lines; t.de has only 1"):
        registry.make("reader", "parallel").read(tmp_path / "t.en")
    with pytest.raises(DataError, match=r"u\.en:2: the line is empty in u\.de"):
        registry.make("reader", "parallel").read(tmp_path / "u.en")
    kept = registry.make("reader", "parallel").read(tmp_path / "u.en", bad_rows="skip")
    assert (kept.table.num_rows, len(kept.skipped)) == (1, 1)


@pytest.mark.data
def test_multi30k_as_it_was_published(data_folder):
    reader, given = find(str(data_folder / "multi30k" / "raw" / "val.en.gz"))
    corpus = reader.read(given)
    assert corpus.table.num_rows == 1014
    assert corpus.table.slice(0, 1).to_pylist() == [
        {
            "source": "A group of men are loading cotton onto a truck",
            "target": "Eine Gruppe von Männern lädt Baumwolle auf einen Lastwagen",
        }
    ]
