# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``deliveries mark-delivered`` and ``resend``: what a user decides about deliveries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airflow_provider_hooks._runtime.airflow import read_settings
from airflow_provider_hooks._runtime.ledger import open_ledger
from airflow_provider_hooks.admin.actions import (
    clear,
    explain_not_marked,
    explain_sending,
    mark_received,
    plan_clears,
    write_state,
)
from airflow_provider_hooks.cli._run import command, eprint, open_stored_for_command, show
from airflow_provider_hooks.cli.commands import OUTCOME_CODES, ExitCode
from airflow_provider_hooks.delivery.claims import RESEND, SETTLED, Claim, ClaimOrigin
from airflow_provider_hooks.exceptions import ValidationError, ValidationErrors
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.ledger.advice import summarize
from airflow_provider_hooks.ledger.changes import replace_state
from airflow_provider_hooks.ledger.claims import LedgerClaimStore
from airflow_provider_hooks.ledger.payloads import PayloadStore

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_provider_hooks.admin.actions import Clear
    from airflow_provider_hooks.admin.stored import StoredDeliveries
    from airflow_provider_hooks.delivery.record import Record
    from airflow_provider_hooks.events.formats import EncodedEvent
    from airflow_provider_hooks.json_types import JsonObject
    from airflow_provider_hooks.ledger.history import Delivery, DeliveryDetails

_MAX_NAMED = 5


@command
def mark_delivered(args: Namespace) -> ExitCode:
    """Mark deliveries as received, so that a retry or a clear of their tasks sends nothing."""
    with open_stored_for_command() as stored:
        chosen = _find_all(stored, args.ids)
        problems = ValidationErrors("mark-delivered")
        for details in chosen:
            _note(problems, details, explain_not_marked(details))
        problems.raise_if_any()
        open_ = [details for details in chosen if details.delivery.state != SETTLED]
        if open_:
            _confirm(args, [f"{_name(one)}: will be marked as delivered; it is {summarize(one)}" for one in open_])
        rows = [
            _make_row(one, "marked as delivered" if mark_received(stored, one) else "unchanged")
            for one in sorted(chosen, key=lambda one: one.delivery.state != SETTLED)
        ]
    ids = ", ".join(str(one.delivery.id) for one in chosen)
    show(rows, args.output, done=f"marked as delivered: {ids}")
    return ExitCode.DONE


@command
def resend(args: Namespace) -> ExitCode:
    """Send deliveries again: each from its stored payload, or by a clear of the task that it comes from."""
    with open_stored_for_command() as stored:
        chosen = _find_all(stored, args.ids)
        exact = [_prepare_stored(details) for details in chosen if details.payload_stored_at is not None]
        others = [details for details in chosen if details.payload_stored_at is None]
        cleared = _plan_clears(stored, others, includes_whole_task=args.whole_task)
        lines = [line for group in cleared for line in _describe_clear(group)]
        _confirm(args, [*map(_describe_exact, exact), *lines])
        rows, code = [], ExitCode.DONE
        for group in cleared:
            clear(stored, group.chosen)
            rows += [_make_row(details, "the task is cleared and sends it again") for details in group.chosen]
        for prepared in exact:
            record = _send_stored(stored, prepared)
            rows.append(_make_row(prepared.details, record.summarize()))
            code = max(code, OUTCOME_CODES[record.attempt.outcome])
    ids = ", ".join(str(one.delivery.id) for one in chosen)
    show(rows, args.output, done=f"sent again, or their tasks are cleared: {ids}")
    return code


class _Prepared(NamedTuple):
    """A delivery whose stored event can be sent again. Nothing is changed yet."""

    details: DeliveryDetails
    hook: EndpointHook
    event: EncodedEvent
    store: LedgerClaimStore[Claim]


