package main

// spawn: what it costs to start a routine, to give way to another one, to have many that wait, and to spread work.

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var spawnBenches = []bench{
	{name: "spawn_join", n: 1_000_000, run: spawnJoin},
	{name: "yield", n: 5_000_000, workers: 1, run: yield},
	{name: "parked", n: 1_000_000, run: parked},
	{name: "imbalance", n: 100_000, run: imbalance},
}

// spawnJoin: n empty routines, started one by one by one routine, and waited for.
func spawnJoin(o order) result {
	clock := time.Now()
	startAndWait(o.n)
	return result{n: o.n, seconds: secondsSince(clock), isRight: true}
}

func startAndWait(n uint64) {
	var all sync.WaitGroup
	all.Add(int(n))
	empty := all.Done // bound once: a bound method in a go statement would be allocated each time
	for i := uint64(0); i < n; i++ {
		go empty()
	}
	all.Wait()
}

// yield: two routines that give way to one another.
func yield(o order) result {
	each := o.n/2 + o.n%2
	var both sync.WaitGroup
	both.Add(2)
	yieldOften := func() {
		for i := uint64(0); i < each; i++ {
			runtime.Gosched()
		}
		both.Done()
	}
	clock := time.Now()
	go yieldOften()
	go yieldOften()
	both.Wait()
	return result{n: 2 * each, seconds: secondsSince(clock), isRight: true}
}

// parked: memory of n routines that wait on a channel.
func parked(o order) result {
	never := make(chan int)
	var waiting atomic.Uint64
	var got atomic.Uint64
	var all sync.WaitGroup
	all.Add(int(o.n))
	waitForClose := func(ch <-chan int) {
		waiting.Add(1)
		for range ch {
			got.Add(1)
		}
		all.Done()
	}

	before := residentBytes()
	clock := time.Now()
	for i := uint64(0); i < o.n; i++ {
		go waitForClose(never)
	}
	for waiting.Load() < o.n {
		runtime.Gosched()
	}
	seconds := secondsSince(clock)
	grown := float64(residentBytes()) - float64(before)

	close(never)
	all.Wait()
	return result{n: o.n, seconds: seconds, isRight: got.Load() == 0,
		more: []field{{"bytes_per_routine", grown / float64(o.n)}}}
}

// imbalance: n routines started by one; every 100th computes for 50 us, the others for 1 us.
func imbalance(o order) result {
	const shortUs, longUs, longEvery = 1, 50, 100
	steps := stepsPerMicrosecond()
	us := func(i uint64) uint64 {
		if i%longEvery == 0 {
			return longUs
		}
		return shortUs
	}
	results := make([]uint64, o.n)
	var all sync.WaitGroup
	all.Add(int(o.n))
	work := func(i uint64) {
		results[i] = compute(us(i) * steps)
		all.Done()
	}

	clock := time.Now()
	for i := uint64(0); i < o.n; i++ {
		go work(i)
	}
	all.Wait()
	seconds := secondsSince(clock)

	short, long := compute(shortUs*steps), compute(longUs*steps)
	isRight := true
	for i, got := range results {
		isRight = isRight && (got == short || us(uint64(i)) == longUs && got == long)
	}
	return result{n: o.n, seconds: seconds, isRight: isRight}
}

// compute is arithmetic of which each step waits for the one before.
func compute(steps uint64) uint64 {
	x := uint64(1)
	for i := uint64(0); i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// stepsPerMicrosecond takes the best of several tries: the others were interrupted, or the processor was still slow.
func stepsPerMicrosecond() uint64 {
	const tries, steps = 200, 100_000
	best := time.Hour
	last := compute(steps)
	for i := 0; i < tries; i++ {
		clock := time.Now()
		got := compute(steps)
		if took := time.Since(clock); took < best && got == last {
			best = took
		}
	}
	return uint64(steps * float64(time.Microsecond) / float64(best))
}
