# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The text of the Airflow Variable that keeps an endpoint's secrets, newest first, with the hooks they came from.

Registration writes it and endpoints read it, so a secret travels from a platform to deliveries without a person, a log
or an XCom in between.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class KeptSecret:
    """One secret and where it came from."""

    secret: str = field(repr=False)
    hook_id: str = ""
    url: str = field(default="", repr=False)
    created_at: str = ""


def parse_kept_secrets(text: str) -> tuple[KeptSecret, ...]:
    """
    Read a Variable's text: what ``format_kept_secrets`` wrote, a JSON list of secrets, or one secret as it is.

    :raises ValueError: if it is JSON of another form; the message does not quote it
    """
    stripped = text.strip()
    if not stripped:
        return ()
    if not stripped.startswith(("{", "[")):
        return (KeptSecret(secret=stripped),)
    try:
        content = json.loads(stripped)
        items = content["secrets"] if isinstance(content, dict) else content
        return tuple(_read_item(item) for item in items)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("begins like JSON, but is not a list of secrets as registration writes it") from None


def parse_secrets(text: str) -> tuple[str, ...]:
    """
    Return the secrets of a Variable's text, newest first.

    :raises ValueError: if it is JSON of another form; the message does not quote it
    """
    return tuple(kept.secret for kept in parse_kept_secrets(text))


def put_first(kept: tuple[KeptSecret, ...], newest: KeptSecret) -> tuple[KeptSecret, ...]:
    """Return the secrets with ``newest`` in front, in place of what was kept for the same hook or secret."""
    others = (one for one in kept if one.hook_id != newest.hook_id and one.secret != newest.secret)
    return (newest, *others)


def format_kept_secrets(kept: tuple[KeptSecret, ...]) -> str:
    """Write the text of the Variable."""
    return json.dumps({"secrets": [asdict(one) for one in kept]})


def _read_item(item: object) -> KeptSecret:
    if isinstance(item, str):
        return KeptSecret(secret=item)
    if not isinstance(item, dict) or not all(
        isinstance(item.get(name, ""), str) for name in KeptSecret.__annotations__
    ):
        raise TypeError
    return KeptSecret(**{name: item[name] for name in KeptSecret.__annotations__ if name in item})
