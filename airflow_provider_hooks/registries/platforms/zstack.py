# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
ZStack's alert webhook endpoints: how each call is made and how each answer is read. No I/O.

A secret is shown once, when an endpoint is made or its secret rotated. Listing and updating are not documented.

Source: ZStack API, "CreateAlertWebhookEndpoint" and its siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.registries.answers import FORBIDDEN, NOT_FOUND, OK, UNAUTHORIZED
from airflow_provider_hooks.registries.api import PlatformApi, check_name, check_url
from airflow_provider_hooks.registries.model import Answer, Call, HookChanges, HookSpec, Security, ServiceHook
from airflow_provider_hooks.registries.platform_table import Operation
from airflow_provider_hooks.signing.keys import find_secret_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.json_types import JsonObject

_ENDPOINTS = "/api/v1/alerting/webhook-endpoints"
_SECURITY = "/api/v1/alerting/docs/webhook-security"


class ZStackApi(PlatformApi):
    """ZStack's calls and answers."""

    signs: ClassVar[bool] = True
    fields: ClassVar[frozenset[str]] = frozenset({"url", "name", "secret"})
    advice: ClassVar[Mapping[int, str]] = {
        UNAUTHORIZED: "the token is missing, wrong or expired: check the connection's password",
        FORBIDDEN: "the token may not manage webhook endpoints",
        NOT_FOUND: "there is no such webhook endpoint",
    }

    def check(self, spec: HookSpec | HookChanges) -> None:
        """Check what a new endpoint needs: a name and a URL, and a secret that can sign if one is given."""
        problems = ValidationErrors("service hook on ZStack")
        check_url(problems, spec.url)
        check_name(problems, spec.name, platform="ZStack")
        secret = spec.secret if isinstance(spec, HookSpec) else None
        problem = None if secret is None else find_secret_problem(secret, "text")
        if problem is not None:
            problems.add("secret", problem)
        self.note_unknown(problems, spec)
        problems.raise_if_any()

    def create(self, spec: HookSpec) -> Call:
        """Ask for a new endpoint that signs; with an empty secret ZStack makes one."""
        self.check(spec)
        body: JsonObject = {
            "name": spec.name,
            "url": spec.url,
            "signingEnabled": True,
            "signingSecret": spec.secret or "",
        }
        return Call(operation=Operation.CREATE, method="POST", path=_ENDPOINTS, body=body)

    def read_hook(self, call: Call, answer: Answer) -> ServiceHook:
        """Read an endpoint, flat or beside the secret that is shown once."""
        content = self.read_json(call, answer, expected=(OK,))
        if not (isinstance(content, dict) and "endpoint" in content):
            return self.read_item(call, answer, content)
        hook = self.read_item(call, answer, content["endpoint"])
        texts = self.read_texts(call, answer, content, (), optional=("signingSecretPlaintext",))
        return ServiceHook(**{**vars(hook), "secret": texts["signingSecretPlaintext"] or None})

    def get(self, hook_id: str) -> Call:
        """Ask for one endpoint."""
        return Call(operation=Operation.GET, method="GET", path=f"{_ENDPOINTS}/{self.quote_id(hook_id)}")

    def delete(self, hook_id: str) -> Call:
        """Ask for an endpoint to be deleted."""
        return Call(operation=Operation.DELETE, method="DELETE", path=f"{_ENDPOINTS}/{self.quote_id(hook_id)}")

    def rotate(self, hook_id: str) -> Call:
        """Ask for a new secret; the old one is invalid at once, as far as the documents tell."""
        path = f"{_ENDPOINTS}/{self.quote_id(hook_id)}/rotate-secret"
        return Call(operation=Operation.ROTATE, method="POST", path=path, body={})

    def read_rotated(self, call: Call, answer: Answer) -> ServiceHook:
        """Read the endpoint with its new secret, without which the rotation would be lost."""
        hook = self.read_hook(call, answer)
        if not hook.secret:
            self.raise_malformed(call, answer, "no signingSecretPlaintext")
        return hook

    def security(self) -> Call:
        """Ask how deliveries are signed."""
        return Call(operation=Operation.SECURITY, method="GET", path=_SECURITY)

    def read_security(self, call: Call, answer: Answer) -> Security:
        """Read how deliveries are signed."""
        content = self.read_json(call, answer, expected=(OK,))
        names = ("algorithm", "signatureFormat", "headerTimestamp", "headerSignature", "payloadFormat")
        texts = self.read_texts(call, answer, content, names, numbers=("replayWindowSec",))
        return Security(
            algorithm=texts["algorithm"],
            signature_format=texts["signatureFormat"],
            timestamp_header=texts["headerTimestamp"],
            signature_header=texts["headerSignature"],
            payload_format=texts["payloadFormat"],
            replay_window=int(texts["replayWindowSec"]),
        )

    def read_item(self, call: Call, answer: Answer, content: object) -> ServiceHook:
        """Read an endpoint."""
        optional = ("createdAt", "updatedAt")
        texts = self.read_texts(call, answer, content, ("id", "url"), free=("name",), optional=optional)
        return ServiceHook(
            hook_id=texts["id"],
            url=texts["url"],
            name=texts["name"],
            status="active" if isinstance(content, dict) and content.get("signingEnabled", True) else "unsigned",
            created_at=texts["createdAt"],
            updated_at=texts["updatedAt"],
        )

    def list_messages(self, content: Mapping[str, object]) -> list[str]:
        """Return the code and the words of ``{"error": {...}}``."""
        error = content.get("error")
        told = error if isinstance(error, dict) else {}
        return [told[name] for name in ("code", "description", "details") if isinstance(told.get(name), str)]
