# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``hooks list``, ``ensure`` and ``delete``: the hooks of a platform, through the connection of its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.models import Variable
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_hooks._runtime.variable_store import default_variable_name
from airflow_provider_hooks.admin.task_instances import database_errors
from airflow_provider_hooks.cli._run import command, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.operators._arguments import choose, read_name
from airflow_provider_hooks.registries.model import HookSpec

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_provider_hooks.json_types import JsonObject


@command
def list_hooks(args: Namespace) -> ExitCode:
    """Print all hooks of a platform; never a secret or a header."""
    show([hook.as_json() for hook in RegistryHook(args.service_hook_registry_conn_id).list_hooks()], args.output)
    return ExitCode.DONE


@command
def ensure_hooks(args: Namespace) -> ExitCode:
    """Make hooks as declared, and print what changed; their secrets are written to the Variable only."""
    hook = RegistryHook(args.service_hook_registry_conn_id, store=StoredVariables())
    spec, variable = _read_declaration(args, hook)
    result = hook.ensure_hooks(
        spec,
        name=args.name,
        variable=variable,
        hook_id=args.hook_id,
        on_uncertain_create=args.on_uncertain_create,
    )
    hooks = [one.as_json() for one in result.hooks]
    data: JsonObject = {"change": result.change, "hooks": [*hooks], "secret_variable": variable}
    rows: list[JsonObject] = [{"change": result.change, **one, "secret_variable": variable} for one in hooks]
    ids = ", ".join(one.hook_id for one in result.hooks)
    show(data, args.output, rows=rows, done=f"'{args.name}' is {result.change}: service hook {ids}")
    return ExitCode.DONE


@command
def delete_hooks(args: Namespace) -> ExitCode:
    """Delete hooks, and print which existed and which were gone already."""
    hook = RegistryHook(args.service_hook_registry_conn_id, store=StoredVariables())
    deleted, gone = hook.delete_hooks(args.hook_ids, variable=args.variable)
    results = {**dict.fromkeys(deleted, "deleted"), **dict.fromkeys(gone, "gone")}
    rows: list[JsonObject] = [{"hook_id": hook_id, "result": result} for hook_id, result in results.items()]
    summary = f"deleted {', '.join(deleted) or 'none'}; gone already {', '.join(gone) or 'none'}"
    show({"deleted": [*deleted], "gone": [*gone]}, args.output, rows=rows, done=summary)
    return ExitCode.DONE


def _read_declaration(args: Namespace, hook: RegistryHook) -> tuple[HookSpec, str]:
    problems = ValidationErrors("the declaration")
    choose(problems, **{"--url": args.url, "--endpoint": args.service_hook_conn_id})
    read_name(problems, "--name", args.name)
    url, variable = args.url, args.variable
    if url:
        _check_without_token(problems, url)
    elif args.service_hook_conn_id:
        subscription = EndpointHook(args.service_hook_conn_id).read_subscription()
        problems.collect(lambda: hook.check_subscription(subscription))
        url, variable = subscription.url, variable or subscription.secret_variable
    variable = variable or default_variable_name(args.service_hook_registry_conn_id, args.name)
    events = tuple(args.events) if args.events else None
    spec = HookSpec(url=url, events=events, name=args.name, is_active=not args.inactive)
    if url:
        problems.collect(lambda: hook.check_declaration(spec, variable=variable, hook_id=args.hook_id))
    problems.raise_if_any()
    return spec, variable


def _check_without_token(problems: ValidationErrors, url: str) -> None:
    """Reject a URL that may hold a token, which the process list and the shell's history would show."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return  # the platform's check reports what is wrong with it
    if parts.query or "@" in parts.netloc:
        problem = "has a query or a user, which may be a token: store it in a connection, and use --endpoint"
        problems.add("--url", problem)


class StoredVariables:
    """Writes, deletes and lists Variables, each call in its own transaction, as the Execution API does."""

    def set(self, key: str, value: str, description: str | None = None) -> None:
        """
        Write a Variable.

        :raises ServiceHookError: if the database fails
        """
        with database_errors():
            Variable.set(key, value, description=description)

    def delete(self, key: str) -> None:
        """
        Delete a Variable, if it exists.

        :raises ServiceHookError: if the database fails
        """
        with database_errors():
            Variable.delete(key)

    def keys(self, prefix: str | None = None) -> Sequence[str]:
        """
        Return the names of the Variables that begin with a prefix; the comparison is case-sensitive.

        :raises ServiceHookError: if the database fails
        """
        start = prefix or ""
        with database_errors(), create_session() as session:
            found = session.scalars(select(Variable.key).where(Variable.key.startswith(start, autoescape=True)))
            return [key for key in found if key and key.startswith(start)]
