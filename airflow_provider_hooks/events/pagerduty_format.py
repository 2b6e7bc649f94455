# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The format of PagerDuty's Events API v2: an event triggers, acknowledges or resolves an alert.

Sources: PagerDuty developer documentation, "Events API v2 Overview" and "Send an Alert Event".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks.events.chat_formats import summarize_event
from airflow_provider_hooks.events.format_base import (
    DEFAULT_MAX_PAYLOAD_BYTES,
    Format,
    FormatSettings,
    Message,
    encode,
    find_time,
)
from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.sanitize import safe_repr

if TYPE_CHECKING:
    from airflow_provider_hooks.events.event import Event

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES: Mapping[str, str] = MappingProxyType(
    {"fatal": "critical", "error": "error", "warning": "warning", "info": "info", "debug": "info"}
)
"""The severity of each level."""
MAX_BODY_BYTES = 524_288
"""The largest request that PagerDuty accepts: 512 KB."""
_MAX_KEY_CHARACTERS, _MAX_SUMMARY_CHARACTERS = 255, 1_024
_SHOWN_APART = frozenset({"message", "level", "url", "event_action", "dedup_key"})


class PagerDutyFormat(Format):
    """
    An event of PagerDuty's Events API v2.

    :param key: the integration key, which the body holds; ``bind`` sets it
    """

    name = "pagerduty"
    title = "PagerDuty event (pagerduty)"
    description = "An event of PagerDuty's Events API v2; the integration key is the connection's password"
    source = "https://developer.pagerduty.com/docs/send-alert-event"
    key_use = "required"

    def __init__(self, key: str = "") -> None:
        self._key = key

    def bind(self, settings: FormatSettings) -> PagerDutyFormat:
        """Return the format with the endpoint's integration key."""
        return PagerDutyFormat(settings.key or "")

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """
        Return the request's body.

        :raises ValidationError: if the data has an ``event_action`` or a ``dedup_key`` that PagerDuty does not accept
        """
        is_own = event.type not in EVENT_TYPES and isinstance(event.data, Mapping)
        action, dedup_key = _read_action(event.data, event.id) if is_own else ("trigger", event.id)
        body: dict[str, object] = {"routing_key": self._key, "event_action": action, "dedup_key": dedup_key}
        if action == "trigger":
            body |= _describe_alert(event)
        return Message(encode(body, max_payload_bytes=min(max_payload_bytes, MAX_BODY_BYTES)))


def _read_action(data: object, event_id: str) -> tuple[str, str]:
    """Return what an event of the user's own type does, and to which alert."""
    fields = data if isinstance(data, Mapping) else {}
    action, dedup_key = fields.get("event_action", "trigger"), fields.get("dedup_key", event_id)
    problems = ValidationErrors("the event")
    if action not in ACTIONS:
        problems.add("data.event_action", f"must be one of {', '.join(ACTIONS)}, not {safe_repr(action)}")
    if not isinstance(dedup_key, str) or not 0 < len(dedup_key) <= _MAX_KEY_CHARACTERS:
        rule = f"must be text of 1 to {_MAX_KEY_CHARACTERS} characters"
        problems.add("data.dedup_key", f"{rule}, not {safe_repr(dedup_key)}")
    problems.raise_if_any()
    return str(action), str(dedup_key)


def _describe_alert(event: Event) -> dict[str, object]:
    """Return the members that only an event that triggers an alert has."""
    summary = summarize_event(event, title_characters=_MAX_SUMMARY_CHARACTERS)
    if event.type in EVENT_TYPES:
        details: dict[str, object] = dict(summary.facts)
    elif isinstance(event.data, Mapping):
        details = {name: value for name, value in event.data.items() if name not in _SHOWN_APART}
    else:
        details = {} if event.data is None else {"data": event.data}
    alert: dict[str, object] = {
        "payload": {
            "summary": summary.title,
            "source": event.source or "Apache Airflow",
            "severity": SEVERITIES[summary.level],
            "timestamp": find_time(event),
            "class": event.type,
            "custom_details": details,
        }
    }
    if summary.url is not None:
        alert["links"] = [{"href": summary.url, "text": "Open in Airflow"}]
    return alert
