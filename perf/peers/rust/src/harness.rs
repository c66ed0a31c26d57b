//! What all benches share: the order, the outcome, the clock, memory.
//!
//! A bench does its work n times on a runtime that is up, and says how long that took.
//! It checks its own result: a figure for work that was not done is worth nothing.

use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Of the channels, without -c.
pub const CAPACITY: usize = 128;

/// What to do.
pub struct Order {
    pub workers: usize,
    pub n: u64,
    pub capacity: usize, // of the channels, where the bench takes one
}

/// What the work gave; `n` may be less than what was asked for (whole rounds, whole trees).
pub struct Outcome {
    pub n: u64,
    pub seconds: f64,
    pub is_right: bool,
    pub more: Vec<(&'static str, f64)>, // further fields of the JSON
}

impl Outcome {
    /// Of work that has ended just now.
    pub fn since(clock: Instant, n: u64, is_right: bool) -> Self {
        Outcome { n, seconds: clock.elapsed().as_secs_f64(), is_right, more: Vec::new() }
    }
}

type Run = fn(&Runtime, &Order) -> Outcome;

/// One way to do a bench; without a name if it is the only one.
pub struct Way {
    pub name: &'static str,
    pub least_capacity: usize, // where the bench takes one
    pub run: Run,
}

pub const fn way(name: &'static str, run: Run) -> Way {
    Way { name, least_capacity: 0, run }
}

pub const fn way_from(name: &'static str, least_capacity: usize, run: Run) -> Way {
    Way { name, least_capacity, run }
}

pub struct Bench {
    pub name: &'static str,
    pub n: u64,         // without -n
    pub workers: usize, // without -w; 0: one per CPU
    pub takes_capacity: bool,
    pub ways: &'static [Way], // the first is the default
}

/// What most benches have in common.
pub const BENCH: Bench = Bench { name: "", n: 0, workers: 0, takes_capacity: false, ways: &[] };

/// Runs a future as a task, on a worker (block_on alone would run it on this thread), and waits.
pub fn on_worker<F>(runtime: &Runtime, future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.block_on(runtime.spawn(future)).expect("no task panics")
}

/// A counter for all tasks; the process is over soon enough to leave it behind.
pub fn counter() -> &'static AtomicU64 {
    Box::leak(Box::default())
}

/// So many of them.
pub fn counters(n: u64) -> &'static [AtomicU64] {
    Box::leak((0..n).map(|_| AtomicU64::new(0)).collect())
}

/// Processor time of this process so far, user and system.
pub fn cpu_seconds() -> f64 {
    let mut used = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills in what it is given; all zeros are a valid rusage, too.
    let used = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, used.as_mut_ptr());
        used.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

/// Physical memory of this process: now, and at its largest.
pub fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

pub fn peak_resident_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// Reads one line of /proc/self/status: a name, a number, kB.
fn status_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

/// A number with six digits or more, without an exponent.
pub fn six_digits(value: f64) -> String {
    let whole = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    format!("{value:.*}", (5 - whole).max(0) as usize)
}

/// Of sorted times, in microseconds.
pub fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    micros(sorted[sorted.len() * percent / 100])
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Whether `sum` is that of 0 to n - 1.
pub fn is_sum(sum: u64, n: u64) -> bool {
    sum == n * (n - 1) / 2
}

/// Cuts n into as many equal shares; at least one each.
pub fn whole_shares(n: u64, shares: u64) -> u64 {
    (n / shares).max(1)
}
