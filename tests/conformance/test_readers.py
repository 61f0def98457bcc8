"""What holds for every reader: it claims with care, and names what it cannot read."""

from __future__ import annotations

import pytest

from graftlm.core import registry
from graftlm.core.errors import UserError

HEADS = (b"", b"\x00\x01\x02\x03" * 64, b"text,label\na,b\n", b'{"text": "a"}\n', b"PAR1", b"\xff\xfe")


def test_its_claim_is_a_confidence_for_anything(reader_name, tmp_path):
    reader = registry.make("reader", reader_name)
    for given in (tmp_path / "x.unknown", tmp_path, "owner/name", object(), [], [{"text": "a"}], None, 3):
        for head in HEADS:
            claim = reader.claims(given, head)
            assert 0 <= claim <= 1, (given, head)


def test_it_does_not_claim_what_nobody_can_read(reader_name):
    assert registry.make("reader", reader_name).claims(object(), b"") == 0


def test_a_file_that_is_not_of_its_kind_is_refused_by_name_or_read_whole(reader_name, tmp_path):
    path = tmp_path / "junk.bin"
    path.write_bytes(bytes(range(256)) * 8)
    message = ""
    try:
        corpus = registry.make("reader", reader_name).read(path)
    except UserError as fault:
        message = str(fault)
    assert "junk.bin" in message if message else corpus.table.num_rows + len(corpus.skipped) == corpus.read


def test_the_readers_that_take_files_do_not_quarrel(tmp_path):
    for name, head in {"a.csv": HEADS[2], "a.jsonl": HEADS[3] * 3, "a.parquet": HEADS[4]}.items():
        path = tmp_path / name
        path.write_bytes(head)
        claims = sorted(registry.make("reader", each).claims(path, head) for each in registry.names("reader"))
        if not claims or claims[-1] == 0:
            pytest.fail(f"nobody claims {name}")
        assert claims[-1] > claims[-2], f"two readers claim {name} alike"
