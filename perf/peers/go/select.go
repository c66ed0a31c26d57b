package main

// select: one routine that takes from two channels whatever comes first.

import "time"

var selectBenches = []bench{
	{name: "select2", n: 5_000_000, run: func(o order) result { return takeFromTwo(o.n, defaultCapacity) }},
	{name: "select2_unbuf", n: 5_000_000, run: func(o order) result { return takeFromTwo(o.n, 0) }},
}

func takeFromTwo(n uint64, capacity int) result {
	a, b := make(chan uint64, capacity), make(chan uint64, capacity)
	sum := uint64(0)
	clock := time.Now()
	go produce(a, 0, n/2)
	go produce(b, n/2, n)
	for i := uint64(0); i < n; i++ {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	return result{n: n, seconds: secondsSince(clock), isRight: isSum(sum, n)}
}
