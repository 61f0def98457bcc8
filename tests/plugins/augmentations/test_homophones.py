"""Characters that sound the same, by pypinyin and by a table."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from pypinyin import Style, lazy_pinyin
from pypinyin.contrib.tone_convert import to_normal

from graftlm.contracts.augmentation import Scene
from graftlm.core import registry
from graftlm.core.errors import MissingPackage, UserError

TEXT = "我想去银行取钱, please 3 次，行走在路上"


def make(**fields):
    return registry.make("augmentation", {"use": "homophones", **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("tones", [True, False])
def test_each_character_sounds_as_the_one_that_stood_there(tones):
    style = Style.TONE3 if tones else Style.NORMAL
    own = [sound for run in ("我想去银行取钱", "次", "行走在路上") for sound in lazy_pinyin(run, style=style)]
    assert own[4].startswith("hang")  # 银行
    assert own[8].startswith("xing")  # 行走
    characters = [n for n, sign in enumerate(TEXT) if "一" <= sign <= "鿿"]
    for seed in range(5):
        new = make(tones=tones, rate=1.0).change(TEXT, rng(seed))
        assert len(new) == len(TEXT)
        assert new != TEXT
        for n, sound in zip(characters, own, strict=True):
            readings = lazy_pinyin(new[n], style=style)
            assert readings == [sound], (TEXT[n], new[n])
            new[n].encode("gb2312")
        rest = [(a, b) for n, (a, b) in enumerate(zip(TEXT, new, strict=True)) if n not in characters]
        assert all(a == b for a, b in rest)
    assert to_normal(own[0]) == "wo"


def test_the_most_used_characters_are_3755():
    from graftlm.plugins.augmentations.homophones import _sounds

    assert sum(map(len, _sounds(True)[1].values())) == 3755
    assert set(_sounds(False)[1]["ta"]) >= set("他她它")


def test_a_table_goes_first_and_may_stand_alone(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("的地得\n银行,引航\n", encoding="utf-8")
    one = make(table=str(path), pinyin=False, rate=1.0)
    new = one.change("我的银行 ok", rng())
    assert new in ("我地引航 ok", "我得引航 ok")
    assert one.change("没有", rng()) == "没有"
    both = make(table=str(path), rate=1.0).change("他的银行", rng())
    assert both[0] in "她它塌"
    assert both[2:] == "引航"


def test_without_table_and_pinyin_it_is_told(tmp_path):
    with pytest.raises(ValueError, match="a table is needed"):
        make(pinyin=False)
    with pytest.raises(UserError, match=r"nowhere\.txt"):
        make(pinyin=False, table=str(tmp_path / "nowhere.txt")).check(Scene())


def test_without_the_package_the_install_command_is_named(monkeypatch):
    from graftlm.plugins.augmentations.homophones import _sounds

    _sounds.cache_clear()
    found = importlib.import_module

    def lacking(name, *rest):
        if name == "pypinyin":
            raise ModuleNotFoundError("No module named 'pypinyin'", name="pypinyin")
        return found(name, *rest)

    monkeypatch.setattr(importlib, "import_module", lacking)
    with pytest.raises(MissingPackage, match=r"pip install 'graftlm\[chinese\]'"):
        make().check(Scene())
