//! `motorcade bench`: measures this build on this machine. Each figure comes with its unit, the machine and the
//! commit; what it should be compared with is measured in the same run.

mod decode;
mod idle;
mod positions;

use std::fmt::Display;
use std::process::Command;

use anyhow::Result;
use clap::{Args, Subcommand};

/// `motorcade bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Positions from terminals' sockets to their acknowledgement after the commit, beside plain inserts.
    Positions(positions::Positions),
    /// Decoding of 0x0200: nanoseconds and allocations.
    Decode(decode::Decode),
    /// Resident memory of an idle `serve`, beside its PostgreSQL.
    Idle(idle::Idle),
}

/// Runs one measurement and prints its figures.
pub(crate) fn run(bench: Bench) -> Result<()> {
    println!("machine: {}", machine());
    println!("build: {} {}, {}", env!("CARGO_PKG_VERSION"), commit(), profile());
    match bench.what {
        What::Positions(what) => positions::run(&what),
        What::Decode(what) => decode::run(&what),
        What::Idle(what) => idle::run(&what),
    }
}

/// One line of the result.
fn figure(name: &str, value: impl Display, unit: &str) {
    println!("{name:<44} {value:>12} {unit}");
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} cores of{}", cores, model.trim_start().trim_start_matches(':'))
}

fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "(commit unknown)".to_owned(),
    }
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug build: figures are not worth quoting" } else { "release build" }
}
