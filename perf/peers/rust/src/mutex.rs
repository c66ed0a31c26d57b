//! 8 tasks that lock and unlock the same mutex: Tokio's, which suspends a task, or std's, which blocks its thread.

use crate::harness::{on_worker, way, whole_shares, Bench, Order, Outcome, BENCH};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync;

pub const BENCHES: &[Bench] = &[Bench {
    name: "mutex",
    n: 8_000_000,
    ways: &[way("mutex", of_tokio), way("std-mutex", of_std)],
    ..BENCH
}];

const TASKS: u64 = 8;

async fn contend<M, F>(
    n: u64,
    counter: M,
    count_up: fn(Arc<M>, u64) -> F,
    into_inner: fn(M) -> u64,
) -> Outcome
where
    F: Future<Output = ()> + Send + 'static,
{
    let each = whole_shares(n, TASKS);
    let clock = Instant::now();
    let counter = Arc::new(counter);
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(count_up(counter.clone(), each))).collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    let counted = Arc::try_unwrap(counter).ok().map(into_inner);
    Outcome::since(clock, TASKS * each, counted == Some(TASKS * each))
}

async fn count_up(counter: Arc<sync::Mutex<u64>>, times: u64) {
    for _ in 0..times {
        *counter.lock().await += 1;
    }
}

fn of_tokio(runtime: &Runtime, order: &Order) -> Outcome {
    on_worker(runtime, contend(order.n, sync::Mutex::new(0), count_up, |counter| counter.into_inner()))
}

async fn count_up_blocking(counter: Arc<std::sync::Mutex<u64>>, times: u64) {
    for _ in 0..times {
        *counter.lock().expect("no task panics") += 1;
    }
}

fn of_std(runtime: &Runtime, order: &Order) -> Outcome {
    let counter = std::sync::Mutex::new(0);
    let into_inner = |counter: std::sync::Mutex<u64>| counter.into_inner().expect("no task panics");
    on_worker(runtime, contend(order.n, counter, count_up_blocking, into_inner))
}
