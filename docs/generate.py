# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Generates the tables of the docs from the code, between their markers. ``make docs`` runs it."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.cli.cli_config import GroupCommand

from airflow_provider_hooks import exceptions
from airflow_provider_hooks._runtime import telemetry
from airflow_provider_hooks.cli.commands import DESCRIPTIONS, get_service_hooks_cli_commands
from airflow_provider_hooks.decorators.service_hook import ServiceHookDecoratedOperator
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.delivery.record import Attempt, DeliveryInfo, Record
from airflow_provider_hooks.events.builders import build_event_alert, build_event_created
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import FORMATS, encode_event
from airflow_provider_hooks.events.schema import AlertSchema, CreatedSchema, InnerSchema, list_fields
from airflow_provider_hooks.events.types import EVENT_ALERT, EVENT_CREATED
from airflow_provider_hooks.http.result import Phases
from airflow_provider_hooks.notifications.service_hook import ServiceHookNotifier
from airflow_provider_hooks.operators import delivery, registration
from airflow_provider_hooks.outcomes import ErrorClass
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
    from airflow_provider_hooks.registries.base import PlatformApi
    from airflow_provider_hooks.registries.model import Platform

DOCS = Path(__file__).parent
PAGES = (*sorted(DOCS.rglob("*.md")), *sorted(DOCS.parent.glob("*.md")))
CLASSES = {
    "created": delivery.DeliverEventCreatedOperator,
    "alert": delivery.DeliverEventAlertOperator,
    "deliver_event": delivery.DeliverEventOperator,
    "deliver_events": delivery.DeliverEventStreamOperator,
    "decorator": ServiceHookDecoratedOperator,
    "register": registration.RegisterServiceHookOperator,
    "ensure": registration.EnsureServiceHookOperator,
    "update": registration.UpdateServiceHookOperator,
    "delete": registration.DeleteServiceHookOperator,
    "rotate": registration.RotateServiceHookSecretOperator,
    "notifier": ServiceHookNotifier,
}
"""The classes whose arguments are a table."""
SHARED = {
    "every_delivery": ("created", "alert", "deliver_event", "deliver_events", "decorator"),
    "fields": ("created", "alert", "decorator"),
    "documented_events": ("created", "alert"),
    "declared_hooks": ("register", "ensure"),
    "existing_hooks": ("update", "delete", "rotate"),
}
"""The classes whose common arguments are one table, not a part of the table of each. Earlier groups have precedence."""
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


_INNER_NAMES = {"id": "event_id"}
"""The fields whose name in the inner event is another one."""


def _draw_fields() -> str:
    rows = []
    created, alert = list_fields(EVENT_CREATED), list_fields(EVENT_ALERT)
    for name, field in {**created, **alert}.items():
        default = "required" if field.default is None else f"`{field.default}`" if field.default else "empty"
        if name in {"datetime", "timestamp"}:
            default = "one of `datetime` and `timestamp` is required, and gives both"
        what = (field.parse.__doc__ or "").strip().removeprefix("Parse ").replace("``", "`")
        inner = _INNER_NAMES.get(name, name)
        places = [name] if name in CreatedSchema.__struct_fields__ else []
        places += [f"event.{inner}"] if inner in InnerSchema.__struct_fields__ else []
        in_alert = f"`{name}`" if name in AlertSchema.__struct_fields__ else ""
        rows.append([f"`{name}`", ", ".join(f"`{one}`" for one in places), in_alert, what, default])
    return _draw(["field", "place in `event.created`", "place in `event.alert`", "value", "default"], rows)


_SHARED_FIELDS = {
    "id": "orders-2026-01-01",
    "project": "orders",
    "project_id": "orders",
    "project_name": "Orders",
    "culprit": "orders.load",
    "url": "https://airflow.example.com/dags/orders",
}
_FRAME = {
    "filename": "orders.py",
    "abs_path": "/opt/airflow/dags/orders.py",
    "module": "orders",
    "function": "load",
    "lineno": 12,
    "context_line": "    total += order['amount']",
}


def _draw_event_example(event_type: str) -> str:
    """Draw the body of a request with one of the documented payloads."""
    if event_type == EVENT_CREATED:
        error = {"type": "KeyError", "value": "'amount'", "stacktrace": {"frames": [_FRAME]}}
        payload = build_event_created(
            **_SHARED_FIELDS,
            message="KeyError: 'amount'",
            logger="orders",
            datetime="2026-01-01T12:00:00Z",
            tags={"environment": "production"},
            exception={"values": [error]},
        )
    else:
        payload = build_event_alert(
            **_SHARED_FIELDS, message="Order 7 is late", triggering_rules=["Orders arrive in time"]
        )
    return f"\n```json\n{json.dumps(payload, indent=2)}\n```\n\n"


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


