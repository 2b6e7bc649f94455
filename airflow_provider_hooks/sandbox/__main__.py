# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``python -m airflow_provider_hooks.sandbox``: serves the sandbox and prints the connections to use it."""

from __future__ import annotations

import argparse
import json
import os
import sys

from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.sandbox.server import Sandbox, SandboxError, make_sandbox, make_server, open_listener


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; the exit status is 2 if the sandbox cannot be served."""
    args = _parse(arguments)
    token = os.environ.get("SANDBOX_TOKEN")  # no option: any user of the machine can read a command line
    try:
        serve(host=args.host, port=args.port, anywhere=args.anywhere, token=token, answer=args.answer)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)  # noqa: T201  (the command's output)
        return 2
    return 0


def serve(*, host: str, port: int, anywhere: bool, token: str | None, answer: int) -> None:
    """
    Serve until interrupted, after printing the address and the settings to use it.

    :param token: the token of every API; random ones if ``None``
    :param answer: the status of the receiver's response to a verified delivery
    :raises SandboxError: if it cannot be served with these options
    """
    listener = open_listener(host, port, anywhere=anywhere)
    sandbox = make_sandbox(listener, token=token)
    sandbox.state.answer_status = answer
    print(_describe(sandbox), flush=True)  # noqa: T201  (the command's output)
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


def _describe(sandbox: Sandbox) -> str:
    lines = [
        f"Sandbox on http://{sandbox.address} - stop it with Ctrl+C",
        *(
            f"  {load_platforms()[name].platform.title:<30} {sandbox.find_api_url(name)}"
            for name in sandbox.state.platforms
        ),
        f"  {'receiver':<30} {sandbox.receiver_url}",
        f"  {'requests and calls':<30} http://{sandbox.address}/deliveries and /calls",
        "",
        "Settings for an Airflow that uses it:",
        f"  export AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS={sandbox.address}",
        "  export AIRFLOW__CORE__TEST_CONNECTION=Enabled   # for 'airflow connections test'",
    ]
    for conn_id, connection in sandbox.describe_connections().items():
        lines.append(f"  export AIRFLOW_CONN_{conn_id.upper()}='{json.dumps(connection)}'")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
