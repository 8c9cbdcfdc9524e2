"""Every relative link of every page leads somewhere, headings included."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def _pages() -> list[str]:
    """Of the repository, those not committed yet included; without git, of its own folders."""
    if shutil.which("git"):
        command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout:
            return sorted(name for name in done.stdout.splitlines() if (ROOT / name).exists())
    return sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.md")
        if not any(part.startswith((".", "node_modules")) for part in path.relative_to(ROOT).parts)
    )


def _links(page: str) -> list[str]:
    text = _CODE.sub("", _FENCE.sub("", (ROOT / page).read_text()))
    return [each for each in _LINK.findall(text) if not _ELSEWHERE.match(each)]


@cache
def _headings(path: Path) -> set[str]:
    """The names by which headings are linked: small letters, no punctuation, `-` for blanks."""
    text = _FENCE.sub("", path.read_text())
    found = re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


def _is_broken(page: str, link: str) -> bool:
    name, _, heading = unquote(link).partition("#")
    target = (ROOT / page).parent / name if name else ROOT / page
    if not target.exists():
        return True
    return bool(heading) and target.suffix == ".md" and heading not in _headings(target)


PAGES = _pages()


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    assert [link for link in _links(page) if _is_broken(page, link)] == []


def test_all_pages_are_looked_at() -> None:
    assert {"README.md", "docs/protocol.md", "gateway/README.md"} <= set(PAGES)
    assert sum(len(_links(page)) for page in PAGES) > 50


def test_a_broken_link_is_seen() -> None:
    assert _is_broken("README.md", "docs/nowhere.md")
    assert _is_broken("README.md", "docs/protocol.md#no-such-heading")
    assert not _is_broken("README.md", "docs/protocol.md#close-codes")
