// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors

// A receiver on the http server of Node: it reads a request to its end, appends the delivery id to a file and answers 204.
// Usage: node node_recorder.js PORT LOG [CERTIFICATE_AND_KEY]
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");

const [port, log, certificate] = process.argv.slice(2);
const file = fs.openSync(log, "a");

function receive(request, response) {
  request.resume();
  request.on("end", () => {
    fs.writeSync(file, `${request.headers["x-service-hook-delivery"]}\n`);
    response.writeHead(204).end();
  });
}

const server = certificate
  ? https.createServer({ key: fs.readFileSync(certificate), cert: fs.readFileSync(certificate) }, receive)
  : http.createServer(receive);
server.listen(Number(port), "127.0.0.1");

// As in Node's documentation of process signals and server.close(): no new connections, idle ones are closed.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
