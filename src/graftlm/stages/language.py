"""Does the base model know the language of the text? Told by scripts and by unknown tokens."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Any

from graftlm.contracts.backbone import Card
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Finding

SAMPLE = 1000
"""Texts looked at: enough to tell a script's share to a few points."""
LATIN = "Latin"
SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "CYRILLIC", "ARABIC", "GREEK", "HEBREW", "THAI", "DEVANAGARI")
OF_LANGUAGE = {"zh": {"CJK"}, "ja": {"CJK", "HIRAGANA", "KATAKANA"}, "ko": {"HANGUL", "CJK"}, "ru": {"CYRILLIC"}}


def scripts(texts: list[str]) -> Counter[str]:
    """Count the letters of each script."""
    found: Counter[str] = Counter()
    for text in texts:
        for sign in text:
            if sign.isalpha():
                name = unicodedata.name(sign, "")
                found[next((script for script in SCRIPTS if name.startswith(script)), LATIN)] += 1
    return found


def check_language(rows: Rows, roles: list[str], card: Card, tokenizer: Any) -> list[Finding]:
    """Warn where a fifth of the letters are of a script foreign to the base model, or 5 % of the tokens unknown."""
    if not card.languages and card.pretrained is False:
        return []
    step = max(1, len(rows) // SAMPLE)
    sample = rows.take(range(0, len(rows), step))
    texts = [str(value or "") for role in roles if sample.has(role) for value in sample.column(role)]
    found, known = scripts(texts), {LATIN}
    letters = sum(found.values()) or 1
    for language in card.languages:
        known |= OF_LANGUAGE.get(language, set())
    foreign = {script: count / letters for script, count in found.items() if script not in known}
    findings = []
    languages = ", ".join(card.languages)
    if card.languages and sum(foreign.values()) > 0.2:
        script, share = max(foreign.items(), key=lambda item: item[1])
        findings.append(
            Finding(
                "warning",
                "language",
                f"{share:.0%} of the letters are {script}, but '{card.name}' was trained on text in: {languages}. Do "
                "not expect much of the transfer; a base model of that language will do better (--base).",
                len(texts),
            )
        )
    unknown = tokenizer.unk_token_id
    if unknown is not None and texts:
        ids = [token for one in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] for token in one]
        share = ids.count(unknown) / max(1, len(ids))
        if share > 0.05:
            findings.append(
                Finding(
                    "warning",
                    "unknown_tokens",
                    f"{share:.0%} of the tokens are unknown to the tokenizer of '{card.name}': the model cannot tell "
                    "these signs apart.",
                    len(ids),
                )
            )
    return findings
