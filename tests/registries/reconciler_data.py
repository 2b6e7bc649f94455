# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A reconciler for each platform of the sandbox, and a store that is a tuple."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.registries.connection import read_registry
from airflow_provider_hooks.registries.model import HookSpec
from airflow_provider_hooks.registries.platforms import open_api
from airflow_provider_hooks.registries.reconcile import HookReconciler
from airflow_provider_hooks.registries.rotation import SecretRotation
from airflow_provider_hooks.registries.service import HookManager
from airflow_provider_hooks.registries.transport import RegistryTransport

URL, OTHER_URL = "https://hooks.example.com/a", "https://hooks.example.com/b"
SPECS = {
    "sentry": HookSpec(url=URL, events=("event.alert",), name="orders", is_active=True),
    "akinon": HookSpec(
        url=URL, events=("deployment.build.created",), name="orders", headers={"X-Key": "s3cret-key"}, is_active=True
    ),
    "zstack": HookSpec(url=URL, name="orders", is_active=True),
    "smartsheet_rm": HookSpec(url=URL, events=("project.created", "user.created"), name="orders", is_active=True),
}
"""One declaration for each platform of the sandbox."""


@dataclass
class TupleStore:
    """A store that counts how often it is written."""

    state: tuple = ()
    writes: int = 0

    def read(self):
        return self.state

    def write(self, state):
        self.state = state
        self.writes += 1


@dataclass
class Kit:
    """A reconciler of one platform, and what it works with."""

    sandbox: object
    name: str
    store: TupleStore = field(default_factory=TupleStore)
    masked: list = field(default_factory=list)
    waited: list = field(default_factory=list)
    max_wait: float = 0
    timeout: float = 5

    @property
    def platform(self):
        return self.sandbox.state.platforms[self.name]

    @property
    def spec(self):
        return SPECS[self.name]

    @property
    def manager(self):
        described = self.sandbox.describe_connections()
        connection = next(one for one in described.values() if one.get("extra", {}).get("platform") == self.name)
        fields = ConnectionFields(
            conn_id="r", host=connection["host"], password=connection["password"], extra=connection["extra"]
        )
        api = open_api(read_registry(fields, default_timeout=self.timeout))
        transport = RegistryTransport(api, policy=NetworkPolicy(allowed_networks=["127.0.0.1"]), connect_timeout=2)
        return HookManager(api, transport, mask=self.masked.append, max_wait=self.max_wait, wait=self.waited.append)

    def reconciler(self, on_uncertain_create="fail"):
        return HookReconciler(self.manager, self.store, registry="r", on_uncertain_create=on_uncertain_create)

    def ensure(self, spec=None, *, adopt=None, on_uncertain_create="fail", name="orders"):
        """Ensure, and return what changed and which calls that took."""
        self.platform.forget_calls()
        result = self.reconciler(on_uncertain_create).ensure(spec or self.spec, name=name, adopt=adopt)
        return result.change, self.platform.forget_calls()

    def rotation(self, idempotency_key="a"):
        manager = self.manager
        reconciler = HookReconciler(manager, self.store, registry="r")
        return SecretRotation(manager, reconciler, self.store, registry="r", idempotency_key=idempotency_key)
