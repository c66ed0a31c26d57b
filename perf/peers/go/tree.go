package main

// tree: programs that are trees of routines - skynet over channels, and skynet, fib and queens by fork/join.
//
// To fork and join, a parent starts all of its children but the last, runs that one itself, and waits for the
// others.  No branch is cut off: a leaf is a routine like any other.

import (
	"sync"
	"time"
)

var treeBenches = []bench{
	{name: "skynet", n: 1_111_111, run: skynet},
	{name: "skynet_fj", n: 1_111_111, run: skynetForkJoin},
	{name: "fib", n: 204_668_309, run: fib}, // fib(39)
	{name: "nqueens", n: 14, run: nqueens},
}

// --- skynet: each routine starts 10 children and adds up what they send; a leaf sends its number ---

const fanOut = 10

type tree struct {
	leaves   uint64
	routines uint64
}

// largestTree has at most n routines: 1, 11, 111 ...
func largestTree(n uint64) tree {
	t := tree{1, 1}
	for t.routines+t.leaves*fanOut <= n {
		t.leaves *= fanOut
		t.routines += t.leaves
	}
	return t
}

func skynet(o order) result {
	t := largestTree(o.n)
	clock := time.Now()
	up := make(chan uint64)
	go addUp(up, 0, t.leaves)
	sum := <-up
	return result{n: t.routines, seconds: secondsSince(clock), isRight: isSum(sum, t.leaves)}
}

func addUp(up chan<- uint64, first, leaves uint64) {
	if leaves == 1 {
		up <- first
		return
	}
	sums := make(chan uint64)
	part := leaves / fanOut
	for i := uint64(0); i < fanOut; i++ {
		go addUp(sums, first+i*part, part)
	}
	sum := uint64(0)
	for i := 0; i < fanOut; i++ {
		sum += <-sums
	}
	up <- sum
}

// --- skynet_fj: the same tree by fork/join ---

func skynetForkJoin(o order) result {
	t := largestTree(o.n)
	clock := time.Now()
	sum := addedUp(0, t.leaves)
	return result{n: t.routines, seconds: secondsSince(clock), isRight: isSum(sum, t.leaves)}
}

func addedUp(first, leaves uint64) uint64 {
	if leaves == 1 {
		return first
	}
	part := leaves / fanOut
	var children struct { // one allocation for what the children share
		sync.WaitGroup
		sums [fanOut - 1]uint64
	}
	children.Add(fanOut - 1)
	for i := range children.sums {
		i := i
		go func() {
			children.sums[i] = addedUp(first+uint64(i)*part, part)
			children.Done()
		}()
	}
	sum := addedUp(first+(fanOut-1)*part, part)
	children.Wait()
	for _, child := range children.sums {
		sum += child
	}
	return sum
}

// --- fib: the naive recursion, every call a routine ---

// largestFib is the k whose fib(k) takes at most n calls: 2 fib(k + 1) - 1 of them.
func largestFib(n uint64) (k int, value, calls uint64) {
	next := uint64(1) // fib(k + 1)
	for calls = 1; 2*(value+next)-1 <= n; k++ {
		calls = 2*(value+next) - 1
		value, next = next, value+next
	}
	return k, value, calls
}

func fib(o order) result {
	k, value, calls := largestFib(o.n)
	clock := time.Now()
	got := fibOf(k)
	return result{n: calls, seconds: secondsSince(clock), isRight: got == value}
}

func fibOf(k int) uint64 {
	if k < 2 {
		return uint64(k)
	}
	var other struct {
		sync.WaitGroup
		value uint64
	}
	other.Add(1)
	go func() {
		other.value = fibOf(k - 1)
		other.Done()
	}()
	own := fibOf(k - 2)
	other.Wait()
	return own + other.value
}

// --- nqueens: all solutions, every placement of a queen a routine ---

var solutions = [...]uint64{1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512}

const maxQueens = len(solutions) - 1

// board holds the row of the queen in each column so far.
type board [maxQueens]int8

func nqueens(o order) result {
	n := int(o.n)
	if o.n > uint64(maxQueens) {
		n = maxQueens
	}
	clock := time.Now()
	found := place(board{}, 0, n)
	seconds := secondsSince(clock)
	return result{n: uint64(n), seconds: seconds, isRight: found == solutions[n], more: []field{{"total_s", seconds}}}
}

// place counts the solutions that begin with the queens in the first columns.
func place(b board, column, n int) uint64 {
	if column == n {
		return 1
	}
	var children *placements // none but where there are two
	row := b.nextFree(column, 0, n)
	for row < n {
		next := b.nextFree(column, row+1, n)
		b[column] = int8(row)
		if next == n { // the last one
			break
		}
		if children == nil {
			children = new(placements)
		}
		children.start(row, b, column+1, n)
		row = next
	}
	if row == n {
		return 0
	}
	sum := place(b, column+1, n)
	if children != nil {
		sum += children.sum()
	}
	return sum
}

// placements are the routines that a parent has started, one for a row.
type placements struct {
	running sync.WaitGroup
	found   [maxQueens]uint64
}

func (p *placements) start(row int, b board, column, n int) {
	p.running.Add(1)
	go func() {
		p.found[row] = place(b, column, n)
		p.running.Done()
	}()
}

func (p *placements) sum() uint64 {
	p.running.Wait()
	sum := uint64(0)
	for _, found := range p.found {
		sum += found
	}
	return sum
}

// nextFree is the first row from `from` in which a queen in this column is safe; n if there is none.
func (b *board) nextFree(column, from, n int) int {
	for row := from; row < n; row++ {
		if b.isSafe(column, row) {
			return row
		}
	}
	return n
}

func (b *board) isSafe(column, row int) bool {
	for c := 0; c < column; c++ {
		apart := row - int(b[c])
		if apart == 0 || apart == column-c || apart == c-column {
			return false
		}
	}
	return true
}
