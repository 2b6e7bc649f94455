# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``python -m airflow_provider_hooks.sandbox``: serves the sandbox and prints the connections to use it."""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sys

from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.sandbox.server import Sandbox, SandboxError, make_sandbox, make_server, open_listener
from airflow_provider_hooks.sandbox.state import RECEIVER_PATH

_ORDERS = {
    "source_type": "hmac_json",
    "signature_header": "X-Sentry-Hook-Signature",
    "event_header": "X-Service-Hook-Event",
    "delivery_id_field": "id",
}
"""How example_inbound_delivery verifies a webhook: as the scheme ``sentry`` signs it."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; the exit status is 2 if the sandbox cannot be served."""
    args = _parse(arguments)
    try:
        serve(host=args.host, port=args.port, anywhere=args.anywhere, answer=args.answer)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201  (the command's output)
        return 2
    return 0


def serve(*, host: str, port: int, anywhere: bool, answer: int) -> None:
    """
    Serve until interrupted, after printing the address and the settings to use it.

    The environment variable ``SANDBOX_TOKEN`` is the token of every API, and ``SANDBOX_SECRET`` a secret that the
    receiver accepts; without them they are random. They are not options, since any user can read a command line.

    :param answer: the status of the receiver's response to a verified delivery
    :raises SandboxError: if it cannot be served with these options
    """
    listener = open_listener(host, port, anywhere=anywhere)
    secret = os.environ.get("SANDBOX_SECRET") or f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    sandbox = make_sandbox(listener, token=os.environ.get("SANDBOX_TOKEN"), receiver_secrets=(secret,))
    sandbox.state.answer_status = answer
    print(describe_settings(sandbox), flush=True)  # noqa: T201  (the command's output)
    make_server(sandbox).run(sockets=[listener])


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_hooks.sandbox",
        description="A local mock of the platforms' hooks APIs, and a receiver that verifies signatures.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8099, help="the port; 0 selects a free one (default: %(default)s)")
    parser.add_argument("--anywhere", action="store_true", help="allow an address other than loopback")
    parser.add_argument(
        "--answer",
        type=int,
        choices=range(200, 600),
        default=200,
        metavar="STATUS",
        help="the status of the response to a verified delivery (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def describe_settings(sandbox: Sandbox) -> str:
    """Return what is printed: the addresses, and the settings for an Airflow that uses the sandbox."""
    lines = [
        f"Sandbox on http://{sandbox.address} - stop it with Ctrl+C",
        *(
            f"  {load_platforms()[name].platform.title:<30} {sandbox.find_api_url(name)}"
            for name in sandbox.state.platforms
        ),
        f"  {'receiver':<30} {sandbox.receiver_url}",
        f"  {'page of the receiver':<30} http://{sandbox.address}/",
        f"  {'requests and calls':<30} http://{sandbox.address}/deliveries and /calls",
        "",
        "Settings for an Airflow that uses it:",
        f"  export AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS={sandbox.address}",
        "  export AIRFLOW__CORE__TEST_CONNECTION=Enabled   # for 'airflow connections test'",
    ]
    for conn_id, connection in sandbox.describe_connections().items():
        lines.append(f"  export AIRFLOW_CONN_{conn_id.upper()}='{json.dumps(connection)}'")
    for secret in sandbox.state.receiver_secrets:
        lines += [
            "",
            f"To try any signing scheme, deliver to http://{sandbox.address}{RECEIVER_PATH}/SCHEME with this secret:",
            f"  export SANDBOX_SECRET={secret}   # so that the sandbox has the same one after a restart",
        ]
    orders = {"conn_type": "inbound_webhook", "password": secrets.token_hex(16), "extra": _ORDERS}
    lines += [
        "",
        "In addition for the example Dags example_register_on_akinon, and example_inbound_delivery (extra 'inbound'):",
        f"  export AIRFLOW_VAR_AKINON_HEADER_SECRET={secrets.token_hex(16)}",
        "  export AIRFLOW__INBOUND_WEBHOOKS__WEBHOOK_NAMES=orders",
        f"  export AIRFLOW_CONN_WEBHOOK_ORDERS='{json.dumps(orders)}'",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
