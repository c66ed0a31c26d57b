//! peer-rust BENCH [-w WORKERS] [-n N] [-c CAPACITY] [-impl NAME]: runs one bench, prints one line of JSON.
//!
//! {"bench":"yield","impl":"tokio","workers":1,"n":5000000,"ns_per_op":16.0,"rss_mb":8.1}
//! weft-perf takes the same command line; perf/README.md says what each bench does and what its n counts.  Where
//! there is more than one way to do it on Tokio, -impl names one; without it, the one that is best is taken.

mod blocking;
mod cancel;
mod channel;
mod foreign;
mod harness;
mod io;
mod kinds;
mod mutex;
mod network;
mod select;
mod spawn;
mod time;
mod tree;

use harness::{Bench, Order, Outcome, Way};
use std::process::exit;
use std::thread::available_parallelism;

const WRONG_RESULT: i32 = 1;
const USAGE: i32 = 2;
const HAS_NONE: i32 = 3;

fn all_benches() -> impl Iterator<Item = &'static Bench> {
    let lists = [
        spawn::BENCHES,
        tree::BENCHES,
        channel::BENCHES,
        select::BENCHES,
        time::BENCHES,
        network::BENCHES,
        mutex::BENCHES,
        cancel::BENCHES,
        foreign::BENCHES,
        blocking::BENCHES,
        io::BENCHES,
    ];
    lists.into_iter().flatten()
}

fn print_usage() {
    eprintln!("usage: peer-rust BENCH [-w WORKERS] [-n N] [-c CAPACITY] [-impl NAME]");
    eprintln!("       peer-rust --list");
    let names: Vec<_> = all_benches().map(|b| b.name).collect();
    eprintln!("BENCH is one of: {}", names.join(" "));
}

/// What can be run: BENCH IMPL, one a line, a bench's default first.
fn print_list() {
    for bench in all_benches() {
        for way in bench.ways {
            println!("{} {}", bench.name, impl_name(Some(way)));
        }
    }
}

/// As in the JSON: "tokio" where none was named or there is but one.
fn impl_name(named: Option<&Way>) -> String {
    match named {
        Some(way) if !way.name.is_empty() => format!("tokio-{}", way.name),
        _ => "tokio".to_string(),
    }
}

/// A bench, and what is asked of it.
struct Request {
    bench: &'static Bench,
    way: Option<&'static Way>,
    order: Order,
}

/// Reads a bench, and options in pairs.
fn parse(args: &[String]) -> Option<Request> {
    let (name, options) = args.split_first()?;
    if options.len() % 2 != 0 {
        return None;
    }
    let bench = all_benches().find(|b| b.name == name)?;
    let workers = match bench.workers {
        0 => available_parallelism().map_or(1, |cpus| cpus.get()),
        workers => workers,
    };
    let order = Order { workers, n: bench.n, capacity: harness::CAPACITY };
    let mut request = Request { bench, way: None, order };
    for option in options.chunks_exact(2) {
        let value = option[1].as_str();
        match option[0].as_str() {
            "-w" => request.order.workers = positive(value)? as usize,
            "-n" => request.order.n = positive(value)?,
            "-c" if bench.takes_capacity => request.order.capacity = value.parse().ok()?,
            "-impl" => request.way = way_of(bench, value)?,
            _ => return None,
        }
    }
    Some(request)
}

fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|value| *value > 0)
}

/// The way of that name, short or as in the JSON: "mpsc", "tokio-mpsc"; none for the default: "tokio".
fn way_of(bench: &'static Bench, name: &str) -> Option<Option<&'static Way>> {
    if name == impl_name(None) {
        return Some(None);
    }
    let short = name.strip_prefix("tokio-").unwrap_or(name);
    bench.ways.iter().find(|way| way.name == short).map(Some)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["--list"] {
        return print_list();
    }
    let Request { bench, way, order } = parse(&args).unwrap_or_else(|| {
        print_usage();
        exit(USAGE);
    });

    let taken = way.unwrap_or(&bench.ways[0]);
    if order.capacity < taken.least_capacity {
        eprintln!("peer-rust {}: {} has no channel of capacity {}", bench.name, taken.name, order.capacity);
        exit(HAS_NONE);
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(order.workers)
        .enable_all()
        .build()
        .expect("a runtime");
    let got = (taken.run)(&runtime, &order);
    if !got.is_right {
        eprintln!("peer-rust {}: wrong result", bench.name);
        exit(WRONG_RESULT);
    }
    print_result(bench.name, &impl_name(way), order.workers, &got);
}

fn print_result(bench: &str, name: &str, workers: usize, got: &Outcome) {
    let n = got.n;
    let ns_per_op = harness::six_digits(got.seconds * 1e9 / n as f64);
    print!(r#"{{"bench":"{bench}","impl":"{name}","workers":{workers},"n":{n},"ns_per_op":{ns_per_op}"#);
    for (field, value) in &got.more {
        print!(r#","{field}":{}"#, harness::six_digits(*value));
    }
    println!(r#","rss_mb":{:.1}}}"#, harness::peak_resident_bytes() as f64 / 1e6);
}
