# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The ``[service_hooks]`` section of ``airflow.cfg``: one table for provider metadata, docs and parsing.

Imports nothing from Airflow, because provider metadata is built from it before Airflow's configuration is ready.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_hooks.exceptions import ValidationErrors
from airflow_provider_hooks.sanitize import is_header_name, safe_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_hooks.http.policy import NetworkPolicy

SECTION = "service_hooks"

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=", re.ASCII)
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
"""As Airflow reads them."""

_SECONDS = ("timeout", "connect_timeout", "state_store_timeout", "pause_seconds")
_MAX_COUNT_DIGITS = 3
OptionType = Literal["string", "integer", "float", "boolean"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of the section."""

    name: str
    type: OptionType
    default: str
    description: str
    example: str | None = None
    sensitive: bool = False
    """Whether it may hold a password: Airflow then hides it, and reads it from a command or a secrets backend too."""


OPTIONS = (
    Option(
        name="allowed_networks",
        type="string",
        default="",
        example="hooks.internal, 10.1.0.0/16, 127.0.0.1:8099",
        description=(
            "Where service hooks may be sent in addition to public addresses: host names, addresses and networks, each "
            "with an optional port, separated by commas. Plain HTTP is allowed only to these. Set by the administrator "
            "of Airflow; a connection cannot widen it."
        ),
    ),
    Option(
        name="allowed_ports",
        type="string",
        default="443",
        example="443, 8443",
        description="Ports of public addresses that may be used, separated by commas; 443 is always allowed.",
    ),
    Option(
        name="allowed_headers",
        type="string",
        default="",
        example="Api-Key, Cookie",
        description=(
            "Names of headers, separated by commas, that a connection may add to its deliveries in addition to "
            "Authorization and X-…; none that the provider or HTTP itself sets."
        ),
    ),
    Option(
        name="proxy",
        type="string",
        default="",
        example="http://proxy.internal:3128",
        sensitive=True,
        description=(
            "An HTTP proxy for everything that is not listed in allowed_networks. Airflow resolves and checks the "
            "address; the proxy opens a tunnel to it. Proxies that the environment names are never used."
        ),
    ),
    Option(
        name="timeout",
        type="float",
        default="10",
        description="Seconds that one attempt may take in all: DNS, connecting, TLS, request and response.",
    ),
    Option(
        name="connect_timeout",
        type="float",
        default="5",
        description="Seconds of these that DNS, connecting and TLS may take.",
    ),
    Option(
        name="max_payload_bytes",
        type="integer",
        default="1048576",
        description="The largest body that is sent, in bytes; a larger event is refused before anything is sent.",
    ),
    Option(
        name="deployment",
        type="string",
        default="",
        example="production",
        description=(
            "The name of this deployment, a part of the default ids of events and deliveries: the same Dag in another "
            "deployment has other ids. Set the same name on all machines. Empty: [api] base_url."
        ),
    ),
    Option(
        name="state_store_timeout",
        type="float",
        default="120",
        description=(
            "Seconds that a delivery goes on trying to read and store its claim while Airflow's API server, or the "
            "database of the ledger, does not answer. Airflow ends a task after [workers] max_failed_heartbeats in any "
            "case."
        ),
    ),
    Option(
        name="ledger_conn_id",
        type="string",
        default="",
        example="service_hook_ledger",
        description=(
            "A connection of type postgres, or sqlite on a single machine, to the database of the ledger: claims then "
            "outlive Dag runs, callbacks and commands have claims too, and deliveries can be searched. Create its "
            "tables with airflow service-hooks ledger migrate. Empty: claims are in Airflow's task state store."
        ),
    ),
    Option(
        name="store_payloads",
        type="boolean",
        default="False",
        description=(
            "Whether the ledger stores the body of each event that a task, a callback or a command delivers, encrypted "
            "with payload_keys, so that it can be shown and sent again exactly. Streams are not stored."
        ),
    ),
    Option(
        name="payload_keys",
        type="string",
        default="",
        sensitive=True,
        description=(
            "The Fernet keys of stored payloads, separated by commas: the first encrypts, all decrypt. They are not "
            "Airflow's own fernet_key, which workers need not have."
        ),
    ),
    Option(
        name="pause_after_failures",
        type="integer",
        default="0",
        description=(
            "After how many failed deliveries in a row an endpoint is paused, and at once after HTTP 410: deliveries "
            "to it are then not_sent. It needs the ledger. 0: never."
        ),
    ),
    Option(
        name="pause_seconds",
        type="float",
        default="300",
        description=(
            "Seconds after which one delivery to a paused endpoint is sent as a probe; if it is delivered, the "
            "endpoint is open again."
        ),
    ),
    Option(
        name="alert_conn_id",
        type="string",
        default="",
        example="service_hook_operations",
        description="A connection of type service_hook that gets an event.alert when an endpoint is paused.",
    ),
    Option(
        name="shown_records_paths",
        type="string",
        default="",
        example="s3://aws@bucket/service-hooks",
        description=(
            "Folders of records of streams, separated by commas, that the pages in Airflow's user interface may show: "
            "the API server reads them. Empty: none."
        ),
    ),
    Option(
        name="ca_file",
        type="string",
        default="",
        example="/etc/ssl/certs/company-ca.pem",
        description=(
            "A file of PEM certificates of private authorities. Deliveries trust them in addition to the public "
            "bundle, calls to registries in place of it. TLS verification itself cannot be switched off."
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the deployment allows, parsed and checked."""

    allowed_networks: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = (443,)
    allowed_headers: tuple[str, ...] = ()
    proxy: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    connect_timeout: float = 5.0
    max_payload_bytes: int = 1_048_576
    deployment: str = ""
    state_store_timeout: float = 120.0
    ca_file: str | None = None
    ledger_conn_id: str | None = None
    store_payloads: bool = False
    payload_keys: tuple[str, ...] = field(default=(), repr=False)
    pause_after_failures: int = 0
    pause_seconds: float = 300.0
    alert_conn_id: str | None = None
    shown_records_paths: tuple[str, ...] = ()

    def build_policy(self) -> NetworkPolicy:
        """
        Build the network policy of this deployment.

        :raises ValidationError: naming each entry that cannot be parsed, and a proxy that cannot
        """
        from airflow_provider_hooks.http.policy import NetworkPolicy  # noqa: PLC0415  (provider metadata is light)

        return NetworkPolicy(allowed_networks=self.allowed_networks, allowed_ports=self.allowed_ports, proxy=self.proxy)


def parse_settings(given: Mapping[str, str | None]) -> Settings:
    """
    Return the settings from the texts of the options; an option that is missing, ``None`` or blank has its default.

    :param given: the text of each option, or ``None`` if it is not set
    :raises ValidationError: naming each option that cannot be used
    """
    texts = {option.name: (given.get(option.name) or "").strip() or option.default for option in OPTIONS}
    problems = ValidationErrors(f"section {SECTION} of airflow.cfg")
    ports = _split(texts["allowed_ports"])
    if not all(_PORT.fullmatch(port) for port in ports):
        problems.add(
            "allowed_ports", f"must be port numbers separated by commas, not {safe_repr(texts['allowed_ports'])}"
        )
    headers = _split(texts["allowed_headers"])
    if not all(map(is_header_name, headers)):
        problems.add("allowed_headers", f"must be names separated by commas, not {safe_repr(texts['allowed_headers'])}")
    numbers = {name: _parse_positive(name, texts[name], problems) for name in _SECONDS}
    max_payload_bytes = _parse_positive("max_payload_bytes", texts["max_payload_bytes"], problems)
    if max_payload_bytes != int(max_payload_bytes):
        problems.add(
            "max_payload_bytes", f"must be a whole number of bytes, not {safe_repr(texts['max_payload_bytes'])}"
        )
    store_payloads = _parse_boolean("store_payloads", texts["store_payloads"], problems)
    payload_keys = _split(texts["payload_keys"])
    if store_payloads and not payload_keys:
        problems.add("payload_keys", "needs a Fernet key, because store_payloads is on")
    if not all(map(_FERNET_KEY.fullmatch, payload_keys)):
        problems.add("payload_keys", "must be Fernet keys separated by commas: 32 bytes in URL-safe base64 each")
    pause_after_failures = _parse_count("pause_after_failures", texts["pause_after_failures"], problems)
    for name, is_on in (("store_payloads", store_payloads), ("pause_after_failures", pause_after_failures)):
        if is_on and not texts["ledger_conn_id"]:
            problems.add(name, "needs the ledger: set ledger_conn_id")
    problems.raise_if_any()
    return Settings(
        allowed_networks=tuple(_split(texts["allowed_networks"])),
        allowed_ports=tuple(int(port) for port in ports),
        allowed_headers=tuple(headers),
        proxy=texts["proxy"] or None,
        timeout=numbers["timeout"],
        connect_timeout=numbers["connect_timeout"],
        max_payload_bytes=int(max_payload_bytes),
        deployment=texts["deployment"],
        state_store_timeout=numbers["state_store_timeout"],
        ca_file=texts["ca_file"] or None,
        ledger_conn_id=texts["ledger_conn_id"] or None,
        store_payloads=store_payloads,
        payload_keys=tuple(payload_keys),
        pause_after_failures=pause_after_failures,
        pause_seconds=numbers["pause_seconds"],
        alert_conn_id=texts["alert_conn_id"] or None,
        shown_records_paths=tuple(_split(texts["shown_records_paths"])),
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse_boolean(name: str, text: str, problems: ValidationErrors) -> bool:
    if text.lower() not in _BOOLEANS:
        problems.add(name, f"must be True or False, not {safe_repr(text)}")
    return _BOOLEANS.get(text.lower(), False)


def _parse_count(name: str, text: str, problems: ValidationErrors) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_COUNT_DIGITS):
        problems.add(name, f"must be a whole number from 0, not {safe_repr(text)}")
        return 0
    return int(text)


def _parse_positive(name: str, text: str, problems: ValidationErrors) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 10**9:
        problems.add(name, f"must be a number above 0, not {safe_repr(text)}")
        return 1.0
    return number
