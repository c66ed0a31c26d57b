//! Many tasks in a chain of channels of the least capacity: a token in a ring, the prime sieve.

use crate::harness::{on_worker, way, whole_shares, Bench, Order, Outcome, BENCH};
use std::time::Instant;
use tokio::runtime::Runtime;

pub const BENCHES: &[Bench] = &[
    Bench {
        name: "ring",
        n: 1_000_000,
        ways: &[way("flume0", flume::ring), way("mpsc1", mpsc::ring)],
        ..BENCH
    },
    Bench {
        name: "sieve",
        n: 2000,
        ways: &[way("flume0", flume::sieve), way("mpsc1", mpsc::sieve)],
        ..BENCH
    },
];

const RING_SIZE: u64 = 1000;

fn is_prime(candidate: u32) -> bool {
    candidate > 1 && (2..).take_while(|d| d * d <= candidate).all(|d| candidate % d != 0)
}

macro_rules! networks_over {
    ($kind:ident) => {
        mod $kind {
            use super::*;
            use crate::kinds::$kind::{bounded, Receiver, Sender, LEAST_CAPACITY};

            // --- ring: a token goes round 1,000 tasks ---

            async fn pass_on(mut from: Receiver<u64>, to: Sender<u64>) {
                while let Some(token) = from.recv().await {
                    to.send(token + 1).await;
                }
            }

            pub fn ring(runtime: &Runtime, order: &Order) -> Outcome {
                let laps = whole_shares(order.n, RING_SIZE);
                on_worker(runtime, async move {
                    let (first, mut last) = bounded(LEAST_CAPACITY);
                    for _ in 1..RING_SIZE {
                        // this task is one of them
                        let (out, next) = bounded(LEAST_CAPACITY);
                        tokio::spawn(pass_on(last, out));
                        last = next;
                    }
                    let clock = Instant::now();
                    let mut token = 0;
                    for _ in 0..laps {
                        first.send(token + 1).await;
                        token = last.recv().await.unwrap_or(0);
                    }
                    let n = laps * RING_SIZE;
                    let outcome = Outcome::since(clock, n, token == n);
                    drop(first);
                    last.recv().await; // the close has come round
                    outcome
                })
            }

            // --- sieve: the concurrent prime sieve, to the n-th prime ---

            async fn count(out: Sender<u32>) {
                for i in 2.. {
                    if !out.send(i).await {
                        return;
                    }
                }
            }

            async fn filter(prime: u32, mut numbers: Receiver<u32>, out: Sender<u32>) {
                while let Some(v) = numbers.recv().await {
                    if v % prime != 0 && !out.send(v).await {
                        return;
                    }
                }
            }

            pub fn sieve(runtime: &Runtime, order: &Order) -> Outcome {
                let n = order.n;
                on_worker(runtime, async move {
                    let clock = Instant::now();
                    let (out, mut numbers) = bounded(LEAST_CAPACITY);
                    tokio::spawn(count(out));
                    let mut prime = 0;
                    for _ in 0..n {
                        prime = numbers.recv().await.unwrap_or(0);
                        let (out, left) = bounded(LEAST_CAPACITY);
                        tokio::spawn(filter(prime, numbers, out));
                        numbers = left;
                    }
                    let is_right = is_prime(prime) && (n != 2000 || prime == 17389);
                    let mut outcome = Outcome::since(clock, n, is_right);
                    outcome.more.push(("total_s", outcome.seconds));
                    outcome
                })
            }
        }
    };
}

networks_over!(flume);
networks_over!(mpsc);
