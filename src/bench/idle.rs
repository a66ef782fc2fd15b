//! How much memory a platform takes that does nothing.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::figure;

/// `motorcade bench idle`
#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// Seconds to let it rest before it is measured.
    #[arg(long, default_value_t = 20)]
    rest_s: u64,
}

/// Starts a platform of its own and prints the resident memory of its processes.
pub(crate) fn run(what: &Idle) -> Result<()> {
    let folder = super::positions::scratch()?;
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    for listener in ["WEB", "LOGIN", "GATEWAY", "MEDIA", "LIVE", "METRICS"] {
        command.env(format!("MOTORCADE__{listener}__LISTEN"), "127.0.0.1:0");
    }
    let mut serve = command
        .args(["serve", "--data"])
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start serve")?;
    let measured = (|| {
        let mut line = String::new();
        BufReader::new(serve.stdout.take().context("its output")?)
            .read_line(&mut line)
            .context("its ready line")?;
        ensure!(line.contains("\"ready\":true"), "serve did not become ready: {line}");
        std::thread::sleep(Duration::from_secs(what.rest_s));
        let own = resident_kib(serve.id())?;
        let postmaster = postmaster(folder.path()).context("find the private PostgreSQL")?;
        let postgres: u64 = family(postmaster).iter().map(|pid| proportional_kib(*pid)).sum();
        Ok::<_, anyhow::Error>((own, postgres))
    })();
    let _ = Command::new("kill").arg(serve.id().to_string()).status();
    let _ = serve.wait();
    let (own, postgres) = measured?;
    figure(
        "resident memory of an idle serve",
        format!("{:.1}", own as f64 / 1024.0),
        "MiB (aim: 143, i.e. 150 MB)",
    );
    figure("its PostgreSQL (proportional share)", format!("{:.1}", postgres as f64 / 1024.0), "MiB");
    Ok(())
}

fn resident_kib(pid: u32) -> Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:").context("read its memory")
}

/// Shared pages are counted in parts, so that the sum over processes is true.
fn proportional_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:").unwrap_or(0)
}

fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The process that the private PostgreSQL wrote into its `postmaster.pid`.
fn postmaster(dir: &Path) -> Option<u32> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name == "postmaster.pid") {
            return std::fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok();
        }
        if path.is_dir()
            && let Some(pid) = postmaster(&path)
        {
            return Some(pid);
        }
    }
    None
}

/// A process and all below it.
fn family(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = field(&format!("/proc/{child}/status"), "PPid:") {
            parents.push((child, parent as u32));
        }
    }
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(child, _)| *child));
        at += 1;
    }
    found
}
