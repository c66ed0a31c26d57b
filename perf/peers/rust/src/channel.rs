//! What it costs to hand a value over: to and fro, one way, between many, without limit, from very many.

use crate::harness::{
    is_sum, on_worker, way, way_from, whole_shares, Bench, Order, Outcome, BENCH, CAPACITY,
};
use std::time::Instant;
use tokio::runtime::Runtime;

pub const BENCHES: &[Bench] = &[
    Bench {
        name: "chan_pingpong",
        n: 2_000_000,
        ways: &[way("mpsc1", to_and_fro::mpsc::pingpong), way("flume0", to_and_fro::flume::pingpong)],
        ..BENCH
    },
    Bench {
        name: "chan_spsc",
        n: 20_000_000,
        takes_capacity: true,
        ways: &[
            way_from("async-channel", 1, one_consumer::async_channel::spsc),
            way_from("mpsc", 1, one_consumer::mpsc::spsc),
            way("flume", one_consumer::flume::spsc),
        ],
        ..BENCH
    },
    Bench {
        name: "chan_mpmc",
        n: 10_000_000,
        takes_capacity: true,
        ways: &[
            way_from("async-channel", 1, consumers::async_channel::mpmc),
            way("flume", consumers::flume::mpmc),
        ],
        ..BENCH
    },
    Bench {
        name: "chan_unbounded",
        n: 20_000_000,
        ways: &[
            way("flume", one_consumer::flume::without_limit),
            way("mpsc", one_consumer::mpsc::without_limit),
            way("async-channel", one_consumer::async_channel::without_limit),
        ],
        ..BENCH
    },
    Bench {
        name: "fan_in",
        n: 1_000_000,
        ways: &[
            way("flume", one_consumer::flume::fan_in),
            way("mpsc", one_consumer::mpsc::fan_in),
            way("async-channel", one_consumer::async_channel::fan_in),
        ],
        ..BENCH
    },
];

// --- chan_pingpong: round trips between two tasks over two channels of the least capacity ---

mod to_and_fro {
    use super::*;

    macro_rules! pingpong_over {
        ($kind:ident) => {
            pub mod $kind {
                use super::*;
                use crate::kinds::$kind::{bounded, Receiver, Sender, LEAST_CAPACITY};

                async fn echo(mut there: Receiver<u64>, back: Sender<u64>) {
                    while let Some(v) = there.recv().await {
                        back.send(v).await;
                    }
                }

                async fn ping(n: u64) -> Outcome {
                    let (there, other_in) = bounded(LEAST_CAPACITY);
                    let (other_out, mut back) = bounded(LEAST_CAPACITY);
                    let mut is_right = true;
                    let clock = Instant::now();
                    tokio::spawn(echo(other_in, other_out));
                    for i in 0..n {
                        there.send(i).await;
                        is_right &= back.recv().await == Some(i);
                    }
                    Outcome::since(clock, n, is_right)
                }

                pub fn pingpong(runtime: &Runtime, order: &Order) -> Outcome {
                    on_worker(runtime, ping(order.n))
                }
            }
        };
    }

    pingpong_over!(flume);
    pingpong_over!(mpsc);
}

// --- chan_spsc, chan_unbounded, fan_in: one consumer adds up what one or many send ---

mod one_consumer {
    use super::*;

    const PRODUCERS: u64 = 10_000; // of fan_in

    macro_rules! one_consumer_over {
        ($kind:ident) => {
            pub mod $kind {
                use super::*;
                use crate::kinds::$kind::{bounded, consume, produce, unbounded};

                pub fn spsc(runtime: &Runtime, order: &Order) -> Outcome {
                    let (n, capacity) = (order.n, order.capacity);
                    on_worker(runtime, async move {
                        let clock = Instant::now();
                        let (out, through) = bounded(capacity);
                        tokio::spawn(produce(out, 0..n));
                        let sum = consume(through).await;
                        Outcome::since(clock, n, is_sum(sum, n))
                    })
                }

                pub fn without_limit(runtime: &Runtime, order: &Order) -> Outcome {
                    let n = order.n;
                    on_worker(runtime, async move {
                        let clock = Instant::now();
                        let (out, mut through) = unbounded();
                        tokio::spawn(async move {
                            for v in 0..n {
                                out.send_now(v);
                            }
                        });
                        let mut sum = 0;
                        while let Some(v) = through.recv().await {
                            sum += v;
                        }
                        Outcome::since(clock, n, is_sum(sum, n))
                    })
                }

                pub fn fan_in(runtime: &Runtime, order: &Order) -> Outcome {
                    let each = whole_shares(order.n, PRODUCERS);
                    on_worker(runtime, async move {
                        let clock = Instant::now();
                        let (out, through) = bounded(CAPACITY);
                        for i in 0..PRODUCERS {
                            tokio::spawn(produce(out.clone(), i * each..(i + 1) * each));
                        }
                        drop(out);
                        let sum = consume(through).await;
                        let n = each * PRODUCERS;
                        Outcome::since(clock, n, is_sum(sum, n))
                    })
                }
            }
        };
    }

    one_consumer_over!(mpsc);
    one_consumer_over!(async_channel);
    one_consumer_over!(flume);
}

// --- chan_mpmc: 4 producers send n values in all, as many consumers add them up ---

mod consumers {
    use super::*;

    const PAIRS: u64 = 4;

    macro_rules! consumers_over {
        ($kind:ident) => {
            pub mod $kind {
                use super::*;
                use crate::kinds::$kind::{bounded, consume, produce};

                pub fn mpmc(runtime: &Runtime, order: &Order) -> Outcome {
                    let (n, capacity) = (order.n, order.capacity);
                    on_worker(runtime, async move {
                        let clock = Instant::now();
                        let (out, through) = bounded(capacity);
                        let mut sums = Vec::new();
                        for i in 0..PAIRS {
                            sums.push(tokio::spawn(consume(through.clone())));
                            tokio::spawn(produce(out.clone(), n * i / PAIRS..n * (i + 1) / PAIRS));
                        }
                        drop(out);
                        let mut sum = 0;
                        for consumer in sums {
                            sum += consumer.await.expect("no task panics");
                        }
                        Outcome::since(clock, n, is_sum(sum, n))
                    })
                }
            }
        };
    }

    consumers_over!(async_channel);
    consumers_over!(flume);
}
