"""How Sphinx makes the documentation site: `make docs` writes build/docs/index.html.

The pages are the Markdown files of the repository as they are. docs/README.md lists them by part;
the menu is made of that list, so there is no second one to maintain. A link to a page, a heading or
a file that does not exist ends the build.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_PART = re.compile(r"^## (.+)$|^\| \[[^\]]+\]\(([^)#]+)\.md\)", re.MULTILINE)

project = "framefan"
release = version = _PROJECT["version"]
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/*.md",
    "docs/howto/*.md",
    "capture/README.md",
    "inference/README.md",
    "gateway/README.md",
    "examples/shapes/README.md",
]
exclude_patterns = [".*", "build", "tests", "benchmarks"]
myst_heading_anchors = 4
nitpicky = True
suppress_warnings = [
    "myst.header",  # some pages skip a level of headings, for smaller ones
    "misc.highlighting_failure",  # JSON with comments, and shell sessions
]

html_theme = "furo"
html_title = f"framefan {release}"
html_copy_source = False
html_show_copyright = False
html_static_path: list[str] = []
html_theme_options = {"top_of_page_buttons": []}


def _menu() -> str:
    """A toctree for each part of docs/README.md, and one for those who work on framefan."""
    parts: dict[str, list[str]] = {}
    title = ""
    for heading, page in _PART.findall((ROOT / "docs" / "README.md").read_text()):
        if heading:
            title = heading
        else:
            parts.setdefault(title, []).append(page)
    parts = {
        title: [str((ROOT / "docs" / page).resolve().relative_to(ROOT)) for page in pages]
        for title, pages in parts.items()
    }
    parts["Project"] = [
        "CONTRIBUTING",
        "CHANGELOG",
        "SECURITY",
        "capture/README",
        "inference/README",
        "gateway/README",
        "examples/shapes/README",
        "docs/README",
    ]
    trees = (
        "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```"])
        for title, pages in parts.items()
    )
    return "\n\n" + "\n\n".join(trees) + "\n"


def _add_menu(_app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += _menu()


def _add_index(app: Sphinx, error: Exception | None) -> None:
    """Let the folder open at the root page, which is called README.html."""
    if error is None and app.builder.name == "html":
        text = f'<!doctype html><meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        (Path(app.outdir) / "index.html").write_text(text)


def setup(app: Sphinx) -> None:
    app.connect("source-read", _add_menu)
    app.connect("build-finished", _add_index)