@functools.cache
def _list_arguments(class_name: str) -> dict[str, list[str]]:
    """Return a row for each argument of a class, from its docstring and those of its bases in this package."""
    cls = CLASSES[class_name]
    rows: dict[str, list[str]] = {}
    for kind in (one for one in cls.__mro__ if one.__module__.startswith("airflow_provider_hooks.")):
        parameters = inspect.signature(kind.__init__).parameters
        for name, description in _PARAM.findall(inspect.cleandoc(kind.__doc__ or "") + "\n"):
            default = parameters[name].default if name in parameters else inspect.Parameter.empty
            if default is inspect.Parameter.empty or name not in rows:
                shown = {inspect.Parameter.empty: "", None: ""}.get(default, f"`{default}`")
                rows.setdefault(name, [f"`{name}`", " ".join(description.split()).replace("``", "`"), shown])
    return rows


@functools.cache
def _list_shared(group: str) -> dict[str, list[str]]:
    """Return the rows that the classes of a group have in common, without those of an earlier group."""
    first, *others = [_list_arguments(name) for name in SHARED[group]]
    earlier = [_list_shared(one) for one in list(SHARED)[: list(SHARED).index(group)]]
    return {
        name: row
        for name, row in first.items()
        if all(other.get(name) == row for other in others) and not any(one.get(name) == row for one in earlier)
    }


def _draw_arguments(name: str) -> str:
    """Draw the arguments of a class that are in no table of shared arguments."""
    shared = [_list_shared(group) for group, names in SHARED.items() if name in names]
    return _draw_rows(
        [row for key, row in _list_arguments(name).items() if not any(one.get(key) == row for one in shared)]
    )


def _draw_shared(group: str) -> str:
    return _draw_rows(list(_list_shared(group).values()))


def _draw_rows(rows: Sequence[Sequence[str]]) -> str:
    """Draw arguments, without the column of defaults if none has one."""
    width = 3 if any(row[2] for row in rows) else 2
    return _draw(["argument", "description", "default"][:width], [row[:width] for row in rows])


def _list_described(cls: type) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and docstring of each attribute of a class, in the order of its source."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101  (for mypy)
    for node, follower in zip(tree.body, tree.body[1:], strict=False):
        described = isinstance(follower, ast.Expr) and isinstance(follower.value, ast.Constant)
        text = " ".join(str(follower.value.value).split()).replace("``", "`") if described else ""
        if isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), ast.unparse(node.annotation), text
        elif isinstance(node, ast.Assign):
            yield ast.unparse(node.targets[0]), "", text


def _require(name: str, text: str) -> str:
    if not text:
        raise ValueError(f"{name} has no docstring, which the docs show")
    return text


def _draw_error_classes() -> str:
    described = {name: _require(name, text) for name, _, text in _list_described(ErrorClass)}
    return _draw(["error class", "meaning"], [[f"`{one.value}`", described[one.name]] for one in ErrorClass])


_JSON_TYPES = {
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "`true` or `false`",
    "Outcome": "text",
    "ErrorClass": "text",
    "dict[str, str]": "object",
    "Phases": "object",
}


def _draw_record() -> str:
    """Draw the fields of a delivery record, in the order in which they are stored."""
    own = [one for one in _list_described(Record) if one[0] not in {"info", "attempt"}]
    phases = [
        (f"phases.{name}", kind, f"{_require(name, text)} In milliseconds.")
        for name, kind, text in _list_described(Phases)
    ]
    rows = []
    for name, kind, text in (*_list_described(DeliveryInfo), *own, *_list_described(Attempt), *phases):
        base, _, optional = kind.partition(" | ")
        rows.append([f"`{name}`", _JSON_TYPES[base] + (", or `null`" if optional else ""), _require(name, text)])
    return _draw(["field", "type", "meaning"], rows)


_METRICS = {
    f"{telemetry.DELIVERIES}.<outcome>": (
        "counter",
        "outcomes of deliveries, once for each try that reported one",
        "`endpoint`, `event_type`, `outcome`",
    ),
    telemetry.ATTEMPT_DURATION: (
        "timer",
        "the whole time of one HTTP request",
        "`endpoint`, `event_type`, `outcome`",
    ),
}
_ATTRIBUTES = {
    "service_hooks.endpoint": "the connection id of the endpoint",
    "service_hooks.event_type": "the event type",
    "service_hooks.delivery_id": "the delivery id, as in the record and in the request",
    "service_hooks.outcome": "`delivered`, `rejected`, `not_sent` or `unknown`",
    "http.response.status_code": "the status of the response, if there is one",
    "error.type": "the error class, if there is one",
}


