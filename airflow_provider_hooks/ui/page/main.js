// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
// What Airflow's user interface loads: it looks up the components by the names that the plugin registers.

import { DeliveriesPage } from "./deliveries.js";
import { EndpointsPage } from "./endpoints.js";

Object.assign(globalThis, {
  "Webhook deliveries": DeliveriesPage,
  "Webhook endpoints": EndpointsPage,
  Deliveries: DeliveriesPage,
});
