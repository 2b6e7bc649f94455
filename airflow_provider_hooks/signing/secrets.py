# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The secrets in the text of an Airflow Variable, which a user or the registration of a hook wrote."""

from __future__ import annotations

import json


def parse_secrets(text: str) -> tuple[str, ...]:
    """
    Return the secrets that may sign, newest first.

    A hook that registration requested and that has no id yet is skipped: the platform may never have received its
    secret.

    :raises ValueError: if the text is JSON of another form; the message does not quote it
    """
    secrets = (
        item if isinstance(item, str) else "" if _is_pending(item) else str(item.get("secret", ""))
        for item in parse_items(text)
    )
    return tuple(secret for secret in secrets if secret)


def parse_items(text: str) -> tuple[str | dict[str, object], ...]:
    """
    Return the entries of a Variable's text: of JSON those of its list, otherwise the one secret that the text is.

    An entry is a secret, or an object with at least one of ``secret``, ``hook_id`` and ``requested_at``.

    :raises ValueError: if the text is JSON of another form; the message does not quote it
    """
    stripped = text.strip()
    if not stripped:
        return ()
    if not stripped.startswith(("{", "[")):
        return (stripped,)
    try:
        content = json.loads(stripped)
        items = content["secrets"] if isinstance(content, dict) else content
        is_valid = isinstance(items, list) and all(map(_is_entry, items))
    except (ValueError, KeyError, RecursionError):
        is_valid, items = False, []
    if not is_valid:
        raise ValueError("begins like JSON, but is not a list of secrets as registration writes it")
    return tuple(items)


def _is_entry(item: object) -> bool:
    if isinstance(item, str):
        return bool(item)
    if not isinstance(item, dict):
        return False
    values = [item.get(name, "") for name in ("secret", "hook_id", "requested_at")]
    return all(isinstance(value, str) for value in values) and any(values)


def _is_pending(item: dict[str, object]) -> bool:
    return bool(item.get("requested_at")) and not item.get("hook_id")
