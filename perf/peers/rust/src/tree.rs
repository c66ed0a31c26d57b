//! Programs that are trees of tasks: skynet over channels, and skynet, fib and queens by fork/join.
//!
//! To fork and join, a parent starts all of its children but the last, awaits that one as a part of itself, and then
//! the others.  No branch is cut off: a leaf is a future like any other.

use crate::harness::{is_sum, on_worker, way, Bench, Order, Outcome, BENCH};
use std::array;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

pub const BENCHES: &[Bench] = &[
    Bench {
        name: "skynet",
        n: 1_111_111,
        ways: &[way("flume0", flume::skynet), way("mpsc1", mpsc::skynet), way("join", skynet_fork_join)],
        ..BENCH
    },
    Bench { name: "skynet_fj", n: 1_111_111, ways: &[way("", skynet_fork_join)], ..BENCH },
    Bench { name: "fib", n: 204_668_309, ways: &[way("", fib)], ..BENCH }, // fib(39)
    Bench { name: "nqueens", n: 14, ways: &[way("", nqueens)], ..BENCH },
];

async fn joined(task: JoinHandle<u64>) -> u64 {
    task.await.expect("no task panics")
}

// --- skynet: each task starts 10 children and adds up what they send; a leaf sends its number ---

const FAN_OUT: u64 = 10;

struct Tree {
    leaves: u64,
    routines: u64,
}

/// The largest tree of at most n tasks: 1, 11, 111 ...
fn largest_tree(n: u64) -> Tree {
    let mut tree = Tree { leaves: 1, routines: 1 };
    while tree.routines + tree.leaves * FAN_OUT <= n {
        tree.leaves *= FAN_OUT;
        tree.routines += tree.leaves;
    }
    tree
}

macro_rules! skynet_over {
    ($kind:ident) => {
        mod $kind {
            use super::*;
            use crate::kinds::$kind::{bounded, Sender, LEAST_CAPACITY};

            async fn add_up(up: Sender<u64>, first: u64, leaves: u64) {
                if leaves == 1 {
                    up.send(first).await;
                    return;
                }
                let (sums, mut children) = bounded(LEAST_CAPACITY);
                let part = leaves / FAN_OUT;
                for i in 0..FAN_OUT {
                    spawn_add_up(sums.clone(), first + i * part, part);
                }
                let mut sum = 0;
                for _ in 0..FAN_OUT {
                    sum += children.recv().await.unwrap_or(0);
                }
                up.send(sum).await;
            }

            /// Not async: what add_up itself starts must not be a part of its type.
            fn spawn_add_up(up: Sender<u64>, first: u64, leaves: u64) {
                tokio::spawn(add_up(up, first, leaves));
            }

            pub fn skynet(runtime: &Runtime, order: &Order) -> Outcome {
                let tree = largest_tree(order.n);
                on_worker(runtime, async move {
                    let clock = Instant::now();
                    let (up, mut top) = bounded(LEAST_CAPACITY);
                    spawn_add_up(up, 0, tree.leaves);
                    let sum = top.recv().await.unwrap_or(0);
                    Outcome::since(clock, tree.routines, is_sum(sum, tree.leaves))
                })
            }
        }
    };
}

skynet_over!(flume);
skynet_over!(mpsc);

// --- skynet_fj: the same tree by fork/join ---

/// A child that is awaited in place.  Boxed: a future cannot hold one of its own type.
type InPlace = Pin<Box<dyn Future<Output = u64> + Send>>;

async fn added_up(first: u64, leaves: u64) -> u64 {
    if leaves == 1 {
        return first;
    }
    let part = leaves / FAN_OUT;
    let others: [_; FAN_OUT as usize - 1] = array::from_fn(|i| spawn_added_up(first + i as u64 * part, part));
    let mut sum = added_up_in_place(first + (FAN_OUT - 1) * part, part).await;
    for other in others {
        sum += joined(other).await;
    }
    sum
}

fn spawn_added_up(first: u64, leaves: u64) -> JoinHandle<u64> {
    tokio::spawn(added_up(first, leaves))
}

