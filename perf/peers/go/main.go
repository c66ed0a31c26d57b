// peer-go BENCH [-w WORKERS] [-n N] [-c CAPACITY]: runs one bench, prints one line of JSON.
//
// {"bench":"yield","impl":"go","workers":1,"n":5000000,"ns_per_op":16.0,"rss_mb":8.1}
// weft-perf takes the same command line; perf/README.md says what each bench does and what its n counts.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
)

const (
	exitWrongResult = 1
	exitUsage       = 2
	exitHasNone     = 3
)

var allBenches = [][]bench{
	spawnBenches, treeBenches, channelBenches, selectBenches, timeBenches, networkBenches, mutexBenches,
	cancelBenches, foreignBenches, blockingBenches, ioBenches,
}

func find(name string) *bench {
	for _, list := range allBenches {
		for i := range list {
			if list[i].name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func printUsage() {
	fmt.Fprint(os.Stderr, "usage: peer-go BENCH [-w WORKERS] [-n N] [-c CAPACITY]\n       peer-go --list\nBENCH is one of:")
	for _, list := range allBenches {
		for _, b := range list {
			fmt.Fprint(os.Stderr, " ", b.name)
		}
	}
	fmt.Fprintln(os.Stderr)
}

// printList prints what can be asked for: BENCH IMPL, one a line.
func printList() {
	for _, list := range allBenches {
		for _, b := range list {
			fmt.Println(b.name, "go")
		}
	}
}

// parse reads a bench, and options in pairs.
func parse(args []string) (*bench, order, bool) {
	if len(args) == 0 || len(args)%2 == 0 {
		return nil, order{}, false
	}
	b := find(args[0])
	if b == nil {
		return nil, order{}, false
	}
	o := order{workers: b.workers, n: b.n, capacity: defaultCapacity}
	if o.workers == 0 {
		o.workers = runtime.NumCPU()
	}
	for i := 1; i < len(args); i += 2 {
		value, err := strconv.ParseUint(args[i+1], 10, 63)
		if err != nil {
			return nil, order{}, false
		}
		switch {
		case args[i] == "-w" && value > 0:
			o.workers = int(value)
		case args[i] == "-n" && value > 0:
			o.n = value
		case args[i] == "-c" && b.takesCapacity:
			o.capacity = int(value)
		default:
			return nil, order{}, false
		}
	}
	return b, o, true
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		printList()
		return
	}
	b, o, ok := parse(os.Args[1:])
	if !ok {
		printUsage()
		os.Exit(exitUsage)
	}
	if b.run == nil {
		fmt.Fprintf(os.Stderr, "peer-go %s: %s\n", b.name, b.whyNot)
		os.Exit(exitHasNone)
	}

	runtime.GOMAXPROCS(o.workers)
	got := b.run(o)
	if !got.isRight {
		fmt.Fprintf(os.Stderr, "peer-go %s: wrong result\n", b.name)
		os.Exit(exitWrongResult)
	}
	fmt.Printf(`{"bench":"%s","impl":"go","workers":%d,"n":%d,"ns_per_op":%.6g`,
		b.name, o.workers, got.n, got.seconds*1e9/float64(got.n))
	for _, f := range got.more {
		fmt.Printf(`,"%s":%.6g`, f.name, f.value)
	}
	fmt.Printf(",\"rss_mb\":%.1f}\n", float64(peakResidentBytes())/1e6)
}
