//! `motorcade sim proxy`: a proxy that makes the links through it bad, told what to do line by line.

use std::io::BufRead;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::cli::runtime;

/// `motorcade sim proxy`
#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// The server behind it.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Where it listens; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Everything that is random follows from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One line of standard input, as JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// `{"set":{"up":{"delay_ms":100},"down":{"silence":"hold"},"refuse":false}}`: from now on this happens to the links,
    /// and nothing else.
    Set(sim::Faults),
    /// `"reset"`: resets every link.
    Reset,
    /// `"stats"`: does nothing.
    Stats,
}

/// Prints `{"proxy":"ADDRESS:PORT"}`, then obeys standard input and answers each line, once it is done, with one of its
/// own: what went through until then, or an error. Runs until it is killed, also when standard input has ended.
pub(crate) fn run(settings: &Proxy) -> Result<()> {
    let runtime = runtime()?;
    let Proxy { to, listen, seed } = settings;
    let proxy = runtime.block_on(sim::Proxy::listen(*listen, to, *seed)).context("start the proxy")?;
    println!("{}", json!({ "proxy": proxy.addr() }));
    for line in std::io::stdin().lock().lines() {
        let line = line.context("read standard input")?;
        match serde_json::from_str(&line) {
            Ok(Order::Set(faults)) => proxy.set(faults),
            Ok(Order::Reset) => proxy.reset_links(),
            Ok(Order::Stats) => {}
            Err(error) => {
                println!("{}", json!({ "error": error.to_string() }));
                continue;
            }
        }
        println!("{}", json!(proxy.stats()));
    }
    runtime.block_on(std::future::pending())
}
