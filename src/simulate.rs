//! `motorcade sim`: simulated terminals against any gateway or login server.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::cli::{runtime, start_log};
use crate::config::Log;

/// `motorcade sim`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Sim {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// The servers that each terminal dials (JT/T 808), in order of preference: main first, then backups.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:6608", value_name = "HOST:PORT,…")]
    gateway: Vec<String>,
    /// How many terminals.
    #[arg(long, default_value_t = 20)]
    terminals: u32,
    /// The SIM of the first one; each further one has the next number.
    #[arg(long, default_value_t = 13_800_000_001)]
    first_sim: u64,
    /// The editions that they speak, in turn.
    #[arg(long, value_delimiter = ',', default_value = "2013,2019,2011")]
    editions: Vec<u16>,
    /// Milliseconds between two reports of one terminal.
    #[arg(long, default_value_t = 5_000)]
    interval_ms: u64,
    /// How long to report, seconds [default: until stopped]
    #[arg(long)]
    duration_s: Option<u64>,
    /// How long to wait for the last acknowledgements after that, seconds.
    #[arg(long, default_value_t = 60)]
    drain_s: u64,
    /// Everything that is random follows from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of 1,000 reports, how many go out a second time under their old serial number.
    #[arg(long, default_value_t = 0)]
    resend_same_serial_permille: u32,
    /// Of 1,000 reports, how many go out a second time under a new serial number.
    #[arg(long, default_value_t = 0)]
    resend_new_serial_permille: u32,
    /// Of 1,000 reports, how many go out a second time inside a batch (0x0704).
    #[arg(long, default_value_t = 0)]
    resend_batch_permille: u32,
    /// Of 1,000 reports, how many carry an impossible time.
    #[arg(long, default_value_t = 0)]
    poison_permille: u32,
    /// How long each alarm condition lasts and then stays away, seconds; 0 = no alarms.
    #[arg(long, default_value_t = 0)]
    alarm_period_s: u32,
    /// The first wait for an answer, milliseconds.
    #[arg(long, default_value_t = 5_000)]
    answer_timeout_ms: u64,
    /// How long an attempt to connect may take, milliseconds.
    #[arg(long, default_value_t = 5_000)]
    connect_timeout_ms: u64,
    /// The longest wait between two attempts to connect, milliseconds.
    #[arg(long, default_value_t = 2_000)]
    reconnect_max_ms: u64,
    /// Of 1,000 terminals, how many refuse to be sent to another server (0x8105 command 2).
    #[arg(long, default_value_t = 0)]
    redirect_refuse_permille: u32,
    /// Of 1,000 terminals, how many don't answer it.
    #[arg(long, default_value_t = 0)]
    redirect_ignore_permille: u32,
    /// Of 1,000 terminals, how many go there and don't keep to the time limit.
    #[arg(long, default_value_t = 0)]
    redirect_limit_ignore_permille: u32,
    /// Milliseconds that a minute of a time limit lasts.
    #[arg(long, default_value_t = 60_000)]
    minute_ms: u64,
    /// Cameras of each terminal.
    #[arg(long, default_value_t = 4)]
    channels: u8,
    /// Folder for the clips that the cameras show, made by `ffmpeg` when first wanted [default: no cameras]
    #[arg(long, value_name = "FOLDER")]
    clips: Option<PathBuf>,
    /// File for what was sent, acknowledged and resent, written at the end.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// File for what each terminal's links were and said, a JSON object a line, written as it happens.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// What runs instead of terminals.
#[derive(Debug, Subcommand)]
enum Instead {
    /// Run a proxy that makes the links through it bad.
    Proxy(crate::proxy::Proxy),
}

/// Runs until the duration is over, or SIGTERM or SIGINT; prints what became of the reports.
pub(crate) fn run(sim: Sim) -> Result<()> {
    start_log(&Log::default())?;
    if let Some(Instead::Proxy(proxy)) = sim.instead {
        return crate::proxy::run(&proxy);
    }
    let mut servers = sim.gateway.into_iter();
    let settings = sim::Settings {
        gateway: servers.next().context("--gateway names no server")?,
        backups: servers.collect(),
        terminals: sim.terminals,
        first_sim: sim.first_sim,
        editions: sim.editions,
        interval_ms: sim.interval_ms,
        duration_s: sim.duration_s,
        drain_s: sim.drain_s,
        seed: sim.seed,
        resend_same_serial_permille: sim.resend_same_serial_permille,
        resend_new_serial_permille: sim.resend_new_serial_permille,
        resend_batch_permille: sim.resend_batch_permille,
        poison_permille: sim.poison_permille,
        alarm_period_s: sim.alarm_period_s,
        answer_timeout_ms: sim.answer_timeout_ms,
        connect_timeout_ms: sim.connect_timeout_ms,
        reconnect_max_ms: sim.reconnect_max_ms,
        redirect_refuse_permille: sim.redirect_refuse_permille,
        redirect_ignore_permille: sim.redirect_ignore_permille,
        redirect_limit_ignore_permille: sim.redirect_limit_ignore_permille,
        minute_ms: sim.minute_ms,
        channels: sim.channels,
        clips: sim.clips,
        ledger: sim.ledger,
        log: sim.log,
        ..sim::Settings::default()
    };
    let ledger = runtime()?.block_on(sim::run(settings)).context("simulate terminals")?;
    println!("{}", serde_json::to_string(&ledger.summary)?);
    Ok(())
}
