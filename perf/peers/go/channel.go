package main

// channel: what it costs to hand a value over - to and fro, one way, between many, from very many.

import (
	"sync"
	"time"
)

var channelBenches = []bench{
	{name: "chan_pingpong", n: 2_000_000, run: pingpong},
	{name: "chan_spsc", n: 20_000_000, takesCapacity: true, run: spsc},
	{name: "chan_mpmc", n: 10_000_000, takesCapacity: true, run: mpmc},
	{name: "chan_unbounded", n: 20_000_000, whyNot: "Go has no unbounded channel"},
	{name: "fan_in", n: 1_000_000, run: fanIn},
}

// pingpong: round trips between two routines over two unbuffered channels.
func pingpong(o order) result {
	there, back := make(chan uint64), make(chan uint64)
	isRight := true
	clock := time.Now()
	go func() {
		for v := range there {
			back <- v
		}
	}()
	for i := uint64(0); i < o.n; i++ {
		there <- i
		isRight = <-back == i && isRight
	}
	seconds := secondsSince(clock)
	close(there)
	return result{n: o.n, seconds: seconds, isRight: isRight}
}

func spsc(o order) result { return oneWay(o, 1) }
func mpmc(o order) result { return oneWay(o, 4) }

// oneWay: `pairs` producers send n values in all, as many consumers add them up.
func oneWay(o order, pairs uint64) result {
	through := make(chan uint64, o.capacity)
	sums := make(chan uint64, pairs)
	var producers sync.WaitGroup
	producers.Add(int(pairs))
	clock := time.Now()
	for i := uint64(0); i < pairs; i++ {
		go func() { sums <- consume(through) }()
		first, end := o.n*i/pairs, o.n*(i+1)/pairs
		go func() {
			produce(through, first, end)
			producers.Done()
		}()
	}
	producers.Wait()
	close(through)
	sum := uint64(0)
	for i := uint64(0); i < pairs; i++ {
		sum += <-sums
	}
	return result{n: o.n, seconds: secondsSince(clock), isRight: isSum(sum, o.n)}
}

func produce(out chan<- uint64, first, end uint64) {
	for v := first; v < end; v++ {
		out <- v
	}
}

func consume(in <-chan uint64) uint64 {
	sum := uint64(0)
	for v := range in {
		sum += v
	}
	return sum
}

// fanIn: 10,000 producers send to one consumer.
func fanIn(o order) result {
	const producers = 10_000
	each := wholeShares(o.n, producers)
	n := each * producers
	through := make(chan uint64, defaultCapacity)
	sum := uint64(0)
	clock := time.Now()
	for i := uint64(0); i < producers; i++ {
		go produce(through, i*each, (i+1)*each)
	}
	for i := uint64(0); i < n; i++ {
		sum += <-through
	}
	return result{n: n, seconds: secondsSince(clock), isRight: isSum(sum, n)}
}
