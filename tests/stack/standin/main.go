// Stands in for Tempo and Grafana, as their images cannot be had where the tests run. One static
// binary; the name it is called by decides:
//
//	tempo          takes OTLP/HTTP on :4318; GET :3200/api/traces/<hex id> is 200 once a span of it came
//	tempo -health  ask that port, exit 0 or 1
//	grafana        answers 200 to every request on :3000
//	wget ... URL   prints what URL answers, exit 0 or 1 (a static busybox cannot resolve names)
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

func main() {
	switch name := filepath.Base(os.Args[0]); {
	case name == "grafana":
		fail(http.ListenAndServe(":3000", http.HandlerFunc(answer)))
	case name == "wget":
		fetch(os.Args[len(os.Args)-1])
	case len(os.Args) > 1 && os.Args[1] == "-health":
		fetch("http://127.0.0.1:3200/ready")
	default:
		go func() { fail(http.ListenAndServe(":4318", http.HandlerFunc(take))) }()
		http.HandleFunc("/api/traces/{id}", find)
		http.HandleFunc("/", answer)
		fail(http.ListenAndServe(":3200", nil))
	}
}

var (
	lock     sync.Mutex
	received bytes.Buffer // decoded requests; a trace ID stands in them as sixteen raw bytes
)

func take(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	lock.Lock()
	defer lock.Unlock()
	io.Copy(&received, body)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func find(w http.ResponseWriter, r *http.Request) {
	id, err := hex.DecodeString(r.PathValue("id"))
	lock.Lock()
	defer lock.Unlock()
	if err != nil || !bytes.Contains(received.Bytes(), id) {
		http.NotFound(w, r)
		return
	}
	fmt.Fprintln(w, "found")
}

func answer(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

func fetch(url string) {
	response, err := http.Get(url)
	if err != nil {
		fail(err)
	}
	if response.StatusCode != http.StatusOK {
		fail(fmt.Errorf("%s: %s", url, response.Status))
	}
	io.Copy(os.Stdout, response.Body)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
