# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The formats of chat receivers: an event of any type as a message in a channel.

Texts of an event can come from anywhere, so nothing in them mentions users, makes a link or formats the message.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_hooks.events.format_base import DEFAULT_MAX_PAYLOAD_BYTES, Format, Message, encode
from airflow_provider_hooks.events.types import EVENT_TYPES, LEVELS

if TYPE_CHECKING:
    from airflow_provider_hooks.events.event import Event
    from airflow_provider_hooks.json_types import JsonObject

_MAX_FACTS = 10
"""How many fields of an event a message shows: the limit of a Slack section."""
_TITLE_CHARACTERS, _FACT_CHARACTERS = 150, 300
"""Within the limits of Slack (header 150, field 2,000) and Discord (title 256, value 1,024, 6,000 in all)."""
_MAX_URL_CHARACTERS = 2_000
_MARKDOWN = re.compile(r"([\\`*_~\[\]()<>#|@:])")
_SHOWN_APART = frozenset({"message", "level", "url", "kind"})
_COLORS: Mapping[str, int] = MappingProxyType(
    {"fatal": 0x8B0000, "error": 0xD93025, "warning": 0xF9AB00, "info": 0x1A73E8, "debug": 0x80868B}
)
_TEAMS_COLORS: Mapping[str, str] = MappingProxyType(
    {"fatal": "Attention", "error": "Attention", "warning": "Warning", "info": "Accent", "debug": "Default"}
)


class EventSummary(NamedTuple):
    """What a message shows of an event. Its texts are plain, and bounded."""

    title: str
    level: str
    url: str | None
    occurred_at: str | None
    facts: tuple[tuple[str, str], ...]


def summarize_event(event: Event, *, title_characters: int = _TITLE_CHARACTERS) -> EventSummary:
    """Return what a message shows: of a documented event its message and origin, of another one its data."""
    data: Mapping[str, object] = event.data if isinstance(event.data, Mapping) else {"data": event.data}
    level = data.get("level")
    title = data.get("message")
    if event.type in EVENT_TYPES:
        facts: list[tuple[str, object]] = [(name, data.get(name)) for name in ("project_name", "culprit")]
        facts.append(("rules", ", ".join(map(str, _as_list(data.get("triggering_rules"))))))
        inner = data.get("event")
        facts += [_as_pair(tag) for tag in _as_list(inner.get("tags") if isinstance(inner, Mapping) else None)]
    else:
        facts = [("event", event.type), *((name, data[name]) for name in data if name not in _SHOWN_APART)]
    shown = [(_cut(str(name), 60), _cut(_to_text(value), _FACT_CHARACTERS)) for name, value in facts]
    return EventSummary(
        title=_cut(title if isinstance(title, str) and title.strip() else event.type, title_characters),
        level=level if isinstance(level, str) and level in LEVELS else "info",
        url=_find_url(data.get("url")),
        occurred_at=event.occurred_at,
        facts=tuple(pair for pair in shown if pair[1])[:_MAX_FACTS],
    )


class _ChatFormat(Format):
    """The base of the chat formats: the URL of such a receiver is a secret."""

    has_secret_url = True

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """Return the message."""
        return Message(encode(self.make_message(summarize_event(event)), max_payload_bytes=max_payload_bytes))

    @abstractmethod
    def make_message(self, summary: EventSummary) -> JsonObject:
        """Return what the receiver documents."""


class SlackFormat(_ChatFormat):
    """A message of Slack's incoming webhooks, in blocks."""

    name = "slack"
    title = "Slack message (slack)"
    description = "A message of a Slack incoming webhook: title, level and fields in blocks"
    source = "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"

    def make_message(self, summary: EventSummary) -> JsonObject:
        """Return the message."""
        return make_slack_message(summary)


class TeamsFormat(_ChatFormat):
    """An Adaptive Card for a Microsoft Teams workflow or incoming webhook."""

    name = "teams"
    title = "Microsoft Teams card (teams)"
    description = "An Adaptive Card for a Microsoft Teams webhook: title, level and facts"
    source = "https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using"

    def make_message(self, summary: EventSummary) -> JsonObject:
        """Return the message with the card."""
        return make_teams_message(summary)


class DiscordFormat(_ChatFormat):
    """A message of a Discord webhook, as an embed."""

    name = "discord"
    title = "Discord message (discord)"
    description = "A message of a Discord webhook: an embed with title, level and fields; it mentions no user"
    source = "https://discord.com/developers/docs/resources/webhook (Execute Webhook)"

    def make_message(self, summary: EventSummary) -> JsonObject:
        """Return the message."""
        return make_discord_message(summary)


def make_slack_message(summary: EventSummary) -> JsonObject:
    """Return a message in blocks; its ``text`` is what a notification shows."""
    title = f"{summary.level.upper()}: {summary.title}"
    blocks: list[JsonObject] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(title, _TITLE_CHARACTERS), "emoji": False}}
    ]
    if summary.facts:
        fields: list[JsonObject] = [
            {"type": "mrkdwn", "text": f"*{_escape_slack(name)}*\n{_escape_slack(value)}"}
            for name, value in summary.facts
        ]
        blocks.append({"type": "section", "fields": [*fields]})
    if summary.url:
        link: JsonObject = {"type": "mrkdwn", "text": f"<{_escape_slack(summary.url)}|Open in Airflow>"}
        blocks.append({"type": "context", "elements": [link]})
    return {"text": _escape_slack(title), "blocks": [*blocks]}


def make_teams_message(summary: EventSummary) -> JsonObject:
    """Return a message with one Adaptive Card."""
    title: JsonObject = {
        "type": "RichTextBlock",
        "inlines": [
            {
                "type": "TextRun",
                "text": f"{summary.level.upper()}: {summary.title}",
                "weight": "Bolder",
                "size": "Medium",
                "color": _TEAMS_COLORS[summary.level],
            }
        ],
    }
    facts: list[JsonObject] = [{"title": _escape(name), "value": _escape(value)} for name, value in summary.facts]
    fact_sets: list[JsonObject] = [{"type": "FactSet", "facts": [*facts]}] if facts else []
    card: JsonObject = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [title, *fact_sets],
    }
    if summary.url:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in Airflow", "url": summary.url}]
    attachment: JsonObject = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def make_discord_message(summary: EventSummary) -> JsonObject:
    """Return a message with one embed."""
    fields: list[JsonObject] = [
        {"name": _escape(name), "value": _escape(value), "inline": True} for name, value in summary.facts
    ]
    embed: JsonObject = {
        "title": f"{summary.level.upper()}: {_escape(summary.title)}"[:256],
        "color": _COLORS[summary.level],
        "fields": [*fields],
    }
    if summary.url:
        embed["url"] = summary.url
    if summary.occurred_at:
        embed["timestamp"] = summary.occurred_at
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _escape_slack(text: str) -> str:
    """Escape what Slack takes for a mention, a link or an entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _find_url(value: object) -> str | None:
    is_url = isinstance(value, str) and value.startswith(("https://", "http://")) and value.isprintable()
    return value if is_url and isinstance(value, str) and len(value) <= _MAX_URL_CHARACTERS else None


def _to_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _as_pair(tag: object) -> tuple[str, object]:
    return (str(tag[0]), tag[1]) if isinstance(tag, list | tuple) and len(tag) == 2 else ("tag", tag)  # noqa: PLR2004


def _cut(text: str, limit: int) -> str:
    """Return a text of at most so many characters, without control characters."""
    head = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    return head if len(head) <= limit else f"{head[: limit - 1]}…"
