package main

// time: many routines that sleep once - what it costs, and how late they wake - and one timer armed over and over.

import (
	"math/rand"
	"sync"
	"time"
)

var timeBenches = []bench{
	{name: "timers", n: 1_000_000, run: timers},
	{name: "rearm", n: 10_000_000, run: rearm},
}

func timers(o order) result {
	random := rand.New(rand.NewSource(1))
	late := make([]time.Duration, o.n)
	var all sync.WaitGroup
	all.Add(int(o.n))
	sleepOnce := func(howLong time.Duration, lateness *time.Duration) {
		deadline := time.Now().Add(howLong)
		time.Sleep(howLong)
		*lateness = time.Since(deadline)
		all.Done()
	}

	cpuBefore := cpuSeconds()
	clock := time.Now()
	for i := range late {
		go sleepOnce(time.Duration(1+random.Intn(1000))*time.Millisecond, &late[i])
	}
	all.Wait()
	seconds := secondsSince(clock)
	cpu := cpuSeconds() - cpuBefore

	sortTimes(late)
	return result{n: o.n, seconds: seconds, isRight: late[0] >= 0, more: []field{
		{"total_s", seconds},
		{"cpu_s", cpu},
		{"late_p50_us", percentile(late, 50)},
		{"late_p99_us", percentile(late, 99)},
		{"late_max_us", micros(late[len(late)-1])},
	}}
}

// rearm: one timer of an hour that is set to another time n times, and stopped.
func rearm(o order) result {
	isRight := true
	clock := time.Now()
	timer := time.NewTimer(time.Hour)
	for i := uint64(0); i < o.n; i++ {
		wasArmed := timer.Reset(time.Hour + time.Duration(i))
		isRight = isRight && wasArmed
	}
	isRight = timer.Stop() && isRight
	return result{n: o.n, seconds: secondsSince(clock), isRight: isRight}
}
