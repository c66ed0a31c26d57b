//! What it costs to start a task, to give way to another one, to have many that wait, and to spread work.

use crate::harness::{self, on_worker, way, Bench, Order, Outcome, BENCH};
use crate::kinds::async_channel::{bounded, Receiver};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::{yield_now, JoinSet};

pub const BENCHES: &[Bench] = &[
    Bench {
        name: "spawn_join",
        n: 1_000_000,
        ways: &[
            way("waitgroup", |runtime, order| on_worker(runtime, wait_for_group(order.n))),
            way("handles", |runtime, order| on_worker(runtime, join_handles(order.n))),
            way("joinset", |runtime, order| on_worker(runtime, join_set(order.n))),
        ],
        ..BENCH
    },
    Bench { name: "yield", n: 5_000_000, workers: 1, ways: &[way("", yield_in_turn)], ..BENCH },
    Bench { name: "parked", n: 1_000_000, ways: &[way("", parked)], ..BENCH },
    Bench { name: "imbalance", n: 100_000, ways: &[way("", imbalance)], ..BENCH },
];

// --- n empty tasks, started one by one, and waited for ---

async fn empty() {}

/// Each task holds a sender that never sends; when all are gone, there is nothing to receive.
pub async fn wait_for_group(n: u64) -> Outcome {
    let clock = Instant::now();
    let (running, mut none_left) = mpsc::channel::<()>(1);
    for _ in 0..n {
        let running = running.clone();
        tokio::spawn(async move { drop(running) });
    }
    drop(running);
    let is_right = none_left.recv().await.is_none();
    Outcome::since(clock, n, is_right)
}

pub async fn join_handles(n: u64) -> Outcome {
    let clock = Instant::now();
    let mut handles = Vec::with_capacity(n as usize);
    for _ in 0..n {
        handles.push(tokio::spawn(empty()));
    }
    let mut is_right = true;
    for handle in handles {
        is_right &= handle.await.is_ok();
    }
    Outcome::since(clock, n, is_right)
}

pub async fn join_set(n: u64) -> Outcome {
    let clock = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..n {
        all.spawn(empty());
    }
    let mut ended = 0;
    while let Some(task) = all.join_next().await {
        ended += task.is_ok() as u64;
    }
    Outcome::since(clock, n, ended == n)
}

// --- two tasks that give way to one another ---

fn yield_in_turn(runtime: &Runtime, order: &Order) -> Outcome {
    let each = order.n / 2 + order.n % 2;
    let yield_often = move || async move {
        for _ in 0..each {
            yield_now().await;
        }
    };
    on_worker(runtime, async move {
        let clock = Instant::now();
        let a = tokio::spawn(yield_often());
        let b = tokio::spawn(yield_often());
        let is_right = a.await.is_ok() & b.await.is_ok();
        Outcome::since(clock, 2 * each, is_right)
    })
}

// --- memory of n tasks that wait on a channel ---

async fn wait_for_close(mut never: Receiver<u64>, waiting: &AtomicU64, ended: &AtomicU64) {
    waiting.fetch_add(1, Relaxed);
    while never.recv().await.is_some() {}
    ended.fetch_add(1, Relaxed);
}

fn parked(runtime: &Runtime, order: &Order) -> Outcome {
    let n = order.n;
    on_worker(runtime, async move {
        let (sender, never) = bounded(1);
        let (waiting, ended) = (harness::counter(), harness::counter());
        let before = harness::resident_bytes();
        let clock = Instant::now();
        for _ in 0..n {
            tokio::spawn(wait_for_close(never.clone(), waiting, ended));
        }
        until_all(n, waiting).await;
        let mut outcome = Outcome::since(clock, n, ended.load(Relaxed) == 0);
        let grown = harness::resident_bytes() as f64 - before as f64;
        outcome.more.push(("bytes_per_routine", grown / n as f64));
        drop(sender);
        until_all(n, ended).await;
        outcome
    })
}

/// Gives way until `counter` has come to n.
pub async fn until_all(n: u64, counter: &AtomicU64) {
    while counter.load(Relaxed) < n {
        yield_now().await;
    }
}

// --- n tasks started by one; every 100th computes for 50 us, the others for 1 us ---

const SHORT_US: u64 = 1;
const LONG_US: u64 = 50;
const LONG_EVERY: u64 = 100;

fn imbalance(runtime: &Runtime, order: &Order) -> Outcome {
    let n = order.n;
    let steps = steps_per_microsecond();
    let is_long = |i: u64| i % LONG_EVERY == 0;
    let results = harness::counters(n);
    let mut outcome = on_worker(runtime, async move {
        let clock = Instant::now();
        let (running, mut none_left) = mpsc::channel::<()>(1);
        for (i, result) in (0..).zip(results) {
            let us = if is_long(i) { LONG_US } else { SHORT_US };
            let running = running.clone();
            tokio::spawn(async move {
                result.store(compute(us * steps), Relaxed);
                drop(running);
            });
        }
        drop(running);
        none_left.recv().await;
        Outcome::since(clock, n, true)
    });
    let (short, long) = (compute(SHORT_US * steps), compute(LONG_US * steps));
    let expected = |i| if is_long(i) { long } else { short };
    outcome.is_right = (0..).zip(results).all(|(i, result)| result.load(Relaxed) == expected(i));
    outcome
}

/// Arithmetic of which each step waits for the one before.
fn compute(steps: u64) -> u64 {
    (0..steps).fold(1, |x: u64, _| x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407))
}

/// The best of several tries: the others were interrupted, or the processor was still slow.
fn steps_per_microsecond() -> u64 {
    const TRIES: u32 = 200;
    const STEPS: u64 = 100_000;
    let tried = |_| {
        let clock = Instant::now();
        opaque(compute(opaque(STEPS)));
        clock.elapsed()
    };
    let best = (0..TRIES).map(tried).min().expect("a try");
    (STEPS as f64 / harness::micros(best)) as u64
}

/// The value, of which the compiler knows nothing: it works out here what comes from it, and what it comes from.
fn opaque(value: u64) -> u64 {
    // SAFETY: reads a local variable.
    unsafe { std::ptr::read_volatile(&value) }
}
