//! The one binary: every command and, in `serve`, every role.

mod config;
mod database;
mod secrets;

mod backup;
mod bench;
mod cli;
mod cluster;
mod demo;
mod doors;
mod holding;
mod leader;
mod load;
mod machine;
mod member;
mod metrics;
mod migrate;
mod openapi_document;
mod place;
mod proxy;
mod readiness;
mod serve;
mod simulate;
mod trace;
mod user;
mod viewers;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("motorcade: {error:#}");
            ExitCode::FAILURE
        }
    }
}
