import io
import json

import pytest

from graftlm.core.errors import DataError
from graftlm.core.textfile import Piped
from graftlm.plugins.readers.conll import Conll
from graftlm.stages.reading.sources import find

FOUR = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC

# $ I-NP O
Peter NNP I-NP I-PER
"""


def read(tmp_path, text, name="eng.train", **options):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    bad_rows = options.pop("bad_rows", "stop")
    return Conll(**options).read(path, bad_rows=bad_rows)


def test_words_and_tags_are_found_among_the_columns(tmp_path):
    corpus = read(tmp_path, FOUR)
    assert corpus.table.column("tokens").to_pylist() == [["EU", "rejects", "German"], ["#", "Peter"]]
    assert corpus.table.column("tags").to_pylist() == [["I-ORG", "O", "I-MISC"], ["O", "I-PER"]]
    assert corpus.table.column("column_2").to_pylist() == [["NNP", "VBZ", "JJ"], ["$", "NNP"]]
    assert corpus.lines.to_pylist() == [3, 7]
    assert corpus.where(1).endswith("eng.train:7")


def test_columns_can_be_named_by_number(tmp_path):
    corpus = read(tmp_path, FOUR, tag=3)
    assert corpus.table.column("tags").to_pylist()[0] == ["I-NP", "I-VP", "I-NP"]
    with pytest.raises(DataError, match="there is no column 5"):
        read(tmp_path, FOUR, word=5)


def test_tabs_keep_spaces_inside_words(tmp_path):
    corpus = read(tmp_path, "New York\tB-LOC\nis\tO\n\nso\tO\n")
    assert corpus.table.column("tokens").to_pylist() == [["New York", "is"], ["so"]]


def test_segmentation_digits_are_taken_off(tmp_path):
    corpus = read(tmp_path, "科0\tB-ORG.NAM\n技1\tI-ORG.NAM\n80\tO\n\n，0\tO\n爱0\tO\n")
    assert corpus.table.column("tokens").to_pylist() == [["科", "技", "8"], ["，", "爱"]]
    assert "number behind" in corpus.facts["form"]


def test_numbers_in_front_are_no_words_and_comments_no_rows(tmp_path):
    corpus = read(tmp_path, "# text = a b\n1\tPete\tB-PER\n2\tran\tO\n\n# id\n1\tOh\tO\n")
    assert corpus.table.column("tokens").to_pylist() == [["Pete", "ran"], ["Oh"]]


def test_bmes_and_encodings_are_found_out(tmp_path):
    text = "中 B-LOC\n华 M-LOC\n国 E-LOC\n人 O\n\n京 S-LOC\n的 O\n" * 3
    corpus = read(tmp_path, text.encode("gb18030"))
    assert corpus.facts["encoding"] == "GB18030"
    assert corpus.table.column("tokens").to_pylist()[0] == ["中", "华", "国", "人"]


def test_a_line_with_other_columns_follows_the_policy(tmp_path):
    text = "a O\nb O\n\nNew York B-LOC\nis\n\nc O\n"
    with pytest.raises(DataError, match=r"eng.train:4: in the sentence that begins here, line 4 has 3 columns"):
        read(tmp_path, text)
    left = read(tmp_path, text, bad_rows="skip")
    assert (left.table.num_rows, len(left.skipped), left.read) == (2, 1, 3)
    kept = read(tmp_path, text, bad_rows="keep")
    assert kept.table.to_pylist()[1] == {"tokens": ["New York", "is"], "tags": ["B-LOC", "O"]}
    assert kept.mended[0].where.endswith(":4")


def test_broken_bytes_and_missing_words_are_named(tmp_path):
    with pytest.raises(DataError, match="line 2: a NUL byte"):
        read(tmp_path, b"a\tO\nb\0\tO\n\nc\tO\n")
    with pytest.raises(DataError, match="line 2 has no word"):
        read(tmp_path, "a\tO\n\u3000\tO\nb\tO\n\nc\tO\n")
    with pytest.raises(DataError, match="no words"):
        read(tmp_path, "-DOCSTART- -X- O O\n\n")


def test_it_is_found_by_content_and_by_name(tmp_path):
    for name in ("eng.testa", "a.txt", "a.tsv", "b.csv"):
        path = tmp_path / name
        path.write_text(2 * FOUR.replace(" ", "\t"))
        assert find(path)[0].name() == "conll", name
    path = tmp_path / "a.bio"
    path.write_text("one O\ntwo O\n")
    assert find(path)[0].name() == "conll"
    assert find(Piped(io.BytesIO(2 * FOUR.encode())))[0].name() == "conll"
    table = tmp_path / "table.tsv"
    table.write_text("text\tlabel\na b\tO\n\nc d\tO\n" * 10)
    assert find(table)[0].name() == "csv"


@pytest.mark.data
@pytest.mark.parametrize(
    ("raw", "clean", "rows"),
    [
        ("conll2003/raw/eng.testa", "conll2003/dev.jsonl", 3250),
        ("wnut17/raw/emerging.dev.conll", "wnut17/dev.jsonl", 1009),
        ("weibo_ner/raw/weiboNER_2nd_conll.dev", "weibo_ner/dev.jsonl", 270),
    ],
)
def test_the_public_files_read_as_their_clean_copies(data_folder, raw, clean, rows):
    reader, path = find(data_folder / raw)
    assert reader.name() == "conll"
    found = reader.read(path).table
    known = [json.loads(line) for line in (data_folder / clean).read_text("utf-8").split("\n") if line]
    assert found.num_rows == rows == len(known)
    # the clean copy of weibo_ner keeps one of the two signs that stand for a broken character
    tokens = [[token.replace("\ufffd\ufffd", "\ufffd") for token in row] for row in found.column("tokens").to_pylist()]
    assert tokens == [row["tokens"] for row in known]
    assert found.column("tags").to_pylist() == [row["tags"] for row in known]