def _draw_metrics() -> str:
    return _draw(
        ["metric", "kind", "what it measures", "tags"], [[f"`{name}`", *row] for name, row in _METRICS.items()]
    )


def _draw_attributes() -> str:
    """Draw the attributes of the span of an attempt."""
    names = re.findall(r'set_attribute\("([^"]+)"', inspect.getsource(telemetry))
    return _draw(["attribute", "value"], [[f"`{name}`", _ATTRIBUTES[name]] for name in names])


_RETRIED = {
    "EndpointDisabledError": "the task is skipped",
    "ConnectError": "is not raised by a task: the delivery is `not_sent`",
    "ResolverError": "is not raised by a task: the delivery is `not_sent`",
    "ProxyError": "is not raised by a task: the delivery is `not_sent`",
    "RegistryError": "yes if no response arrived, and after "
    + ", ".join(map(str, sorted(exceptions._RETRYABLE_STATUSES)))  # noqa: SLF001  (the page lists them)
    + "; otherwise no",
    "StateStoreError": "yes",
    "DeliveryError": "its subclass decides",
    "NotificationError": "the task keeps its state",
    "ServiceHookError": "its subclass decides",
}
"""Where the class attribute ``retryable`` does not say whether Airflow retries a task."""


def _list_exceptions(parent: type[exceptions.ServiceHookError]) -> Iterator[type[exceptions.ServiceHookError]]:
    """Yield an exception and its subclasses, each once, depth first."""
    yield parent
    for name in exceptions.__all__:
        child = getattr(exceptions, name)
        if child.__bases__[0] is parent:
            yield from _list_exceptions(child)


def _draw_exception_tree() -> str:
    """Draw the tree as the docstring of the module has it, which a test compares with the classes."""
    tree = re.search(r"::\n\n(.*?)\n\n", inspect.cleandoc(exceptions.__doc__ or ""), re.DOTALL)
    assert tree is not None  # noqa: S101  (for mypy)
    return f"\n```text\n{textwrap.dedent(tree[1])}\n```\n\n"


def _draw_exceptions() -> str:
    rows = []
    for kind in _list_exceptions(exceptions.ServiceHookError):
        meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n:param")[0]
        retried = _RETRIED.get(kind.__name__, "yes" if kind.retryable else "no")
        rows.append([f"`{kind.__name__}`", " ".join(meaning.split()).replace("``", "`"), retried])
    return _draw(["exception", "meaning", "does Airflow retry the task?"], rows)


def _draw_routes() -> str:
    """Draw the routes of the pages' API, from its OpenAPI document."""
    from airflow_provider_hooks.ui.app import build_app  # noqa: PLC0415  (it imports Airflow's API server)

    rows = []
    for path, methods in build_app().openapi()["paths"].items():
        for method, one in methods.items():
            query = [f"`{given['name']}`" for given in one.get("parameters", ()) if given["in"] == "query"]
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            fields = [f"`{body['$ref'].rpartition('/')[2]}`"] if "$ref" in body else []
            text = " ".join(one["description"].split())
            rows.append([f"`{method.upper()} {path}`", text, ", ".join([*query, *fields])])
    return _draw(["route", "what it does", "parameters, or schema of the body"], rows)


def _draw_platform_events() -> str:
    rows = [[api.platform.title, _describe_events(api)] for api in load_platforms().values()]
    return _draw(["platform", "events"], rows)


def _describe_events(api: type[PlatformApi]) -> str:
    if "events" not in api.fields:
        return "not selectable: all are sent"
    if api.known_events:
        return ", ".join(f"`{event}`" for event in api.known_events)
    examples = ", ".join(f"`{event}`" for event in api.example_events)
    return f"any name, such as {examples}" if examples else "any name"


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
    **{name: functools.partial(_draw_arguments, name) for name in CLASSES if name != "delete"},
    **{name: functools.partial(_draw_shared, name) for name in SHARED},
    "platforms": _draw_platforms,
    "service_hook": lambda: _draw_connection(SERVICE_HOOK),
    "service_hook_registry": lambda: _draw_connection(describe_connection_type()),
    "settings": _draw_settings,
    "schemes": _draw_schemes,
    "signature_options": _draw_signature_options,
    "formats": _draw_formats,
    "format_examples": _draw_format_examples,
    "event_fields": _draw_fields,
    "event_created": functools.partial(_draw_event_example, EVENT_CREATED),
    "event_alert": functools.partial(_draw_event_example, EVENT_ALERT),
    "error_classes": _draw_error_classes,
    "record": _draw_record,
    "metrics": _draw_metrics,
    "attributes": _draw_attributes,
    "exception_tree": _draw_exception_tree,
    "exceptions": _draw_exceptions,
    "routes": _draw_routes,
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
