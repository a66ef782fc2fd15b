//! Nodes restarted one by one, as for an upgrade.

use std::time::Instant;

use crate::trial::Trial;
use crate::{Form, plan};

#[test]
fn nodes_restarted_one_by_one_lose_nothing() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("each node ended and started again", |trial| {
        one_by_one(trial, "ended", |trial, node| trial.cluster.node_mut(node).process.stop());
    });
    if trial.form == Form::Full {
        trial.fault("each node killed and started again", |trial| {
            one_by_one(trial, "killed", |trial, node| trial.cluster.node_mut(node).process.kill());
        });
    }
    trial.end("nodes restarted one by one");
}

fn one_by_one(trial: &mut Trial, how: &str, end: impl Fn(&mut Trial, &str)) {
    let begin = Instant::now();
    let nodes: Vec<_> = trial.cluster.nodes.iter().map(|node| node.name).collect();
    for node in nodes {
        end(trial, node);
        trial.cluster.node_mut(node).process.restart();
        trial.cluster.node(node).ready();
        println!("{:>5.1} s: {node} {how} and ready again", begin.elapsed().as_secs_f64());
    }
    trial.all_back(&format!("each node {how} and started again"), begin);
}
