//! Terminals that dial login servers end evenly spread over gateways, those that cannot be redirected too.

mod support;

use std::time::Duration;

use support::cluster::{Cluster, Plan};
use support::wait_for;

const WITHIN: Duration = Duration::from_secs(120);

fn plan() -> Plan {
    Plan {
        etcds: 1,
        nodes: vec![
            ("login1", "login"),
            ("login2", "login"),
            ("gw1", "gateway"),
            ("gw2", "gateway"),
            ("gw3", "gateway"),
            ("api1", "api,media"),
        ],
        env: Vec::new(),
    }
}

#[test]
fn a_fleet_is_spread_over_three_gateways() {
    let Some(cluster) = Cluster::start(&plan()) else { return };
    let manners = ["--redirect-refuse-permille", "100", "--redirect-limit-ignore-permille", "100"];
    let _fleet = cluster.fleet(60, &manners);
    let spread = wait_for("all terminals to be at gateways", WITHIN, || {
        let spread = cluster.spread();
        println!("{spread:?}");
        (spread.iter().map(|(_, count)| count).sum::<u64>() == 60).then_some(spread)
    });
    for (gateway, count) in spread {
        assert!((19..=21).contains(&count), "{gateway} has {count} of 60");
    }
}
