# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The text of the Airflow Variable that keeps hooks and their secrets, newest first.

Registration writes it and endpoints read it, so a secret travels from a platform to deliveries without a person, a log
or an XCom in between. Everything stands below the one name ``secrets``, which makes Airflow's UI mask all of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class StoredHook:
    """One hook as a Variable remembers it; of a secret that a person typed only the secret is known."""

    secret: str = field(default="", repr=False)
    """Empty on platforms that sign nothing."""
    hook_id: str = ""
    registry: str = ""
    """The connection id of the registry it is registered on."""
    name: str = ""
    """The name it was declared by."""
    url: str = field(default="", repr=False)
    created_at: str = ""
    """When the platform says that it was created."""
    requested_at: str = ""
    """When it was asked for, of a hook whose id no answer has told yet."""
    expires_at: str = ""
    """Of a hook whose secret was rotated out: when its overlap ends, after which it is deleted."""
    rotation_key: str = ""
    """Of a hook whose secret came from a rotation: which asking of which task rotated it."""
    replaced_by: str = ""
    """Of a hook whose secret was rotated out: the id of the hook in its place."""
    replaces: str = ""
    """Of a rotation that was asked for: the id of the hook that is to be replaced."""
    beside: str = ""
    """Of a rotation that was asked for: the ids of the hooks for the URL before it, separated by blanks."""

    @property
    def is_pending(self) -> bool:
        """Whether it was asked for and nobody knows whether the platform has it, so nothing may be signed with it."""
        return bool(self.requested_at) and not self.hook_id

    @property
    def superseded(self) -> bool:
        """Whether another hook has taken its place."""
        return bool(self.expires_at)


def parse_kept_hooks(text: str) -> tuple[StoredHook, ...]:
    """
    Read a Variable's text: what ``format_kept_hooks`` wrote, a JSON list of secrets, or one secret as it is.

    :raises ValueError: if it is JSON of another form; the message does not quote it
    """
    stripped = text.strip()
    if not stripped:
        return ()
    if not stripped.startswith(("{", "[")):
        return (StoredHook(secret=stripped),)
    try:
        content = json.loads(stripped)
        items = content["secrets"] if isinstance(content, dict) else content
        return tuple(_read_item(item) for item in items)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("begins like JSON, but is not a list of secrets as registration writes it") from None


def parse_secrets(text: str) -> tuple[str, ...]:
    """
    Return the secrets that may sign, newest first.

    :raises ValueError: if the text is JSON of another form; the message does not quote it
    """
    return tuple(kept.secret for kept in parse_kept_hooks(text) if kept.secret and not kept.is_pending)


def format_kept_hooks(kept: tuple[StoredHook, ...]) -> str:
    """Write the text of the Variable."""
    items = [{name: value for name, value in asdict(one).items() if value} for one in kept]
    return json.dumps({"secrets": items})


def _read_item(item: object) -> StoredHook:
    if isinstance(item, str) and item:
        return StoredHook(secret=item)
    names = StoredHook.__dataclass_fields__
    if not isinstance(item, dict) or not all(isinstance(item.get(name, ""), str) for name in names):
        raise TypeError
    kept = StoredHook(**{name: item[name] for name in names if name in item})
    if not (kept.secret or kept.hook_id or kept.requested_at):
        raise TypeError
    return kept
