# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Hooks of MkDocs: files of the repository that are also pages of the site.

A page links to a file of the repository as it does on a code host, such as ``../dags/example_x.py``. The site shows
that file as a page, so these links work there too.
"""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parent.parent
ROOT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contribute.md",
    "LICENSE": "license.md",
    "SECURITY.md": "security-policy.md",
}
"""Files of the repository's top folder, and the page that shows each."""
_LINK = re.compile(r"\]\((?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")


@functools.cache
def _list_pages() -> dict[Path, str]:
    examples = {path: f"examples/{path.stem}.md" for path in sorted((REPOSITORY / "dags").glob("example_*.py"))}
    return {**{REPOSITORY / name: page for name, page in ROOT_PAGES.items()}, **examples}


def _draw(path: Path) -> str:
    """Return the page of a file: Markdown unchanged except for its links, a Dag with its docstring as text."""
    text = path.read_text()
    if path.suffix == ".md":
        return _rewrite_links(text, folder=REPOSITORY, shown_in=REPOSITORY / "docs")
    if path.suffix == ".py":
        described = (ast.get_docstring(ast.parse(text)) or "").replace("``", "`")
        return f"# {path.stem}\n\n{described}\n\n```python\n{text}```\n"
    return f"# {path.stem.title()}\n\n```text\n{text}```\n"


def _rewrite_links(markdown: str, *, folder: Path, shown_in: Path) -> str:
    """Return a page whose links, relative to a folder, lead to the pages of the site, relative to another."""
    pages = _list_pages()

    def rewrite(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found["path"]))
        shown = REPOSITORY / "docs" / pages[target] if target in pages else target
        return f"]({os.path.relpath(shown, shown_in)}{found['anchor'] or ''})"

    return _LINK.sub(rewrite, markdown)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each file."""
    for path, page in _list_pages().items():
        files.append(File.generated(config, page, content=_draw(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Make the links of a page to files of the repository lead to their pages."""
    if page.file.generated_by:
        return markdown
    folder = Path(config.docs_dir, page.file.src_uri).parent
    return _rewrite_links(markdown, folder=folder, shown_in=folder)
