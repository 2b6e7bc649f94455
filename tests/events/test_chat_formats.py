# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Events as messages in a chat channel."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.events import build_event_alert, build_event_created
from airflow_provider_hooks.events.chat_formats import _ChatFormat, summarize_event
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import FORMATS, encode_event
from airflow_provider_hooks.exceptions import ValidationError
from tests.events_data import ALERT, CREATED
from tests.security.properties_data import json_values

CHATS = [name for name, one in FORMATS.items() if isinstance(one, _ChatFormat)]
HOSTILE_TEXTS = {
    "slack": (
        "<!channel> & <https://evil.example|click>",
        "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;",
    ),
    "discord": ("@everyone [x](https://evil.example)", r"\@everyone \[x\]\(https\://evil.example\)"),
    "teams": ("[x](https://evil.example)", r"\[x\]\(https\://evil.example\)"),
}
"""For each chat format, a text that would mention a user or make a link, and its escaped form."""
relaxed = settings(max_examples=150, deadline=None, derandomize=True)
URL = "https://airflow.example.com/dags/orders"


def make(data: object, *, event_type: str = "orders.late") -> Event:
    return Event(type=event_type, id="e-1", occurred_at="2026-01-01T12:00:00.000Z", source="", data=data)


def encode(name: str, event, *, event_type: str = "orders.late") -> dict:
    encoded = encode_event(
        event_type, event, format_name=None, settings=FormatSettings(name=name), max_payload_bytes=100_000
    )
    assert encoded.content_type == "application/json"
    return json.loads(encoded.body)


LATE = make(
    {"message": "Order 7 is late", "level": "error", "url": URL, "order": 7, "lines": [{"sku": "a"}], "none": None}
)


def test_a_slack_message_has_blocks_and_a_text_for_notifications():
    assert encode("slack", LATE) == {
        "text": "ERROR: Order 7 is late",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "ERROR: Order 7 is late", "emoji": False}},
            {
                "type": "section",
                "fields": [
                    {"type": "mrkdwn", "text": "*event*\norders.late"},
                    {"type": "mrkdwn", "text": "*order*\n7"},
                    {"type": "mrkdwn", "text": '*lines*\n[{"sku": "a"}]'},
                ],
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f"<{URL}|Open in Airflow>"}]},
        ],
    }


def test_a_teams_message_has_an_adaptive_card():
    message = encode("teams", LATE)
    (attachment,) = message["attachments"]
    card = attachment["content"]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    title, facts = card["body"]
    assert title["inlines"][0]["text"] == "ERROR: Order 7 is late"
    assert title["inlines"][0]["color"] == "Attention"
    assert facts["facts"][1] == {"title": "order", "value": "7"}
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open in Airflow", "url": URL}]


def test_a_discord_message_has_an_embed_and_mentions_no_user():
    message = encode("discord", LATE)
    (embed,) = message["embeds"]
    assert message["allowed_mentions"] == {"parse": []}
    assert (embed["title"], embed["url"], embed["timestamp"]) == (
        "ERROR: Order 7 is late",
        URL,
        "2026-01-01T12:00:00.000Z",
    )
    assert embed["fields"][1] == {"name": "order", "value": "7", "inline": True}


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize(("event_type", "payload"), [("event.alert", ALERT), ("event.created", CREATED)])
def test_message_of_a_documented_event_has_its_text_and_url(name, event_type, payload):
    built = build_event_alert(payload) if event_type == "event.alert" else build_event_created(payload)
    shown = json.dumps(encode(name, built, event_type=event_type)).replace("\\\\", "")
    assert built["message"] in shown
    assert built["url"] in shown
    if event_type == "event.alert":
        assert built["triggering_rules"][0].split()[0] in shown


def test_every_chat_format_has_a_hostile_text():
    assert set(HOSTILE_TEXTS) == set(CHATS) >= {"slack", "teams", "discord"}


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_text_of_an_event_mentions_no_user_and_makes_no_link(name):
    text, shown = HOSTILE_TEXTS[name]
    message = encode(name, make({"message": "m", "from": text}))
    assert shown in json.dumps(message).replace("\\\\", "\\")


@relaxed
@given(json_values)
def test_message_of_any_data_is_within_the_limits_of_the_receivers(data):
    summary = summarize_event(make(data))
    assert 0 < len(summary.title) <= 150
    assert len(summary.facts) <= 10
    slack = encode("slack", make(data))
    assert len(slack["blocks"][0]["text"]["text"]) <= 150
    assert all(len(field["text"]) <= 2_000 for block in slack["blocks"] for field in block.get("fields", []))
    (embed,) = encode("discord", make(data))["embeds"]
    assert len(embed["title"]) <= 256
    assert all(len(field["name"]) <= 256 and 0 < len(field["value"]) <= 1_024 for field in embed["fields"])
    assert sum(len(field["name"]) + len(field["value"]) for field in embed["fields"]) + len(embed["title"]) <= 6_000
    encode("teams", make(data))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a\n.example", "https://" + "a" * 3_000, 7, None])
def test_invalid_url_is_not_a_link(url):
    assert summarize_event(make({"message": "m", "url": url})).url is None


@pytest.mark.parametrize("name", CHATS)
def test_chat_format_can_only_be_set_in_a_connection(name):
    with pytest.raises(ValidationError, match=f"format: {name} must be set in the connection"):
        encode_event("orders.late", LATE, format_name=name, max_payload_bytes=10_000)


def test_path_of_a_chat_endpoint_is_masked():
    token = "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    fields = ConnectionFields(
        conn_id="c",
        host=f"https://hooks.slack.com/services/{token}",
        password=None,
        extra={"scheme": "none", "format": "slack"},
    )
    endpoint = read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)
    assert endpoint.target.display_url == "https://hooks.slack.com/***"
    assert endpoint.target.request_target == f"/services/{token}"
    assert {f"/services/{token}", "XXXXXXXXXXXXXXXXXXXXXXXX"} <= set(endpoint.target.sensitive_parts)
    assert "XXXX" not in repr(endpoint)
