# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
r"""
Deliver an event to a receiver that requires a client certificate (mutual TLS).

The certificate belongs to the connection, so the Dag is like any other. Store it, with its key, in a Variable:

    airflow variables set orders_client_private_key "$(cat client.key client.pem)"
    airflow connections add mtls_hook --conn-type service_hook --conn-host https://hooks.example.com/airflow \
        --conn-password "$SECRET" --conn-extra '{"client_certificate_variable": "orders_client_private_key"}'

`airflow connections test mtls_hook` reports a server that does not accept it.
"""

from airflow.sdk import DAG

from airflow_provider_hooks.operators.delivery import DeliverEventOperator

with DAG("example_mtls_delivery", schedule=None, tags=["service hooks"], doc_md=__doc__):
    DeliverEventOperator(
        task_id="deliver_orders",
        service_hook_conn_id="mtls_hook",
        event_type="orders.loaded",
        data={"orders": 12, "run": "{{ run_id }}"},
        retries=3,
    )
