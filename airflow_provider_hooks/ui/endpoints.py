# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The routes of endpoints and registries: their health, pauses, and the hooks that a platform has."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.core_api.security import requires_access_connection
from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import APIRouter, Depends, HTTPException, Query

from airflow_provider_hooks._runtime.airflow import read_settings
from airflow_provider_hooks._runtime.compat import AirflowNotFoundException
from airflow_provider_hooks.admin.registries import find_declared_hooks, list_registries
from airflow_provider_hooks.admin.stored import open_ledger_database
from airflow_provider_hooks.exceptions import ServiceHookError
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.http.urls import strip_sensitive_parts
from airflow_provider_hooks.ledger.endpoints import count_by_time, find_health, pause_endpoint, resume_endpoint
from airflow_provider_hooks.ledger.history import to_stored
from airflow_provider_hooks.ledger.schema import check_version
from airflow_provider_hooks.ui.access import Access, AccessDep, require_connections
from airflow_provider_hooks.ui.models import (
    Bucket,
    EndpointPage,
    EndpointView,
    HookList,
    HookView,
    PauseRequest,
    PauseResult,
    RegistryView,
)

if TYPE_CHECKING:
    from airflow_provider_hooks.ledger.endpoints import EndpointHealth, HealthBucket

BUCKETS = 24
_BAD_GATEWAY, _NOT_FOUND = 502, 404
_NO_LEDGER = "The health of endpoints is read from the ledger: set [service_hooks] ledger_conn_id."

router = APIRouter(tags=["Endpoints"], dependencies=[Depends(require_connections)])
_may_edit = Depends(requires_access_connection("PUT"))
"""What Airflow itself requires of a user who changes a connection; its id is in the path."""


@router.get("/endpoints")
def list_endpoints(access: AccessDep, hours: Annotated[int, Query(ge=1, le=24 * 92)] = 24) -> EndpointPage:
    """Return the health of each endpoint that had deliveries in the last hours or is paused, and the registries."""
    found = list_registries()
    registries = [RegistryView(conn_id=one, platform=found[one]) for one in access.list_readable(found)]
    if read_settings().ledger_conn_id is None:
        return EndpointPage(store="task_state_store", notes=[_NO_LEDGER], endpoints=[], registries=registries)
    seconds = hours * 3600 // BUCKETS
    since = datetime.now(timezone.utc) - timedelta(hours=hours)
    with open_ledger_database() as database:
        check_version(database)
        buckets = defaultdict[str, list["HealthBucket"]](list)
        for one in count_by_time(database, since=since, seconds=seconds):
            buckets[one.endpoint].append(one)
        endpoints = [
            _describe(health, buckets[health.endpoint], since=since, seconds=seconds, access=access)
            for health in find_health(database, since=to_stored(since))
        ]
    return EndpointPage(store="ledger", notes=[], endpoints=endpoints, registries=registries)


@router.post(
    "/endpoints/{connection_id}/pause", dependencies=[_may_edit, Depends(action_logging("service_hooks_pause"))]
)
def pause(connection_id: str, body: PauseRequest) -> PauseResult:
    """Pause an endpoint until it is resumed: deliveries to it are then not sent."""
    with open_ledger_database() as database:
        check_version(database)
        return PauseResult(changed=pause_endpoint(database, connection_id, reason=body.reason, has_probes=False))


@router.post(
    "/endpoints/{connection_id}/resume", dependencies=[_may_edit, Depends(action_logging("service_hooks_resume"))]
)
def resume(connection_id: str) -> PauseResult:
    """Open a paused endpoint again."""
    with open_ledger_database() as database:
        check_version(database)
        return PauseResult(changed=resume_endpoint(database, connection_id))


@router.get("/registries/{connection_id}/hooks", dependencies=[Depends(requires_access_connection("GET"))])
def list_hooks(connection_id: str) -> HookList:
    """Return the hooks of a platform, which is called for it, and whether this deployment has declared them."""
    if connection_id not in list_registries():
        raise HTTPException(_NOT_FOUND, f"There is no registry {connection_id}.")
    declared = find_declared_hooks(connection_id)
    try:
        hooks = RegistryHook(connection_id).list_hooks()
    except (ServiceHookError, AirflowNotFoundException) as error:
        raise HTTPException(_BAD_GATEWAY, f"The hooks cannot be listed: {error}") from None
    views = [
        HookView(
            hook_id=hook.hook_id,
            url=strip_sensitive_parts(hook.url),
            events=list(hook.events),
            name=hook.name or None,
            is_active=hook.status == "active",
            is_declared=hook.hook_id in declared,
            variable=declared.get(hook.hook_id),
        )
        for hook in hooks
    ]
    return HookList(hooks=views, note=None)


def _describe(
    health: EndpointHealth, buckets: list[HealthBucket], *, since: datetime, seconds: int, access: Access
) -> EndpointView:
    counts = {one.number: one for one in buckets}
    return EndpointView(
        endpoint=health.endpoint,
        deliveries=health.deliveries,
        delivered=health.delivered,
        success_rate=health.success_rate,
        last_delivered_at=health.last_delivered_at,
        failures_in_a_row=health.failures_in_a_row,
        paused_at=None if health.pause is None else health.pause.paused_at,
        pause_reason=None if health.pause is None else health.pause.reason,
        buckets=[
            Bucket(
                begins_at=(since + timedelta(seconds=number * seconds)).isoformat(),
                delivered=counts[number].delivered if number in counts else 0,
                failed=counts[number].failed if number in counts else 0,
            )
            for number in range(BUCKETS)
        ],
        may_edit=access.may_edit_connection(health.endpoint),
    )
