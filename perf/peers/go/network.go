package main

// network: many routines in a chain of unbuffered channels - a token in a ring, the prime sieve.

import "time"

var networkBenches = []bench{
	{name: "ring", n: 1_000_000, run: ring},
	{name: "sieve", n: 2000, run: sieve},
}

// --- ring: a token goes round 1,000 routines ---

const ringSize = 1000

func passOn(from <-chan uint64, to chan<- uint64) {
	for token := range from {
		to <- token + 1
	}
	close(to)
}

func ring(o order) result {
	laps := wholeShares(o.n, ringSize)
	first := make(chan uint64)
	last := first
	for i := 1; i < ringSize; i++ { // this routine is one of them
		next := make(chan uint64)
		go passOn(last, next)
		last = next
	}
	clock := time.Now()
	token := uint64(0)
	for lap := uint64(0); lap < laps; lap++ {
		first <- token + 1
		token = <-last
	}
	seconds := secondsSince(clock)
	close(first)
	<-last // the close has come round
	return result{n: laps * ringSize, seconds: seconds, isRight: token == laps*ringSize}
}

// --- sieve: the concurrent prime sieve, to the n-th prime ---

func count(out chan<- int) {
	for i := 2; ; i++ {
		out <- i
	}
}

func filter(prime int, in <-chan int, out chan<- int) {
	for v := range in {
		if v%prime != 0 {
			out <- v
		}
	}
}

func isPrime(candidate int) bool {
	for d := 2; d*d <= candidate; d++ {
		if candidate%d == 0 {
			return false
		}
	}
	return candidate > 1
}

// sieve leaves its routines where they wait: in Go they end with the program.
func sieve(o order) result {
	clock := time.Now()
	numbers := make(chan int)
	go count(numbers)
	prime := 0
	for i := uint64(0); i < o.n; i++ {
		prime = <-numbers
		left := make(chan int)
		go filter(prime, numbers, left)
		numbers = left
	}
	seconds := secondsSince(clock)
	isRight := isPrime(prime) && (o.n != 2000 || prime == 17389)
	return result{n: o.n, seconds: seconds, isRight: isRight, more: []field{{"total_s", seconds}}}
}
