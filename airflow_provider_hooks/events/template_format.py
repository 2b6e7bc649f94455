# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The format of an endpoint whose connection has a Jinja template. Jinja is imported only where it is used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_hooks.events.format_base import (
    DEFAULT_MAX_PAYLOAD_BYTES,
    NO_SETTINGS,
    Format,
    FormatSettings,
    Message,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.events.event import Event

MAX_TEMPLATE_CHARACTERS = 65_536
_NAME = r"[A-Za-z0-9!#$&^_.+-]{1,60}"
_CONTENT_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:; ?{_NAME}={_NAME}){{0,4}}", re.ASCII)
_JSON_TYPE = re.compile(r"[^;]*[/+]json(?:;.*)?", re.ASCII | re.IGNORECASE)


class TemplateFormat(Format):
    """
    What the template of the connection makes of an event.

    :param settings: the template, its content type and the key that it can use; ``bind`` sets them
    """

    name = "template"
    title = "your template (template)"
    description = "What the connection's Jinja template makes of the event; by default it must make JSON"
    source = "https://jinja.palletsprojects.com/en/stable/templates/"
    key_use = "optional"
    uses_template = True

    def __init__(self, settings: FormatSettings = NO_SETTINGS) -> None:
        self._settings = settings
        self.content_type = settings.content_type
        self._makes_json = _JSON_TYPE.fullmatch(settings.content_type) is not None

    def bind(self, settings: FormatSettings) -> TemplateFormat:
        """Return the format with the endpoint's template."""
        return TemplateFormat(settings)

    def find_problems(self, settings: FormatSettings) -> Mapping[str, str]:
        """Return what is wrong with the template and its content type."""
        from airflow_provider_hooks.events.template_rendering import find_syntax_error  # noqa: PLC0415

        problems: dict[str, str] = {}
        if not settings.template:
            problems["template"] = "is empty; the format template needs a Jinja template of the body here"
        elif len(settings.template) > MAX_TEMPLATE_CHARACTERS:
            problems["template"] = f"has over {MAX_TEMPLATE_CHARACTERS} characters"
        elif (problem := find_syntax_error(settings.template)) is not None:
            problems["template"] = problem
        if not _CONTENT_TYPE.fullmatch(settings.content_type):
            problems["template_content_type"] = "must be a media type, such as application/json or text/plain"
        return problems

    def encode(self, event: Event, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES) -> Message:
        """
        Return what the template makes of the event, in UTF-8.

        :raises PayloadError: if the template fails, with its line, or its result is larger than allowed or must be
            JSON and is not
        """
        from airflow_provider_hooks.events.template_rendering import render  # noqa: PLC0415

        fields: dict[str, object] = {
            "type": event.type,
            "id": event.id,
            "source": event.source,
            "time": event.occurred_at,
            "data": event.data,
        }
        # Data that JSON cannot represent, or that is too large, is refused before the template works on it.
        encode(fields, max_payload_bytes=max_payload_bytes)
        names: dict[str, object] = {"event": fields}
        if self._settings.key is not None:
            names["key"] = self._settings.key
        body = render(
            self._settings.template, names, max_payload_bytes=max_payload_bytes, must_be_json=self._makes_json
        )
        return Message(body)
