//! The command line. Each command has a file of its own.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Log, LogFormat};

/// An open, self-hosted platform for vehicle video fleets.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the platform: all roles in one process, unless --roles says which.
    Serve(Serve),
    /// Bring a database's tables up to date.
    Migrate(Place),
    /// Add an account or set its password.
    User(crate::user::User),
    /// Run simulated terminals, or a proxy that makes their links bad.
    Sim(Box<crate::simulate::Sim>),
    /// Print the OpenAPI document of v1.
    Openapi,
    /// Measure this build on this machine.
    Bench(crate::bench::Bench),
    /// Copy the whole platform (database and secrets) into an empty folder, while it runs or not.
    Backup(crate::backup::Backup),
    /// Bring a backup back into an empty data folder.
    Restore(crate::backup::Restore),
    /// Prepare a cluster of several nodes.
    Cluster(crate::cluster::Cluster),
}

/// Where configuration and data are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// Configuration file (TOML). Every key also works as an environment variable MOTORCADE__SECTION__KEY.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the private PostgreSQL, the spool and the secrets
    /// [default: /var/lib/motorcade as root, else motorcade in the XDG data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// `motorcade serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Which roles to run [default: every role that is built]
    #[arg(long, value_delimiter = ',', value_name = "ROLE,…")]
    pub(crate) roles: Vec<Role>,
    /// Add 20 simulated vehicles, which dial the gateway of this process, or else its login server, and show the API's
    /// documents without a log-in.
    #[arg(long)]
    pub(crate) demo: bool,
}

/// What a node may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Sends terminals to gateways, leads the cluster.
    Login,
    /// Terminals' signalling, positions, alarms.
    Gateway,
    /// Video in, video out.
    Media,
    /// HTTP API and console.
    Api,
}

impl Place {
    /// The configuration.
    pub(crate) fn config(&self) -> Result<Config> {
        Config::read(self.config.as_deref())
    }

    /// The data folder; made by whoever needs it.
    pub(crate) fn data_dir(&self) -> Result<PathBuf> {
        let dir = match &self.data {
            Some(dir) => dir.clone(),
            None if nix::unistd::geteuid().is_root() => PathBuf::from("/var/lib/motorcade"),
            None => match std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()) {
                Some(dir) => PathBuf::from(dir).join("motorcade"),
                None => PathBuf::from(std::env::var_os("HOME").context("neither --data nor HOME is set")?)
                    .join(".local/share/motorcade"),
            },
        };
        std::path::absolute(&dir).with_context(|| format!("make {} absolute", dir.display()))
    }
}

impl Cli {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Serve(serve) => crate::serve::run(&serve),
            Command::Migrate(place) => crate::migrate::run(&place),
            Command::User(user) => crate::user::run(user),
            Command::Sim(sim) => crate::simulate::run(*sim),
            Command::Openapi => crate::openapi_document::run(),
            Command::Bench(bench) => crate::bench::run(bench),
            Command::Backup(backup) => crate::backup::backup(&backup),
            Command::Restore(restore) => crate::backup::restore(&restore),
            Command::Cluster(cluster) => crate::cluster::run(cluster),
        }
    }
}

/// Log lines go to standard error; standard output is for what a command answers.
pub(crate) fn start_log(log: &Log) -> Result<()> {
    let filter = match log.filter.as_deref() {
        Some(filter) => EnvFilter::try_new(filter).context("log.filter")?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!("start the log: {error}"))
}

/// The runtime of every command that needs one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}
