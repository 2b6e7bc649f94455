// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors

// A server that requires a client certificate, with one version of TLS; it answers 204.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	port, certificate, authorities, version := os.Args[1], os.Args[2], os.Args[3], uint16(tls.VersionTLS12)
	if os.Args[4] == "1.3" {
		version = tls.VersionTLS13
	}
	pem, err := os.ReadFile(authorities)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	server := http.Server{
		Addr: "127.0.0.1:" + port,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Println(r.Header.Get("X-Service-Hook-Delivery"))
			w.WriteHeader(204)
		}),
		TLSConfig: &tls.Config{
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: version, MaxVersion: version,
		},
	}
	log.Fatal(server.ListenAndServeTLS(certificate, certificate))
}
