# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
A stream whose access tokens live shorter than it lasts: how often a token is fetched, and how often one is refused.

The operator sends to a receiver on loopback that accepts a token for as long as it lives. Run it from the top of the
checkout: ``python -m benchmarks.oauth2_stream``. The exit status is 1 if an event was not delivered exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter

from airflow_provider_hooks.operators.delivery import DeliverEventStreamOperator
from tests.airflow_context import SECRET, StateStore, make_context
from tests.token_server import serve_tokens


def deliver(count: int, *, rate: float, lifetime: float, expires_in: object) -> bool:
    """Send a stream, print what was counted, and return whether each event was delivered exactly once."""
    with serve_tokens(lifetime=lifetime, expires_in=expires_in) as server, tempfile.TemporaryDirectory() as records:
        connection = {"conn_type": "service_hook", "host": server.url, "password": SECRET, "extra": server.extra}
        os.environ["AIRFLOW_CONN_SERVICE_HOOK_DEFAULT"] = json.dumps(connection)
        task = DeliverEventStreamOperator(
            task_id="deliver",
            event_type="orders.loaded",
            events=[{"id": f"order-{number}"} for number in range(count)],
            records_path=records,
            rate_limit=rate,
        )
        started = time.monotonic()
        result = task.execute(make_context(StateStore()))
        seconds = time.monotonic() - started
        statuses = Counter(server.statuses)
        accepted = Counter(
            headers["X-Service-Hook-Delivery"] for _, headers, status in server.received if status != 401
        )
    print(
        f"expires_in {'sent' if expires_in else 'not sent'}: delivered {result['delivered']}, {seconds:.1f} s, "
        f"requests {sum(statuses.values())}, 401 {statuses[401]}, tokens fetched {len(server.token_requests)}, "
        f"accepted twice {sum(times > 1 for times in accepted.values())}"
    )
    return result["delivered"] == len(accepted) == sum(accepted.values()) == count


def main() -> int:
    """Measure both kinds of token endpoints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=450.0, help="events per second")
    parser.add_argument("--lifetime", type=float, default=2.0, help="of a token, in seconds")
    arguments = parser.parse_args()
    os.environ["AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS"] = "127.0.0.1"
    options = {"rate": arguments.rate, "lifetime": arguments.lifetime}
    done = [deliver(arguments.events, **options, expires_in=said) for said in ("lifetime", None)]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
