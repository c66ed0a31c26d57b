package main

// harness: what all benches share - the order, the result, the clock, memory.
//
// A bench does its work n times on a runtime that is up, and says how long that took.
// It checks its own result: a figure for work that was not done is worth nothing.

import (
	"bufio"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const defaultCapacity = 128

// order is what to do.
type order struct {
	workers  int
	n        uint64
	capacity int // of the channels, where the bench takes one
}

// result is what the work gave; n may be less than what was asked for (whole rounds, whole trees).
type result struct {
	n       uint64
	seconds float64
	isRight bool
	more    []field // of the JSON
}

type field struct {
	name  string
	value float64
}

type bench struct {
	name          string
	n             uint64 // without -n
	workers       int    // without -w; 0: one per CPU
	takesCapacity bool
	run           func(order) result // nil: Go has no such thing
	whyNot        string
}

// secondsSince is the wall-clock time since a start.
func secondsSince(start time.Time) float64 {
	return time.Since(start).Seconds()
}

// cpuSeconds is the processor time of this process so far, user and system.
func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

// residentBytes is the physical memory of this process now, peakResidentBytes at its largest.
func residentBytes() uint64     { return statusBytes("VmRSS:") }
func peakResidentBytes() uint64 { return statusBytes("VmHWM:") }

// statusBytes reads one line of /proc/self/status: a name, a number, kB.
func statusBytes(name string) uint64 {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 3 && words[0] == name {
			kilobytes, _ := strconv.ParseUint(words[1], 10, 64)
			return kilobytes * 1024
		}
	}
	return 0
}

// sortTimes sorts, for the percentiles below.
func sortTimes(times []time.Duration) {
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
}

// percentile of sorted times, in microseconds.
func percentile(sorted []time.Duration, percent int) float64 {
	return micros(sorted[len(sorted)*percent/100])
}

func micros(t time.Duration) float64 {
	return float64(t.Nanoseconds()) / 1e3
}

// isSum says whether sum is that of 0 to n - 1.
func isSum(sum, n uint64) bool {
	return sum == n*(n-1)/2
}

// wholeShares cuts n into as many equal shares; at least one each.
func wholeShares(n, shares uint64) uint64 {
	if n < shares {
		return 1
	}
	return n / shares
}
