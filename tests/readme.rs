//! The README's first calls work as printed.

mod support;

use std::process::Command;
use std::time::Duration;

use support::{Options, PASSWORD, Platform, wait_for};

/// The shell lines under "First calls".
fn first_calls() -> String {
    let readme = include_str!("../README.md");
    let section = readme.split("\n## First calls\n").nth(1).expect("the README has the section");
    let block = section.split("```sh\n").nth(1).expect("the section has a block");
    block.split("```").next().expect("the block ends").to_owned()
}

#[test]
fn the_first_calls_of_the_readme_work_as_printed() {
    for tool in ["curl", "jq", "ffprobe"] {
        if Command::new(tool).arg("--help").output().is_err() {
            println!("skipped: {tool} is not installed");
            return;
        }
    }
    let platform = Platform::start(Options::default().arg("--demo"));
    let script = format!("set -euo pipefail\n{}", first_calls());
    // Vehicles of the demo come online one by one; the calls are made again until they find one.
    let output = wait_for("the README's calls to succeed", Duration::from_secs(90), || {
        let output = Command::new("bash")
            .arg("-c")
            .arg(&script)
            .env("MOTORCADE", platform.url(""))
            .env("MOTORCADE_ADMIN_PASSWORD", PASSWORD)
            .output()
            .expect("bash runs");
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{said}");
        (output.status.success() && said.contains("latitude")).then_some(said)
    });
    assert!(output.contains("codec_name=h264"), "{output}");
    assert!(output.contains("codec_name=aac"), "{output}");
}
