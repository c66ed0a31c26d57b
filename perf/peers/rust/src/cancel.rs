//! Many tasks that wait for what never comes, until they are told to end.

use crate::harness::{self, on_worker, way, Bench, Outcome, BENCH};
use crate::kinds::async_channel::{bounded, Receiver};
use crate::spawn::until_all;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::task::{JoinError, JoinSet};

pub const BENCHES: &[Bench] = &[Bench {
    name: "cancel",
    n: 100_000,
    ways: &[
        way("abort", |runtime, order| on_worker(runtime, abort_each(order.n))),
        way("joinset", |runtime, order| on_worker(runtime, abort_set(order.n))),
    ],
    ..BENCH
}];

async fn wait_for_never(mut never: Receiver<u64>, waiting: &AtomicU64) {
    waiting.fetch_add(1, Relaxed);
    never.recv().await;
}

fn was_cancelled(ended: Result<(), JoinError>) -> bool {
    matches!(ended, Err(error) if error.is_cancelled())
}

async fn abort_each(n: u64) -> Outcome {
    let (_sender, never) = bounded(1);
    let waiting = harness::counter();
    let start = |_| tokio::spawn(wait_for_never(never.clone(), waiting));
    let tasks: Vec<_> = (0..n).map(start).collect();
    until_all(n, waiting).await;

    let clock = Instant::now();
    for task in &tasks {
        task.abort();
    }
    let mut cancelled = 0;
    for task in tasks {
        cancelled += was_cancelled(task.await) as u64;
    }
    Outcome::since(clock, n, cancelled == n)
}

async fn abort_set(n: u64) -> Outcome {
    let (_sender, never) = bounded(1);
    let waiting = harness::counter();
    let mut tasks = JoinSet::new();
    for _ in 0..n {
        tasks.spawn(wait_for_never(never.clone(), waiting));
    }
    until_all(n, waiting).await;

    let clock = Instant::now();
    tasks.abort_all();
    let mut cancelled = 0;
    while let Some(ended) = tasks.join_next().await {
        cancelled += was_cancelled(ended) as u64;
    }
    Outcome::since(clock, n, cancelled == n)
}
