package main

// cancel: many routines that wait for what never comes, until they are told to end.

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var cancelBenches = []bench{{name: "cancel", n: 100_000, run: cancelAll}}

func cancelAll(o order) result {
	scope, cancel := context.WithCancel(context.Background())
	never := make(chan int)
	var waiting, got atomic.Uint64
	var all sync.WaitGroup
	all.Add(int(o.n))
	waitForEither := func(ctx context.Context) {
		waiting.Add(1)
		select {
		case <-ctx.Done():
		case <-never:
			got.Add(1)
		}
		all.Done()
	}
	for i := uint64(0); i < o.n; i++ {
		go waitForEither(scope)
	}
	for waiting.Load() < o.n {
		runtime.Gosched()
	}

	clock := time.Now()
	cancel()
	all.Wait()
	return result{n: o.n, seconds: secondsSince(clock), isRight: got.Load() == 0}
}
