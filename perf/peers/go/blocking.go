package main

// blocking: goroutines that each sleep in a system call, which the syscall package announces, beside a ticker.

import (
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var blockingBenches = []bench{{name: "blocking", n: 1_000, workers: 2, run: blocking}}

func blocking(o order) result {
	var ends atomic.Bool
	var late []time.Duration
	var ticker sync.WaitGroup
	ticker.Add(1)
	go func() {
		for !ends.Load() {
			due := time.Now().Add(time.Millisecond)
			time.Sleep(time.Millisecond)
			late = append(late, time.Since(due))
		}
		ticker.Done()
	}()
	time.Sleep(5 * time.Millisecond)

	var all sync.WaitGroup
	all.Add(int(o.n))
	blockOnce := func() {
		length := syscall.Timespec{Nsec: 10_000_000}
		for syscall.Nanosleep(&length, &length) != nil {
		}
		all.Done()
	}
	clock := time.Now()
	for i := uint64(0); i < o.n; i++ {
		go blockOnce()
	}
	all.Wait()
	seconds := secondsSince(clock)
	threads := pprof.Lookup("threadcreate").Count()
	ends.Store(true)
	ticker.Wait()

	sortTimes(late)
	return result{n: o.n, seconds: seconds, isRight: late[0] >= 0, more: []field{
		{"total_s", seconds},
		{"threads", float64(threads)},
		{"ticks", float64(len(late))},
		{"late_p50_us", percentile(late, 50)},
		{"late_p99_us", percentile(late, 99)},
		{"late_max_us", micros(late[len(late)-1])},
	}}
}