fn added_up_in_place(first: u64, leaves: u64) -> InPlace {
    Box::pin(added_up(first, leaves))
}

fn skynet_fork_join(runtime: &Runtime, order: &Order) -> Outcome {
    let tree = largest_tree(order.n);
    on_worker(runtime, async move {
        let clock = Instant::now();
        let sum = added_up(0, tree.leaves).await;
        Outcome::since(clock, tree.routines, is_sum(sum, tree.leaves))
    })
}

// --- fib: the naive recursion, every call a future ---

async fn fib_of(k: u32) -> u64 {
    if k < 2 {
        return k.into();
    }
    let other = spawn_fib_of(k - 1);
    let own = fib_of_in_place(k - 2).await;
    own + joined(other).await
}

fn spawn_fib_of(k: u32) -> JoinHandle<u64> {
    tokio::spawn(fib_of(k))
}

fn fib_of_in_place(k: u32) -> InPlace {
    Box::pin(fib_of(k))
}

struct FibSize {
    k: u32,
    value: u64,
    calls: u64,
}

/// The largest k whose fib(k) takes at most n calls: 2 fib(k + 1) - 1 of them.
fn largest_fib(n: u64) -> FibSize {
    let mut size = FibSize { k: 0, value: 0, calls: 1 };
    let mut next = 1; // fib(k + 1)
    loop {
        let after = size.value + next;
        if 2 * after - 1 > n {
            return size;
        }
        size = FibSize { k: size.k + 1, value: next, calls: 2 * after - 1 };
        next = after;
    }
}

fn fib(runtime: &Runtime, order: &Order) -> Outcome {
    let size = largest_fib(order.n);
    on_worker(runtime, async move {
        let clock = Instant::now();
        let value = fib_of(size.k).await;
        Outcome::since(clock, size.calls, value == size.value)
    })
}

// --- nqueens: all solutions, every placement of a queen a future ---

const SOLUTIONS: [u64; MAX_QUEENS + 1] =
    [1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512];
const MAX_QUEENS: usize = 16;

/// The row of the queen in each column so far.
#[derive(Clone, Copy)]
struct Board([i8; MAX_QUEENS]);

impl Board {
    fn with(mut self, column: usize, row: usize) -> Board {
        self.0[column] = row as i8;
        self
    }

    fn is_safe(&self, column: usize, row: usize) -> bool {
        self.0[..column].iter().enumerate().all(|(c, queen)| {
            let apart = (row as i8 - queen).unsigned_abs() as usize;
            apart != 0 && apart != column - c
        })
    }

    /// The first row from `from` in which a queen in this column is safe.
    fn next_free(&self, column: usize, from: usize, n: usize) -> Option<usize> {
        (from..n).find(|row| self.is_safe(column, *row))
    }
}

/// Counts the solutions that begin with the queens in the first columns.
async fn place(board: Board, column: usize, n: usize) -> u64 {
    if column == n {
        return 1;
    }
    let mut row = match board.next_free(column, 0, n) {
        Some(row) => row,
        None => return 0,
    };
    let mut others = Vec::new();
    while let Some(next) = board.next_free(column, row + 1, n) {
        others.push(spawn_place(board.with(column, row), column + 1, n));
        row = next;
    }
    let mut sum = place_in_place(board.with(column, row), column + 1, n).await;
    for other in others {
        sum += joined(other).await;
    }
    sum
}

fn spawn_place(board: Board, column: usize, n: usize) -> JoinHandle<u64> {
    tokio::spawn(place(board, column, n))
}

fn place_in_place(board: Board, column: usize, n: usize) -> InPlace {
    Box::pin(place(board, column, n))
}

fn nqueens(runtime: &Runtime, order: &Order) -> Outcome {
    let n = order.n.min(MAX_QUEENS as u64) as usize;
    on_worker(runtime, async move {
        let clock = Instant::now();
        let found = place(Board([0; MAX_QUEENS]), 0, n).await;
        let mut outcome = Outcome::since(clock, n as u64, found == SOLUTIONS[n]);
        outcome.more.push(("total_s", outcome.seconds));
        outcome
    })
}
