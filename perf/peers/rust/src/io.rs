//! echo: a server on loopback, under the load of another process.  file_reads: many tasks read one file.

use crate::harness::{cpu_seconds, on_worker, way, whole_shares, Bench, Order, Outcome, BENCH};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

pub const BENCHES: &[Bench] = &[
    Bench { name: "echo", n: 500_000, workers: 1, ways: &[way("", echo)], ..BENCH },
    Bench { name: "file_reads", n: 100_000, workers: 2, ways: &[way("", file_reads)], ..BENCH },
];

// --- echo ---

async fn answer(mut peer: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0_u8; 4096];
    loop {
        let n = peer.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        peer.write_all(&buffer[..n]).await?;
    }
}

/// Serves until the process ends.
fn echo(runtime: &Runtime, order: &Order) -> Outcome {
    let listener = on_worker(runtime, TcpListener::bind("127.0.0.1:0")).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    runtime.spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            let _ = peer.set_nodelay(true);
            tokio::spawn(answer(peer));
        }
    });
    load_echo(port, order.n)
}

/// Runs the program that WEFT_ECHO_LOAD names; perf/echo_load_main.cpp says what it prints.
fn load_echo(port: u16, requests: u64) -> Outcome {
    let program = std::env::var("WEFT_ECHO_LOAD").expect("WEFT_ECHO_LOAD, the path of weft-echo-load");
    let before = cpu_seconds();
    let said = Command::new(program).arg(port.to_string()).arg(requests.to_string()).output().expect("its output");
    let cpu = cpu_seconds() - before;
    let text = String::from_utf8_lossy(&said.stdout);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures[..] {
        [seconds, p50, p99, p999] if said.status.success() => Outcome {
            n: requests,
            seconds,
            is_right: true,
            more: vec![
                ("req_per_s", requests as f64 / seconds),
                ("p50_us", p50),
                ("p99_us", p99),
                ("p999_us", p999),
                ("cpu_s", cpu),
            ],
        },
        _ => Outcome { n: requests, seconds: 1.0, is_right: false, more: Vec::new() },
    }
}

// --- file_reads ---

const BLOCK: usize = 4096;
const BLOCKS: u64 = (256 << 20) / BLOCK as u64;
const READERS: u64 = 1_000;

/// In the page cache, of blocks that each begin with their number; has no name any more.
fn numbered_blocks() -> std::io::Result<File> {
    let folder = std::env::var("TMPDIR").unwrap_or_else(|_| "/var/tmp".to_string());
    let name = format!("{folder}/peer-rust-{}", std::process::id());
    let file = File::options().read(true).write(true).create_new(true).open(&name)?;
    std::fs::remove_file(&name)?;
    const AT_ONCE: u64 = 256;
    let mut piece = vec![0; AT_ONCE as usize * BLOCK];
    for i in (0..BLOCKS).step_by(AT_ONCE as usize) {
        for (each, block) in piece.chunks_exact_mut(BLOCK).enumerate() {
            block[..8].copy_from_slice(&(i + each as u64).to_le_bytes());
        }
        file.write_all_at(&piece, i * BLOCK as u64)?;
    }
    Ok(file)
}

/// As tokio::fs does it: each read is a call on the pool for such calls.
async fn read_some_blocks(file: Arc<File>, mut seed: u64, count: u64) -> u64 {
    let mut right = 0;
    let mut buffer = vec![0; BLOCK];
    for _ in 0..count {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let number = (seed >> 33) % BLOCKS;
        let from = file.clone();
        buffer = spawn_blocking(move || {
            from.read_exact_at(&mut buffer, number * BLOCK as u64).expect("a block");
            buffer
        })
        .await
        .expect("no call panics");
        right += u64::from(buffer[..8] == number.to_le_bytes());
    }
    right
}

fn file_reads(runtime: &Runtime, order: &Order) -> Outcome {
    let file = Arc::new(numbered_blocks().expect("a file"));
    let (each, tasks) = (whole_shares(order.n, READERS), order.n.min(READERS));
    on_worker(runtime, async move {
        let clock = Instant::now();
        let all: Vec<_> = (0..tasks).map(|i| tokio::spawn(read_some_blocks(file.clone(), i, each))).collect();
        let mut right = 0;
        for task in all {
            right += task.await.expect("no task panics");
        }
        Outcome::since(clock, tasks * each, right == tasks * each)
    })
}
