//! One task that takes from two channels whatever comes first.

use crate::harness::{is_sum, on_worker, way, Bench, Order, Outcome, BENCH, CAPACITY};
use std::time::Instant;
use tokio::runtime::Runtime;

pub const BENCHES: &[Bench] = &[
    Bench {
        name: "select2",
        n: 5_000_000,
        ways: &[
            way("mpsc", |runtime, order| mpsc::select2(runtime, order, CAPACITY)),
            way("async-channel", |runtime, order| async_channel::select2(runtime, order, CAPACITY)),
            way("flume", |runtime, order| flume::select2(runtime, order, CAPACITY)),
        ],
        ..BENCH
    },
    Bench {
        name: "select2_unbuf",
        n: 5_000_000,
        ways: &[
            way("flume0", |runtime, order| flume::select2(runtime, order, 0)),
            way("mpsc1", |runtime, order| mpsc::select2(runtime, order, 1)),
        ],
        ..BENCH
    },
];

macro_rules! select_over {
    ($kind:ident) => {
        mod $kind {
            use super::*;
            use crate::kinds::$kind::{bounded, produce, Receiver};

            async fn take_from_two(n: u64, mut a: Receiver<u64>, mut b: Receiver<u64>) -> u64 {
                let mut sum = 0;
                for _ in 0..n {
                    tokio::select! {
                        Some(v) = a.recv() => sum += v,
                        Some(v) = b.recv() => sum += v,
                        else => break,
                    }
                }
                sum
            }

            pub fn select2(runtime: &Runtime, order: &Order, capacity: usize) -> Outcome {
                let n = order.n;
                on_worker(runtime, async move {
                    let clock = Instant::now();
                    let (first, a) = bounded(capacity);
                    let (second, b) = bounded(capacity);
                    tokio::spawn(produce(first, 0..n / 2));
                    tokio::spawn(produce(second, n / 2..n));
                    let sum = take_from_two(n, a, b).await;
                    Outcome::since(clock, n, is_sum(sum, n))
                })
            }
        }
    };
}

select_over!(mpsc);
select_over!(async_channel);
select_over!(flume);
