//! Gateways, links, etcd and the network in trouble.

use std::time::Instant;

use crate::support::machines::{Machine, join_halves, part_halves};
use crate::support::wait_for;
use crate::trial::Trial;
use crate::{Form, WITHIN, last_for, plan, series};

#[test]
fn nothing_acknowledged_is_lost_whatever_is_cut_or_killed() {
    series(&[a_gateway_in_trouble, what_nodes_rely_on_in_trouble]);
}

fn a_gateway_in_trouble() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("a gateway's link silent", |trial| silent(trial, "gw2"));
    trial.fault("a gateway's connections reset", |trial| {
        let begin = Instant::now();
        trial.cluster.node("gw3").process.machine.reset();
        trial.all_back("a gateway's connections reset", begin);
    });
    if trial.form == Form::Full {
        trial.fault("a gateway killed", |trial| {
            let begin = Instant::now();
            trial.cluster.node_mut("gw2").process.kill();
            trial.all_back("a gateway killed", begin);
            trial.cluster.node_mut("gw2").process.restart();
            trial.cluster.node("gw2").ready();
        });
        trial.fault("nothing of a gateway reaches the terminals", |trial| {
            let begin = Instant::now();
            let (gateway, cars) =
                (trial.cluster.node("gw1").process.machine.clone(), trial.cluster.cars.clone());
            gateway.cut_towards(&cars);
            last_for(trial.form.away());
            gateway.mend_towards(&cars);
            trial.all_back("nothing of a gateway reached the terminals", begin);
        });
        trial.fault("nothing of a gateway reaches the database", |trial| {
            let begin = Instant::now();
            let cluster = &trial.cluster;
            let (gateway, database) =
                (cluster.node("gw3").process.machine.clone(), cluster.database.machine.clone());
            gateway.cut_towards(&database);
            last_for(trial.form.away());
            gateway.mend_towards(&database);
            trial.all_back("nothing of a gateway reached the database", begin);
        });
    }
    trial.end("a gateway in trouble");
}

fn what_nodes_rely_on_in_trouble() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("one etcd killed", |trial| {
        let begin = Instant::now();
        trial.cluster.etcds[0].kill();
        trial.all_back("one etcd killed", begin);
        trial.cluster.etcds[0].restart();
    });
    trial.fault("all etcd away", all_etcd_away);
    trial.fault("two halves", |trial| halves(trial, &["login1", "gw1"], 0));
    if trial.form == Form::Full {
        trial.fault("two halves, the leader and two gateways in the smaller one", |trial| {
            let leader = wait_for("a leader", WITHIN, || crate::leader(&trial.cluster));
            halves(trial, &[leader, "gw1", "gw2"], 1);
        });
    }
    trial.end("etcd and the network in trouble");
}

/// All terminals behind proxies that delay, hold up and cut: a mobile network on a bad day.
#[test]
#[ignore = "takes minutes: scripts/cluster-faults"]
fn nothing_acknowledged_is_lost_over_bad_links_either() {
    const BAD: &str = r#"{"set":{"up":{"delay_ms":150,"jitter_ms":50,"stall_permille":5,"stall_ms":1000,"reset_permille":1},
        "down":{"delay_ms":150,"jitter_ms":50,"stall_permille":5,"stall_ms":1000}}}"#;
    let mut plan = plan();
    // the terminals' machine is the second one
    let dial = |port: u16| format!("10.77.0.2:{port}");
    plan.env.extend([
        ("gw1/MOTORCADE__GATEWAY__ADVERTISE", dial(7101)),
        ("gw2/MOTORCADE__GATEWAY__ADVERTISE", dial(7102)),
        ("gw3/MOTORCADE__GATEWAY__ADVERTISE", dial(7103)),
    ]);
    let Some(mut trial) = Trial::start(&plan) else { return };
    let order = BAD.split_whitespace().collect::<String>();
    let cluster = &trial.cluster;
    let behind = [
        ("gw1", 7101, 6608),
        ("gw2", 7102, 6608),
        ("gw3", 7103, 6608),
        ("login1", 7201, 6605),
        ("login2", 7202, 6605),
    ];
    let _proxies = behind.map(|(node, port, to)| cluster.proxy(port, cluster.node(node).at(to), &order));
    trial.servers = [7201, 7202].map(|port| (trial.cluster.cars.address, port).into()).to_vec();
    trial.fault("bad links, a gateway's link silent", |trial| silent(trial, "gw2"));
    trial.fault("bad links, a gateway killed", |trial| {
        let begin = Instant::now();
        trial.cluster.node_mut("gw3").process.kill();
        trial.all_back("bad links, a gateway killed", begin);
        trial.cluster.node_mut("gw3").process.restart();
        trial.cluster.node("gw3").ready();
    });
    trial.end("over bad links");
}

