package main

// echo: a server on loopback, under the load of another process.  file_reads: many goroutines read one file.

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

var ioBenches = []bench{
	{name: "echo", n: 500_000, workers: 1, run: echo},
	{name: "file_reads", n: 100_000, workers: 2, run: fileReads},
}

// echo serves until the process ends.
func echo(o order) result {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return result{}
	}
	go func() {
		for {
			peer, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(peer)
		}
	}()
	return loadEcho(listener.Addr().(*net.TCPAddr).Port, o.n)
}

func answer(peer net.Conn) {
	defer peer.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := peer.Read(buffer)
		if err != nil {
			return
		}
		if _, err = peer.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// loadEcho runs the program that WEFT_ECHO_LOAD names; perf/echo_load_main.cpp says what it prints.
func loadEcho(port int, requests uint64) result {
	program := os.Getenv("WEFT_ECHO_LOAD")
	if program == "" {
		fmt.Fprintln(os.Stderr, "peer-go echo: WEFT_ECHO_LOAD is to name weft-echo-load")
		return result{}
	}
	before := cpuSeconds()
	said, err := exec.Command(program, strconv.Itoa(port), strconv.FormatUint(requests, 10)).Output()
	cpu := cpuSeconds() - before
	var seconds, p50, p99, p999 float64
	if err != nil {
		return result{}
	}
	if _, err = fmt.Sscan(string(said), &seconds, &p50, &p99, &p999); err != nil {
		return result{}
	}
	return result{n: requests, seconds: seconds, isRight: true, more: []field{
		{"req_per_s", float64(requests) / seconds},
		{"p50_us", p50},
		{"p99_us", p99},
		{"p999_us", p999},
		{"cpu_s", cpu},
	}}
}

const (
	blockSize  = 4096
	blockCount = 256 << 20 / blockSize
	readers    = 1_000
)

// numberedBlocks makes a file in the page cache, of blocks that each begin with their number; it has no name any more.
func numberedBlocks() (*os.File, error) {
	folder := os.Getenv("TMPDIR")
	if folder == "" {
		folder = "/var/tmp"
	}
	file, err := os.CreateTemp(folder, "peer-go-")
	if err != nil {
		return nil, err
	}
	os.Remove(file.Name())
	const atOnce = 256
	piece := make([]byte, atOnce*blockSize)
	for i := 0; i < blockCount; i += atOnce {
		for each := 0; each < atOnce; each++ {
			binary.LittleEndian.PutUint64(piece[each*blockSize:], uint64(i+each))
		}
		if _, err = file.WriteAt(piece, int64(i)*blockSize); err != nil {
			return nil, err
		}
	}
	return file, nil
}

func fileReads(o order) result {
	file, err := numberedBlocks()
	if err != nil {
		return result{}
	}
	defer file.Close()
	routines := o.n
	if routines > readers {
		routines = readers
	}
	each := wholeShares(o.n, readers)
	right := make([]uint64, routines)
	var all sync.WaitGroup
	all.Add(int(routines))
	clock := time.Now()
	for i := uint64(0); i < routines; i++ {
		go func(seed uint64, right *uint64) {
			to := make([]byte, blockSize)
			for k := uint64(0); k < each; k++ {
				seed = seed*6364136223846793005 + 1442695040888963407
				number := (seed >> 33) % blockCount
				n, err := file.ReadAt(to, int64(number)*blockSize)
				if n == blockSize && err == nil && binary.LittleEndian.Uint64(to) == number {
					*right++
				}
			}
			all.Done()
		}(i, &right[i])
	}
	all.Wait()
	seconds := secondsSince(clock)
	isRight := true
	for _, r := range right {
		isRight = isRight && r == each
	}
	return result{n: routines * each, seconds: seconds, isRight: isRight}
}
