package main

// foreign: what an OS thread of its own does to the runtime - starts routines, wakes one.
//
// Go knows no thread but its own.  The nearest is a routine that is locked to a thread, and that needs one of the
// GOMAXPROCS: these benches have one more than workers, so that as many are left for the other routines.

import (
	"runtime"
	"sync/atomic"
	"time"
)

var foreignBenches = []bench{
	{name: "wake_latency", n: 5_000, run: wakeLatency},
	{name: "spawn_foreign", n: 1_000_000, run: spawnForeign},
}

// onThread runs f on a thread that runs nothing else, and waits.
func onThread(workers int, f func()) {
	runtime.GOMAXPROCS(workers + 1)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		f()
		close(done)
	}()
	<-done
}

// wakeLatency: how long until a routine that waits has what is sent to it, when all was idle for 200 us.
func wakeLatency(o order) result {
	const idle = 200 * time.Microsecond
	through := make(chan time.Duration) // when it was sent
	taken := make(chan []time.Duration)
	var count atomic.Uint64
	epoch := time.Now()
	go func() {
		late := make([]time.Duration, 0, o.n)
		for sent := range through {
			late = append(late, time.Since(epoch)-sent)
			count.Add(1)
		}
		taken <- late
	}()

	var seconds float64
	onThread(o.workers, func() {
		clock := time.Now()
		for i := uint64(0); i < o.n; i++ {
			for from := time.Now(); time.Since(from) < idle; {
			}
			through <- time.Since(epoch)
			runtime.Gosched() // else who was woken waits for another thread to steal it from this one
			for count.Load() <= i {
			}
		}
		seconds = secondsSince(clock)
		close(through)
	})
	late := <-taken
	sortTimes(late)
	isRight := uint64(len(late)) == o.n && late[0] >= 0
	return result{n: o.n, seconds: seconds, isRight: isRight, more: []field{
		{"wake_p50_us", percentile(late, 50)},
		{"wake_p99_us", percentile(late, 99)},
	}}
}

// spawnForeign: a thread starts n empty routines one by one, and waits for all.
func spawnForeign(o order) result {
	var seconds float64
	onThread(o.workers, func() {
		clock := time.Now()
		startAndWait(o.n)
		seconds = secondsSince(clock)
	})
	return result{n: o.n, seconds: seconds, isRight: true}
}
