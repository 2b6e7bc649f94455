# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Reads the code blocks of the docs, and the commands in those for a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)")
_MARKER = re.compile(r"\s*<!-- code: (?P<name>.*?) -->\s*")
_HEREDOC = re.compile(
    r"<<-?[ \t]*(?P<quote>['\"]?)(?P<end>\w+)(?P=quote)(?P<rest>[^\n]*\n)(?P<text>.*?)^\t*(?P=end)$",
    re.MULTILINE | re.DOTALL,
)
_TOKEN = re.compile(
    r"""
    (?P<blank>(?:[ \t]|\\\n)+)
    | (?P<comment>\#[^\n]*)
    | (?P<redirection>\d?(?:>>|<<<|<<|>&|<&|&>|>|<))
    | (?P<end>\n|&&|\|\||[;&|(){}](?=[\s;&|()]|$)|[;&|()])
    | (?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|\$\([^()]*\)|\$\{[^}]*\}|[^\s;&|()<>'"\\])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_SUBSTITUTION = re.compile(r"\$\((?P<text>[^()]*)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block of a page."""

    page: Path
    line: int
    """Of its first line of code, from 1."""
    language: str
    """What follows the fence."""
    marker: str | None
    """What a comment ``<!-- code: … -->`` on the line before the fence says."""
    code: str
    """Without the indentation of the fence."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a shell."""

    line: int
    """Within the script, from 0."""
    words: Sequence[str]
    """The program and its arguments, without quotes and redirections."""
    assignments: dict[str, str] = field(default_factory=dict)
    """The environment variables that it sets, also by ``export``."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """The code blocks of a page, and the markers that mark none."""

    blocks: Sequence[Block]
    stray_markers: Sequence[int]
    """The lines of the markers that no fence follows, from 1."""


def read_page(path: Path) -> Page:
    """
    Read the code blocks of a page.

    :raises ValueError: if a block is not closed, with its place
    """
    blocks: list[Block] = []
    markers: dict[int, str] = {}
    used: set[int] = set()
    lines = iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        if found := _MARKER.fullmatch(line):
            markers[number] = found["name"]
        opened = _FENCE.fullmatch(line)
        if not opened:
            continue
        used.add(number - 1)
        blocks.append(
            Block(
                page=path,
                line=number + 1,
                language=opened["info"].strip(),
                marker=markers.get(number - 1),
                code="".join(_read_code(lines, opened, place=f"{path}:{number}")),
            )
        )
    return Page(blocks=blocks, stray_markers=sorted(set(markers) - used))


def _read_code(lines: Iterator[tuple[int, str]], opened: re.Match[str], *, place: str) -> Iterator[str]:
    for _, line in lines:
        closing = line.strip()
        if closing.startswith(opened["fence"]) and not closing.strip(opened["fence"][0]):
            return
        yield line.removeprefix(opened["indent"]) + "\n"
    raise ValueError(f"{place}: the code block has no end")


def list_commands(script: str) -> list[Command]:
    """
    Return the commands of a script, in order; those of ``$(…)`` follow.

    It knows what documentation needs: quotes, continued lines, comments, pipes, lists, groups, redirections, here
    documents and assignments.

    :raises ValueError: if something else is in it
    """
    # A here document is data; its lines stay, so that the numbers of lines stay.
    text = _HEREDOC.sub(lambda found: f" {found['rest'].rstrip()}" + "\n" * found[0].count("\n"), script)
    commands = [command for tokens in _split(text) if (command := _read_command(tokens)) is not None]
    for found in _SUBSTITUTION.finditer(text):
        before = text.count("\n", 0, found.start())
        commands += [replace(one, line=before + one.line) for one in list_commands(found["text"])]
    return commands


def _split(text: str) -> Iterator[list[tuple[int, str, str]]]:
    """Yield the tokens of each command: line, kind and text."""
    tokens: list[tuple[int, str, str]] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ValueError(f"cannot be read from {text[position : position + 20]!r}")
        kind = str(found.lastgroup)
        if kind == "end":
            yield tokens
            tokens = []
        elif kind in {"redirection", "word"}:
            tokens.append((text.count("\n", 0, position), kind, found[0]))
        position = found.end()
    yield tokens


def _read_command(tokens: list[tuple[int, str, str]]) -> Command | None:
    words: list[str] = []
    assignments: dict[str, str] = {}
    before = ""
    for _, kind, text in tokens:
        if kind == "word" and before != "redirection":
            word = "".join(shlex.split(text))
            if _ASSIGNMENT.match(word) and (not words or words == ["export"]):
                name, _, value = word.partition("=")
                assignments[name] = value
            else:
                words.append(word)
        before = kind
    if not words and not assignments:
        return None
    return Command(line=tokens[0][0], words=words, assignments=assignments)
