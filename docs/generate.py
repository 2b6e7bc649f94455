# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Generates the tables of the docs from the code, between their markers. ``make docs`` runs it."""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.cli.cli_config import GroupCommand

from airflow_provider_hooks.cli.commands import DESCRIPTIONS, get_service_hooks_cli_commands
from airflow_provider_hooks.decorators.service_hook import ServiceHookDecoratedOperator
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.delivery.record import ErrorClass
from airflow_provider_hooks.events.builders import build_event_alert
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import FORMATS, encode_event
from airflow_provider_hooks.events.schema import list_fields
from airflow_provider_hooks.events.types import EVENT_TYPES
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators import delivery, registration
from airflow_provider_hooks.registries.connection import describe_connection_type
from airflow_provider_hooks.registries.model import Operation
from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.sandbox.platform import FAULTS
from airflow_provider_hooks.settings import OPTIONS
from airflow_provider_hooks.signing import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow.cli.cli_config import CLICommand

    from airflow_provider_hooks.connection_form import ConnectionType
    from airflow_provider_hooks.registries.model import Platform

DOCS = Path(__file__).parent
PAGES = (*sorted(DOCS.rglob("*.md")), *sorted(DOCS.parent.glob("*.md")))
CLASSES = {
    "deliver_events": delivery.DeliverEventStreamOperator,
    "register": registration.RegisterServiceHookOperator,
    "ensure": registration.EnsureServiceHookOperator,
    "update": registration.UpdateServiceHookOperator,
    "delete": registration.DeleteServiceHookOperator,
    "rotate": registration.RotateServiceHookSecretOperator,
    "decorator": ServiceHookDecoratedOperator,
    "notifier": ServiceHookNotifier,
}
_PARAM = re.compile(r":param (\w+): (.*?)(?=\n(?::|\n|\Z)|\Z)", re.DOTALL)
_BLOCK = re.compile(r"(<!-- table: (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _draw(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _draw_connection(kind: ConnectionType) -> str:
    rows = [[f"`{field.name}`", field.label, field.description] for field in kind.standard]
    for field in kind.extra:
        choices = f" One of {', '.join(f'`{choice}`' for choice in field.choices)}." if field.choices else ""
        default = f" Default `{field.default}`." if field.default else ""
        rows.append([f"`extra.{field.name}`", field.label, f"{field.description}{choices}{default}"])
    return _draw(["field", "label", "description"], rows)


def _draw_schemes() -> str:
    rows = [
        [
            f"`{scheme.name}`",
            scheme.description,
            f"`{scheme.signed_content}`" if scheme.signed_content else "",
            "all" if scheme.several_signatures else "the newest" if scheme.signature_header else "",
            scheme.source,
        ]
        for scheme in SCHEMES.values()
    ]
    return _draw(["scheme", "description", "signed content", "secrets that sign", "source"], rows)


def _draw_signature_options() -> str:
    rows = [
        [f"`{scheme.name}`", f"`{option}`", meaning]
        for scheme in SCHEMES.values()
        for option, meaning in scheme.options.items()
    ]
    return _draw(["scheme", "option", "meaning"], rows)


def _draw_formats() -> str:
    rows = [(f"`{one.name}`", one.description, f"`{one.content_type}`", one.source) for one in FORMATS.values()]
    return _draw(("format", "description", "content type", "source"), rows)


EXAMPLE = Event(
    type="orders.late",
    id="order-7",
    occurred_at="2026-01-01T12:00:00.000Z",
    source="https://airflow.example.com/dags/orders/tasks/check",
    data={
        "message": "Order 7 is late",
        "level": "error",
        "url": "https://airflow.example.com/dags/orders",
        "order": 7,
    },
)
_SETTINGS = {
    "pagerduty": FormatSettings(name="pagerduty", key="***"),
    "template": FormatSettings(
        name="template", template='{"text": {{ (event.data.level ~ ": " ~ event.data.message) | tojson }}}'
    ),
}


def _draw_format_examples() -> str:
    """Draw what each format makes of one event."""
    parts = []
    for name, one in FORMATS.items():
        event_type, event = EXAMPLE.type, EXAMPLE
        if name == "sentry":
            event_type = "event.alert"
            event = build_event_alert(
                id="order-7",
                project="orders",
                project_id="orders",
                project_name="Orders",
                culprit="orders.check",
                triggering_rules=["Orders arrive in time"],
                **{name: EXAMPLE.data[name] for name in ("message", "level", "url")},
            )
        used = _SETTINGS.get(name, FormatSettings(name=name))
        encoded = encode_event(event_type, event, format_name=None, settings=used, max_payload_bytes=10_000)
        headers = "".join(f"{header}: {value}\n" for header, value in encoded.headers.items())
        body = json.dumps(json.loads(encoded.body), indent=2, ensure_ascii=False)
        shown = f"{headers}\n" if headers else ""
        made = f" of the template `{used.template}`" if used.template else ""
        language = "http" if headers else "json"
        parts.append(f"`{one.name}`{made}:\n\n```{language}\n{shown}{body}\n```\n")
    return "\n" + "\n".join(parts) + "\n"


def _draw_fields() -> str:
    rows = []
    for event_type in EVENT_TYPES:
        for name, field in list_fields(event_type).items():
            default = "required" if field.default is None else f"`{field.default}`" if field.default else "empty"
            what = (field.parse.__doc__ or "").strip().removeprefix("Parse ").replace("``", "`")
            rows.append([f"`{event_type}`", f"`{name}`", what, default])
    return _draw(["event", "field", "value", "default"], rows)


def _draw_settings() -> str:
    rows = [[f"`{one.name}`", f"`{one.default}`" if one.default else "", one.description] for one in OPTIONS]
    return _draw(["option", "default", "description"], rows)


def _list_platforms() -> list[Platform]:
    return [api.platform for api in load_platforms().values()]


def _draw_platforms() -> str:
    rows = []
    for operation in Operation:
        cells = ["yes" if operation in one.operations else one.find_alternative(operation) for one in _list_platforms()]
        rows.append([operation.value, *cells])
    rows.append(["documented in", *(one.source for one in _list_platforms())])
    return _draw(["", *(f"{one.title} (`{one.name}`)" for one in _list_platforms())], rows)


def _draw_arguments(cls: type) -> str:
    """Draw the arguments of a class, from its docstring and those of its bases in this package."""
    rows: dict[str, list[str]] = {}
    for kind in (one for one in cls.__mro__ if one.__module__.startswith("airflow_provider_hooks.")):
        parameters = inspect.signature(kind.__init__).parameters
        for name, description in _PARAM.findall(inspect.cleandoc(kind.__doc__ or "") + "\n"):
            default = parameters[name].default if name in parameters else inspect.Parameter.empty
            if default is inspect.Parameter.empty or name not in rows:
                shown = {inspect.Parameter.empty: "", None: ""}.get(default, f"`{default}`")
                rows.setdefault(name, [f"`{name}`", " ".join(description.split()).replace("``", "`"), shown])
    return _draw(["argument", "description", "default"], rows.values())


def _draw_platform_events() -> str:
    rows = []
    for api in load_platforms().values():
        known = ", ".join(f"`{event}`" for event in api.known_events)
        none = "not selectable: all alerts" if "events" not in api.fields else ""
        rows.append([api.platform.title, known or none or "any name; `deployment.build.created` is documented"])
    return _draw(["platform", "events"], rows)


def _draw_secrets() -> str:
    rows = [[f"{one.title} (`{one.name}`)", one.secret_visibility] for one in _list_platforms()]
    return _draw(["platform", "secret"], rows)


def _draw_faults() -> str:
    return _draw(["kind", "effect"], [[f"`{kind.value}`", effect] for kind, effect in FAULTS.items()])


def _list_commands(commands: Iterable[CLICommand], group: str = "") -> Iterator[Sequence[str]]:
    for command in commands:
        if isinstance(command, GroupCommand):
            yield from _list_commands(command.subcommands, f"{group}{command.name} ")
        else:
            positional = [arg for arg in command.args if not arg.flags[0].startswith("-")]
            shown = [arg.kwargs["metavar"] for arg in positional]
            yield [f"`{' '.join([f'{group}{command.name}', *shown])}`", command.help]


def _draw_commands() -> str:
    (own,) = get_service_hooks_cli_commands()
    return _draw(["`airflow service-hooks …`", "description"], _list_commands(own.subcommands))


def _draw_exit_codes() -> str:
    return _draw(["status", "meaning"], [[str(code.value), text] for code, text in DESCRIPTIONS.items()])


TABLES = {
    "commands": _draw_commands,
    "exit_codes": _draw_exit_codes,
    "platform_events": _draw_platform_events,
    "secrets": _draw_secrets,
    "faults": _draw_faults,
    **{name: functools.partial(_draw_arguments, cls) for name, cls in CLASSES.items()},
    "platforms": _draw_platforms,
    "service_hook": lambda: _draw_connection(SERVICE_HOOK),
    "service_hook_registry": lambda: _draw_connection(describe_connection_type()),
    "settings": _draw_settings,
    "schemes": _draw_schemes,
    "signature_options": _draw_signature_options,
    "formats": _draw_formats,
    "format_examples": _draw_format_examples,
    "event_fields": _draw_fields,
    "error_classes": lambda: ", ".join(f"`{one.value}`" for one in ErrorClass) + "\n",
}


def fill(text: str) -> str:
    """Return a page with each table between its markers generated."""
    return _BLOCK.sub(lambda found: f"{found[1]}{TABLES[found['name']]()}{found[3]}", text)


def main() -> int:
    """Update every page."""
    for page in PAGES:
        page.write_text(fill(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
