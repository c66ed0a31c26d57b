// peer-go-http -w WORKERS -root DIRECTORY -port PORT: serves the files of a directory on loopback, for perf/http.
//
// A program of its own, so that net/http is in none of peer-go's figures.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"runtime"
)

func main() {
	workers := flag.Int("w", runtime.NumCPU(), "GOMAXPROCS")
	root := flag.String("root", ".", "the directory")
	port := flag.Int("port", 8080, "of 127.0.0.1")
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", *port), http.FileServer(http.Dir(*root))))
}
