"""The generated reference: every plug-in, every field and every key of a recipe stands in it, and nothing else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from graftlm.cli import main as cli
from graftlm.core import registry
from graftlm.recipe import Recipe, Section

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import reference_pages
    finally:
        sys.path.pop(0)
    found: dict[str, str] = reference_pages.pages()
    return found


def test_every_plugin_has_an_entry_with_its_source_and_its_fields(pages):
    for kind in registry.kinds():
        for name in registry.names(kind):
            entry = re.search(rf"^## {name} .*?(?=^## |\Z)", pages[f"{kind}.md"], re.DOTALL | re.MULTILINE)
            assert entry, f"{kind} {name}"
            plugin = registry.load(kind, name)
            assert plugin.source in entry[0]
            assert re.findall(r"^\| `(\w+)` ", entry[0], re.MULTILINE) == list(plugin.model_fields)
            assert f"[`{name}`]({kind}.md#{name})" in pages["index.md"]


def test_kinds_without_a_plugin_have_no_page_and_are_named(pages):
    for kind in registry.kinds():
        assert (f"{kind}.md" in pages) == bool(registry.names(kind))
        assert f"`{kind}`" in pages["index.md"] or registry.names(kind)


def test_every_key_of_a_recipe_has_a_row(pages):
    keys = re.findall(r"^\| \[?`([\w.]+)`", pages["recipe.md"], re.MULTILINE)
    assert sorted(keys) == sorted(_keys("", Recipe))


def _keys(path: str, section: type[Section]) -> list[str]:
    found = []
    for name, info in section.model_fields.items():
        here = f"{path}.{name}".lstrip(".")
        found.append(here)
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            found += _keys(here, info.annotation)
    return found


def test_what_goes_with_what_is_told_with_reasons(pages):
    page = pages["composition.md"]
    assert re.search(r"\| `lora` \|[^|]*`dora`[^|]*\| only one kind of adapter", page)
    assert re.search(r"\| `probe` \|[^|]*`focal`[^|]*\| it solves the head at once", page)
    counts = [int(number) for number in re.findall(r"\b\d+\b", page.split("| method")[0])]
    methods, losses = len(registry.names("method")), len(registry.names("loss"))
    assert counts[0] == methods * (methods - 1) // 2
    assert counts[2] == methods * losses
    assert 0 < counts[1] < counts[0]


def test_links_between_generated_pages_lead_to_pages(pages):
    for name, text in pages.items():
        for target in re.findall(r"\]\(([\w]+\.md)", text):
            assert target in pages, f"{name}: {target}"


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_explains_every_verb_and_no_other(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    table = "\n".join(line for line in text.splitlines() if "graftlm." in line and line.startswith("| `"))
    named = {name for line in table.splitlines() for name in re.findall(r"`([a-z]+)`", line.split("|")[1])}
    assert named == set(cli.verbs())


def test_every_verb_has_a_guide():
    guides = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "guide").glob("*.md"))
    for verb in cli.verbs():
        assert re.search(rf"^graft {verb}\b", guides, re.MULTILINE), verb
