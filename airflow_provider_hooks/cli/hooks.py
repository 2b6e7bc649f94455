# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``hooks list``, ``ensure`` and ``delete``: what a platform has, by its registry's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_hooks._runtime.variable_store import default_variable_name
from airflow_provider_hooks.cli._run import command, show
from airflow_provider_hooks.cli.commands import ExitCode
from airflow_provider_hooks.cli.variables import StoredVariables
from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.operators._validators import choose, read_name
from airflow_provider_hooks.registries.model import HookSpec

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_hooks.json_types import JsonObject


@command
def list_hooks(args: Namespace) -> ExitCode:
    """Print every hook that a platform has; never a secret or a header."""
    show([hook.as_json() for hook in RegistryHook(args.service_hook_registry_conn_id).list_hooks()], args.output)
    return ExitCode.DONE


@command
def ensure_hooks(args: Namespace) -> ExitCode:
    """Have hooks as they are declared, and print what it took; their secrets go to the Variable alone."""
    hook = RegistryHook(args.service_hook_registry_conn_id, store=StoredVariables())
    spec, variable = _read_declaration(args, hook)
    ensured = hook.ensure_hooks(
        spec, name=args.name, variable=variable, hook_id=args.hook_id, on_unknown=args.on_unknown
    )
    hooks = [one.as_json() for one in ensured.hooks]
    told: JsonObject = {"change": ensured.change, "hooks": [*hooks], "secret_variable": variable}
    rows: list[JsonObject] = [{"change": ensured.change, **one, "secret_variable": variable} for one in hooks]
    ids = ", ".join(one.hook_id for one in ensured.hooks)
    show(told, args.output, rows=rows, done=f"'{args.name}' is {ensured.change}: service hook {ids}")
    return ExitCode.DONE


@command
def delete_hooks(args: Namespace) -> ExitCode:
    """Delete hooks, and print which were there and which were gone already."""
    hook = RegistryHook(args.service_hook_registry_conn_id, store=StoredVariables())
    deleted, gone = hook.delete_hooks(args.hook_ids, variable=args.variable)
    results = {**dict.fromkeys(deleted, "deleted"), **dict.fromkeys(gone, "gone")}
    rows: list[JsonObject] = [{"hook_id": hook_id, "result": result} for hook_id, result in results.items()]
    told = f"deleted {', '.join(deleted) or 'none'}; gone already {', '.join(gone) or 'none'}"
    show({"deleted": [*deleted], "gone": [*gone]}, args.output, rows=rows, done=told)
    return ExitCode.DONE


def _read_declaration(args: Namespace, hook: RegistryHook) -> tuple[HookSpec, str]:
    problems = ValidationErrors("the declaration")
    choose(problems, **{"--url": args.url, "--endpoint": args.service_hook_conn_id})
    read_name(problems, "--name", args.name)
    url, variable = args.url, args.variable
    if url:
        _check_shown(problems, url)
    elif args.service_hook_conn_id:
        url, kept = EndpointHook(args.service_hook_conn_id).read_subscription()
        variable = variable or kept
    variable = variable or default_variable_name(args.service_hook_registry_conn_id, args.name)
    events = tuple(args.events) if args.events else None
    spec = HookSpec(url=url, events=events, name=args.name, is_active=not args.inactive)
    if url:
        problems.collect(lambda: hook.check_declaration(spec, variable=variable, hook_id=args.hook_id))
    problems.raise_if_any()
    return spec, variable


def _check_shown(problems: ValidationErrors, url: str) -> None:
    """Note a URL whose token every list of processes and every shell's history would show."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return  # the platform's check says what is wrong with it
    if parts.query or "@" in parts.netloc:
        told = "has a query or a user, which may hold a token: keep it in a connection, and say --endpoint"
        problems.add("--url", told)