def _prepare_stored(details: DeliveryDetails) -> _Prepared:
    """
    Read the endpoint and the stored event of a delivery.

    :raises ServiceHookError: if either cannot be used, or the task that the delivery comes from is sending it
    """
    settings, one, claim = read_settings(), details.delivery, replace_state(details, RESEND)
    reason = explain_sending(details)
    if reason is None and not settings.payload_keys:
        reason = "its payload is encrypted: set [service_hooks] payload_keys"
    if reason is not None:
        raise ValidationError("resend", {_name(details): reason})
    database, hook = open_ledger(settings), EndpointHook(claim.info.endpoint)
    assert database is not None  # noqa: S101  (for mypy: a payload is only stored in a ledger)
    event = PayloadStore(database, settings.payload_keys).load(
        delivery_id=claim.info.delivery_id,
        body_sha256=claim.info.body_sha256,
        key=hook.get_conn().format_settings.key,
    )
    if event is None:
        raise ValidationError("resend", {_name(details): "its payload was deleted meanwhile; look again"})
    origin = msgspec.convert({name: getattr(one, name) for name in ClaimOrigin.__struct_fields__}, ClaimOrigin)
    patience = settings.state_store_timeout
    return _Prepared(
        details, hook, event, LedgerClaimStore(database, details.claim_key, Claim, origin=origin, patience=patience)
    )


def _describe_exact(prepared: _Prepared) -> str:
    details = prepared.details
    task = "; its task is not cleared" if details.delivery.origin == "task" else ""
    return f"{_name(details)}: will be sent again from here, from its stored payload{task}; it is {summarize(details)}"


def _send_stored(stored: StoredDeliveries, prepared: _Prepared) -> Record:
    """
    Send the stored event of a delivery again, once, and return its record.

    :raises ServiceHookError: if nothing was sent; the claim is as before, unless another process has it
    """
    details = prepared.details
    if details.delivery.state != RESEND:
        write_state(stored, details, RESEND)
    try:
        return prepared.hook.resend(replace_state(details, RESEND), prepared.event, store=prepared.store).record
    finally:
        # If nothing was claimed, the mark is still there, and the next try would send the event.
        stored.store_state(details, state=details.delivery.state, found=RESEND)


def _find_all(stored: StoredDeliveries, texts: Sequence[str]) -> list[DeliveryDetails]:
    """
    Return the deliveries that the arguments name, each once.

    :raises ValidationError: naming each argument that names none or several
    """
    problems = ValidationErrors("the deliveries")
    found: dict[int, DeliveryDetails] = {}
    for text in texts:
        try:
            details = stored.find(text)
        except ValidationError as error:
            problems.add(text, "; ".join(error.problems.values()))
        else:
            found[details.delivery.id] = details
    problems.raise_if_any()
    return list(found.values())


def _plan_clears(
    stored: StoredDeliveries, chosen: Sequence[DeliveryDetails], *, includes_whole_task: bool
) -> Sequence[Clear]:
    """
    Return which task instances must be cleared.

    :raises ValidationError: naming each delivery that cannot be sent again, and what to do
    """
    plan, problems = plan_clears(stored, chosen), ValidationErrors("resend")
    for id_, reason in plan.refused.items():
        problems.add(str(id_), reason)
    for one in plan.clears:
        if one.along and not includes_whole_task:
            problems.add(_name(one.chosen[0]), _explain_along(one.along))
    problems.raise_if_any()
    return plan.clears


def _explain_along(along: Sequence[Delivery]) -> str:
    named = ", ".join(str(one.id) for one in along[:_MAX_NAMED])
    more = f" and {len(along) - _MAX_NAMED} more" if len(along) > _MAX_NAMED else ""
    return (
        f"a clear of its task also sends {named}{more} again; give these ids too, or --whole-task if that is intended"
    )


def _describe_clear(group: Clear) -> list[str]:
    chosen = [
        f"{_name(one)}: {one.delivery.source} will be cleared, which sends it again; it is {summarize(one)}"
        for one in group.chosen
    ]
    return [*chosen, *(f"{one.id}: will be sent again too, by the same task" for one in group.along)]


def _confirm(args: Namespace, lines: Sequence[str]) -> None:
    """
    Print what happens, and have a user at a terminal confirm it.

    :raises ValidationError: if it is not confirmed
    """
    for line in lines:
        eprint(line)
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise ValidationError(
            "not confirmed", {"--yes": "is needed where no terminal can confirm; nothing was changed"}
        )
    eprint("go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ValidationError("not confirmed", {"answer": "nothing was changed"})


def _note(problems: ValidationErrors, details: DeliveryDetails, problem: str | None) -> None:
    if problem is not None:
        problems.add(_name(details), problem)


def _name(details: DeliveryDetails) -> str:
    return str(details.delivery.id)


def _make_row(details: DeliveryDetails, result: str) -> JsonObject:
    one = details.delivery
    return {"id": one.id, "delivery_id": one.delivery_id, "source": one.source, "result": result}