/// Until all terminals are at the others, and then until it is mended.
fn silent(trial: &mut Trial, gateway: &str) {
    let machine = trial.cluster.node(gateway).process.machine.clone();
    let begin = Instant::now();
    machine.cut();
    trial.all_back("a gateway's link silent", begin);
    let begin = Instant::now();
    machine.mend();
    wait_for("the gateway to be a member again", WITHIN, || trial.cluster.is_whole());
    trial.all_back("a gateway's link mended", begin);
}

/// Calls go on meanwhile.
fn all_etcd_away(trial: &mut Trial) {
    trial.cluster.etcds.iter_mut().for_each(|etcd| etcd.kill());
    let begin = Instant::now();
    wait_for("the nodes to notice", WITHIN, || {
        (trial.cluster.metric("gw1", "motorcade_cluster_etcd_away") == Some(1)).then_some(())
    });
    trial.all_answer("all etcd away", begin);
    last_for(trial.form.away().saturating_sub(begin.elapsed()));
    trial.cluster.etcds.iter_mut().for_each(|etcd| etcd.restart());
    let begin = Instant::now();
    wait_for("everybody to be a member again", WITHIN, || trial.cluster.is_whole());
    trial.all_back("all etcd back", begin);
}

/// These nodes and one etcd on one side, all others and the database on the other; the terminals see both.
fn halves(trial: &mut Trial, nodes: &[&str], etcd: usize) {
    let cluster = &trial.cluster;
    let mut smaller: Vec<Machine> =
        nodes.iter().map(|name| cluster.node(name).process.machine.clone()).collect();
    let mut larger: Vec<Machine> = Vec::new();
    for (number, process) in cluster.etcds.iter().enumerate() {
        if number == etcd { &mut smaller } else { &mut larger }.push(process.machine.clone());
    }
    let others = cluster.nodes.iter().filter(|node| !nodes.contains(&node.name));
    larger.extend(others.map(|node| node.process.machine.clone()));
    larger.push(cluster.database.machine.clone());

    let begin = Instant::now();
    part_halves(&smaller, &larger);
    let others = || ["login1", "login2"].into_iter().filter(|login| !nodes.contains(login));
    wait_for("the larger half to have a leader", WITHIN, || {
        others().find(|login| crate::leads(&trial.cluster, login))
    });
    println!("the larger half is led after {:.1} s", begin.elapsed().as_secs_f64());
    last_for(trial.form.away().saturating_sub(begin.elapsed()));
    println!("at the end each gateway has {:?}", trial.cluster.spread());
    let begin = Instant::now();
    join_halves(&smaller, &larger);
    wait_for("everybody to be a member again", WITHIN, || trial.cluster.is_whole());
    trial.all_back("two halves joined", begin);
}

#[test]
fn a_gateway_killed_while_the_database_is_away_loses_nothing() {
    let Some(mut trial) = Trial::start(&plan()) else { return };
    trial.fault("a gateway and its disk lost while the database is away", |trial| {
        let begin = Instant::now();
        trial.cluster.database.machine.cut();
        wait_for("something to be spooled at every gateway", WITHIN, || {
            let spooled = |gateway| trial.cluster.metric(gateway, "motorcade_gateway_reports_spooled_total");
            ["gw1", "gw2", "gw3"]
                .into_iter()
                .all(|gateway| spooled(gateway).is_some_and(|count| count > 20))
                .then_some(())
        });
        // its disk is gone with it
        trial.cluster.node_mut("gw2").process.kill();
        std::fs::remove_dir_all(trial.cluster.folder().join("gw2")).expect("its data was there");
        trial.cluster.database.machine.mend();
        trial.all_back("a gateway and its disk lost while the database is away", begin);
        // its copy is stored by its peer once it is believed not to come back; a life without the spool changes nothing
        wait_for("the copy to be stored", WITHIN, || {
            let kept = |gateway| trial.cluster.metric(gateway, "motorcade_gateway_copies_bytes");
            ["gw1", "gw3"].into_iter().all(|gateway| kept(gateway) == Some(0)).then_some(())
        });
        trial.cluster.node_mut("gw2").process.restart();
        trial.cluster.node("gw2").ready();
    });
    trial.end("the database away");
}
