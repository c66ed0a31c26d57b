//! What an OS thread that is none of the runtime's does to it: wakes a task, starts tasks.
//!
//! The thread is the program's first one, which Tokio does not use as a worker.

use crate::harness::{self, percentile, way, Bench, Order, Outcome, BENCH};
use crate::spawn::{join_handles, join_set, wait_for_group};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub const BENCHES: &[Bench] = &[
    Bench {
        name: "wake_latency",
        n: 5_000,
        ways: &[way("mpsc1", mpsc::wake_latency), way("flume0", flume::wake_latency)],
        ..BENCH
    },
    Bench {
        name: "spawn_foreign",
        n: 1_000_000,
        ways: &[
            way("waitgroup", |runtime, order| runtime.block_on(wait_for_group(order.n))),
            way("handles", |runtime, order| runtime.block_on(join_handles(order.n))),
            way("joinset", |runtime, order| runtime.block_on(join_set(order.n))),
        ],
        ..BENCH
    },
];

// --- wake_latency: how long until a task that waits has what is sent to it, when all was idle for 200 us ---

const IDLE: Duration = Duration::from_micros(200);

fn spin_for(time: Duration) {
    let from = Instant::now();
    while from.elapsed() < time {
        std::hint::spin_loop();
    }
}

macro_rules! wake_over {
    ($kind:ident) => {
        mod $kind {
            use super::*;
            use crate::kinds::$kind::{bounded, LEAST_CAPACITY};

            pub fn wake_latency(runtime: &Runtime, order: &Order) -> Outcome {
                let (out, mut through) = bounded::<Instant>(LEAST_CAPACITY); // when it was sent
                let taken = harness::counter();
                let mut late = Vec::with_capacity(order.n as usize);
                let task = runtime.spawn(async move {
                    while let Some(sent) = through.recv().await {
                        late.push(sent.elapsed());
                        taken.fetch_add(1, Relaxed);
                    }
                    late
                });

                let clock = Instant::now();
                for i in 0..order.n {
                    spin_for(IDLE);
                    out.send_blocking(Instant::now());
                    while taken.load(Relaxed) <= i {
                        std::hint::spin_loop();
                    }
                }
                let mut outcome = Outcome::since(clock, order.n, true);
                drop(out);
                let mut late = runtime.block_on(task).expect("no task panics");
                outcome.is_right = late.len() as u64 == order.n;
                late.sort_unstable();
                outcome.more =
                    vec![("wake_p50_us", percentile(&late, 50)), ("wake_p99_us", percentile(&late, 99))];
                outcome
            }
        }
    };
}

wake_over!(flume);
wake_over!(mpsc);
