//! Tasks that each sleep in a system call on the pool for such calls, beside a ticker.

use crate::harness::{micros, on_worker, percentile, way, Bench, Order, Outcome, BENCH};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

pub const BENCHES: &[Bench] = &[Bench {
    name: "blocking",
    n: 1_000,
    workers: 2,
    ways: &[way("", blocking)],
    ..BENCH
}];

const TICK: Duration = Duration::from_millis(1);

async fn tick(ends: Arc<AtomicBool>) -> Vec<Duration> {
    let mut late = Vec::new();
    while !ends.load(Relaxed) {
        let due = Instant::now() + TICK;
        sleep_until(due.into()).await;
        late.push(Instant::now().saturating_duration_since(due));
    }
    late
}

fn blocking(runtime: &Runtime, order: &Order) -> Outcome {
    let n = order.n;
    on_worker(runtime, async move {
        let ends = Arc::new(AtomicBool::new(false));
        let ticker = tokio::spawn(tick(ends.clone()));
        sleep_until((Instant::now() + 5 * TICK).into()).await;

        let clock = Instant::now();
        let sleep = || std::thread::sleep(Duration::from_millis(10));
        let tasks: Vec<_> = (0..n).map(|_| tokio::spawn(spawn_blocking(sleep))).collect();
        for task in tasks {
            task.await.expect("no task panics").expect("no call panics");
        }
        let mut outcome = Outcome::since(clock, n, true);
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, |all| all.count());
        ends.store(true, Relaxed);
        let mut late = ticker.await.expect("no task panics");

        late.sort_unstable();
        outcome.more = vec![
            ("total_s", outcome.seconds),
            ("threads", threads as f64),
            ("ticks", late.len() as f64),
            ("late_p50_us", percentile(&late, 50)),
            ("late_p99_us", percentile(&late, 99)),
            ("late_max_us", micros(late[late.len() - 1])),
        ];
        outcome
    })
}
