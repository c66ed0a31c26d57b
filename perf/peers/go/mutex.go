package main

// mutex: 8 routines that lock and unlock the same one.

import (
	"sync"
	"time"
)

var mutexBenches = []bench{{name: "mutex", n: 8_000_000, run: mutex}}

func mutex(o order) result {
	const routines = 8
	each := wholeShares(o.n, routines)
	var m sync.Mutex
	counter := uint64(0)
	var all sync.WaitGroup
	all.Add(routines)
	countUp := func() {
		for i := uint64(0); i < each; i++ {
			m.Lock()
			counter++
			m.Unlock()
		}
		all.Done()
	}
	clock := time.Now()
	for i := 0; i < routines; i++ {
		go countUp()
	}
	all.Wait()
	return result{n: routines * each, seconds: secondsSince(clock), isRight: counter == routines*each}
}
