//! Many tasks that sleep once - what it costs, and how late they wake - and one timer armed over and over.

use crate::harness::{self, micros, on_worker, percentile, way, Bench, Order, Outcome, BENCH};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

pub const BENCHES: &[Bench] = &[
    Bench { name: "timers", n: 1_000_000, ways: &[way("", timers)], ..BENCH },
    Bench { name: "rearm", n: 10_000_000, ways: &[way("", rearm)], ..BENCH },
];

// --- timers ---

const EARLY: u64 = u64::MAX;

async fn sleep_once(how_long: Duration, lateness: &AtomicU64) {
    let deadline = Instant::now() + how_long;
    sleep_until(deadline.into()).await;
    let late = Instant::now().checked_duration_since(deadline);
    lateness.store(late.map_or(EARLY, |late| late.as_nanos() as u64), Relaxed);
}

/// Random times of 1 to 1000 ms, the same ones in each run.
fn some_times() -> impl Iterator<Item = Duration> {
    let numbers = std::iter::successors(Some(1_u64), |x| Some(x * 48271 % 2147483647));
    numbers.skip(1).map(|x| Duration::from_millis(1 + x % 1000))
}

fn timers(runtime: &Runtime, order: &Order) -> Outcome {
    let late = harness::counters(order.n);
    on_worker(runtime, async move {
        let cpu_before = harness::cpu_seconds();
        let clock = Instant::now();
        let (running, mut none_left) = mpsc::channel::<()>(1);
        for (lateness, how_long) in late.iter().zip(some_times()) {
            let running = running.clone();
            tokio::spawn(async move {
                sleep_once(how_long, lateness).await;
                drop(running);
            });
        }
        drop(running);
        none_left.recv().await;
        let mut outcome = Outcome::since(clock, late.len() as u64, true);
        let cpu = harness::cpu_seconds() - cpu_before;

        outcome.is_right = late.iter().all(|l| l.load(Relaxed) != EARLY);
        let mut late: Vec<_> = late.iter().map(|l| Duration::from_nanos(l.load(Relaxed))).collect();
        late.sort_unstable();
        outcome.more = vec![
            ("total_s", outcome.seconds),
            ("cpu_s", cpu),
            ("late_p50_us", percentile(&late, 50)),
            ("late_p99_us", percentile(&late, 99)),
            ("late_max_us", micros(late[late.len() - 1])),
        ];
        outcome
    })
}

// --- rearm: one timer of an hour that is set to another time n times, and dropped ---

const HOUR: Duration = Duration::from_secs(3600);

fn rearm(runtime: &Runtime, order: &Order) -> Outcome {
    let n = order.n;
    on_worker(runtime, async move {
        let clock = Instant::now();
        let timer = sleep(HOUR);
        tokio::pin!(timer);
        let is_armed = tokio::select! {
            biased;
            _ = &mut timer => false,
            _ = async {} => true, // a timer is armed when it has been polled
        };
        let mut deadline = timer.deadline();
        for i in 0..n {
            deadline = (Instant::now() + HOUR + Duration::from_nanos(i)).into();
            timer.as_mut().reset(deadline);
        }
        let is_right = is_armed && !timer.is_elapsed() && timer.deadline() == deadline;
        Outcome::since(clock, n, is_right)
    })
}
