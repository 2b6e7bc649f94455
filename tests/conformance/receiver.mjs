// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors
//
// A receiver on loopback whose first path segment names the library that verifies or parses a request.
// It answers 200 with the parsed body, or 401 with the error of the library. It prints its port, and ends with its input.

import { createServer } from "node:http";
import { Webhooks } from "@octokit/webhooks";
import { HTTP } from "cloudevents";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const secret = process.env.RECEIVER_SECRET;
const octokit = new Webhooks({ secret });

const libraries = {
  standardwebhooks: (headers, body) => new StandardWebhook(secret).verify(body, headers),
  svix: (headers, body) => new SvixWebhook(secret).verify(body, headers),
  "@octokit/webhooks": async (headers, body) => {
    const signature = headers["x-hub-signature-256"];
    if (!signature || !(await octokit.verify(body, signature))) throw new Error("signature does not match");
    return JSON.parse(body);
  },
  cloudevents: (headers, body) => {
    const event = HTTP.toEvent({ headers, body });
    event.validate();
    return { type: event.type, id: event.id, time: event.time, source: event.source, data: event.data };
  },
};

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const verify = libraries[decodeURIComponent(request.url.slice(1))];
  try {
    const body = Buffer.concat(chunks).toString("utf8");
    const result = (await verify(request.headers, body)) ?? JSON.parse(body);
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(result));
  } catch (error) {
    response.writeHead(401, { "Content-Type": "text/plain" }).end(`${error.name}: ${error.message}`);
  }
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
