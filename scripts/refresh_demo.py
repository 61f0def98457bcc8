"""Put the saved output of the demo into both READMEs, between their markers, word for word.

`graft demo > demo.txt`, then `python scripts/refresh_demo.py demo.txt "graft demo"` keeps the output, below the command
that made it, in docs/demo-output.txt and refreshes the READMEs. Without arguments it refreshes them from what is kept;
with `--check` nothing is written, and the exit code is 1 if a README differs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "demo-output.txt"
READMES = ("README.md", "README.zh-CN.md")
BLOCK = re.compile(r"(<!-- demo -->\n).*?(<!-- /demo -->)", re.DOTALL)


def refreshed(readme: str, output: str) -> str:
    """Return a README's text with the output between its markers.

    Raises:
        ValueError: the markers are not there once.
    """
    text, count = BLOCK.subn(lambda found: f"{found[1]}```text\n{output.rstrip()}\n```\n{found[2]}", readme)
    if count != 1:
        raise ValueError(f"expected <!-- demo --> and <!-- /demo --> once, found them {count} times")
    return text


def main(arguments: list[str]) -> int:
    """Keep an output and its command, if given, and refresh the READMEs; with --check tell whether they are fresh."""
    if len(arguments) == 2:
        saved, command = arguments
        OUTPUT.write_text(f"$ {command}\n{Path(saved).read_text(encoding='utf-8')}", encoding="utf-8")
    output, stale = OUTPUT.read_text(encoding="utf-8"), []
    for name in READMES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = refreshed(before, output)
        if after != before:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(after, encoding="utf-8")
    print(f"{'stale' if '--check' in arguments else 'refreshed'}: {', '.join(stale) or 'none'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
