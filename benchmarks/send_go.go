// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The airflow-provider-hooks authors

// Go's net/http with as many workers as connections: it does the work of prepare_by_hand in common.py.
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type inner struct {
	EventID   string      `json:"event_id"`
	Message   string      `json:"message"`
	Level     string      `json:"level"`
	Platform  string      `json:"platform"`
	Timestamp float64     `json:"timestamp"`
	Tags      [][]string  `json:"tags"`
	Exception interface{} `json:"exception"`
}

type event struct {
	ID          string `json:"id"`
	Project     string `json:"project"`
	ProjectID   string `json:"project_id"`
	ProjectName string `json:"project_name"`
	Culprit     string `json:"culprit"`
	Message     string `json:"message"`
	URL         string `json:"url"`
	Level       string `json:"level"`
	Logger      string `json:"logger"`
	Datetime    string `json:"datetime"`
	Event       inner  `json:"event"`
}

func makeUUID() string {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		log.Fatal(err)
	}
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

func makeRequest(url string, key []byte, line []byte) *http.Request {
	var one event
	if err := json.Unmarshal(line, &one); err != nil {
		log.Fatal(err)
	}
	body, err := json.Marshal(&one)
	if err != nil {
		log.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	request, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Sentry-Hook-Signature", hex.EncodeToString(mac.Sum(nil)))
	request.Header.Set("X-Request-Id", makeUUID())
	return request
}

func makeClient(ca string, connections int) *http.Client {
	transport := &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			log.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport}
}

// readLines sends the first lines of a file to the workers.
func readLines(path string, count int, lines chan<- []byte) {
	defer close(lines)
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 1<<16)
	for number := 0; number < count; number++ {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			log.Fatal(err)
		}
		lines <- line
	}
}

// readMemory returns the bytes of a field of /proc/self/status.
func readMemory(field string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, field+":") {
			kilobytes, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

func readCPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func main() {
	url := flag.String("url", "", "")
	path := flag.String("events", "", "")
	count := flag.Int("count", 0, "")
	ca := flag.String("ca", "", "")
	key := flag.String("key", "", "")
	connections := flag.Int("connections", 0, "")
	flag.Parse()

	client := makeClient(*ca, *connections)
	before, cpu, started := readMemory("VmRSS"), readCPU(), time.Now()
	lines := make(chan []byte, *connections)
	go readLines(*path, *count, lines)
	var delivered int64
	var workers sync.WaitGroup
	for number := 0; number < *connections; number++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for line := range lines {
				response, err := client.Do(makeRequest(*url, []byte(*key), line))
				if err != nil {
					log.Fatal(err)
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode == http.StatusNoContent {
					atomic.AddInt64(&delivered, 1)
				}
			}
		}()
	}
	workers.Wait()
	seconds := time.Since(started).Seconds()
	if delivered != int64(*count) {
		log.Fatalf("%d of %d were delivered", delivered, *count)
	}
	fmt.Printf(
		"{\"events\": %d, \"seconds\": %f, \"cpu\": %f, \"memory\": %d, \"memory_before\": %d}\n",
		*count, seconds, readCPU()-cpu, readMemory("VmHWM"), before,
	)
}
