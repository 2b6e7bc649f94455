# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A reconciler for each platform of the sandbox, and a store that is a tuple."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.http import NetworkPolicy
from airflow_provider_hooks.registries.connection import read_registry
from airflow_provider_hooks.registries.platforms import open_api
from airflow_provider_hooks.registries.reconcile import HookReconciler
from airflow_provider_hooks.registries.rotation import SecretRotation
from airflow_provider_hooks.registries.service import HookManager
from airflow_provider_hooks.registries.transport import RegistryTransport
from tests.registries.platform_data import PLATFORM_DATA, name_connection

OTHER_URL = "https://hooks.example.com/b"


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
    """A reconciler of one platform with its store and sandbox; it records what is masked and how long it waits."""

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
    def data(self):
        return PLATFORM_DATA[self.name]

    @property
    def spec(self):
        return self.data.spec

    @property
    def manager(self):
        connection = self.sandbox.describe_connections()[name_connection(self.name)]
        fields = ConnectionFields(
            conn_id="r", host=connection["host"], password=connection["password"], extra=connection["extra"]
        )
        api = open_api(read_registry(fields, default_timeout=self.timeout))
        transport = RegistryTransport(api, policy=NetworkPolicy(allowed_networks=["127.0.0.1"]), connect_timeout=2)
        return HookManager(api, transport, mask=self.masked.append, max_wait=self.max_wait, wait=self.waited.append)

    def reconciler(self, on_uncertain_create="fail"):
        return HookReconciler(self.manager, self.store, registry="r", on_uncertain_create=on_uncertain_create)

    def ensure(self, spec=None, *, adopt=None, on_uncertain_create="fail", name="orders"):
        """Reconcile a declaration, and return the change and the number of calls of each route."""
        self.platform.forget_calls()
        result = self.reconciler(on_uncertain_create).ensure(spec or self.spec, name=name, adopt=adopt)
        return result.change, self.platform.forget_calls()

    def rotation(self, idempotency_key="a"):
        manager = self.manager
        reconciler = HookReconciler(manager, self.store, registry="r")
        return SecretRotation(manager, reconciler, self.store, registry="r", idempotency_key=idempotency_key)
