# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The documented payloads, as on Sentry's page on service hooks."""

from __future__ import annotations

CREATED = {
    "id": "abc123def456",
    "project": "my-project",
    "project_id": "1",
    "project_name": "My Project",
    "culprit": "app.views.index in get",
    "message": "TypeError: Cannot read property 'foo' of undefined",
    "url": "https://sentry.io/organizations/my-org/issues/12345/",
    "level": "error",
    "logger": "",
    "datetime": "2024-01-01T12:00:00.000Z",
    "event": {
        "event_id": "abc123def456",
        "message": "TypeError: Cannot read property 'foo' of undefined",
        "level": "error",
        "platform": "python",
        "timestamp": 1704067200.0,
        "tags": [["environment", "production"], ["release", "1.0.0"]],
        "exception": {
            "values": [
                {
                    "type": "TypeError",
                    "value": "Cannot read property 'foo' of undefined",
                    "stacktrace": {"frames": []},
                }
            ]
        },
    },
}

ALERT = {
    **{name: value for name, value in CREATED.items() if name not in {"logger", "datetime", "event"}},
    "triggering_rules": ["Rule Name"],
}

FIELDS = {
    "id": "abc123def456",
    "project": "my-project",
    "project_id": "1",
    "project_name": "My Project",
    "message": "It broke",
    "url": "https://example.com/issues/1",
}
"""The fields that every event requires."""
