//! A whole cluster for a test: etcd, PostgreSQL and nodes of the real binary, each on a machine of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::machines::{Machine, Network};
use super::{PASSWORD, motorcade, signal, wait_for};

/// How long a process may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Debian's.
const ETCD: &str = "/usr/bin/etcd";
const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// Which nodes there are, and how they are set.
pub struct Plan {
    pub etcds: usize,
    /// Names and roles.
    pub nodes: Vec<(&'static str, &'static str)>,
    /// Variables of every node; `NODE/NAME` is one of that node alone.
    pub env: Vec<(&'static str, String)>,
}

/// A running cluster. Dropping it kills everything.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub etcds: Vec<Process>,
    pub database: Process,
    /// Where simulated terminals run.
    pub cars: Machine,
    /// Where people and their programs are.
    pub desk: Machine,
    folder: tempfile::TempDir,
    network: Network,
}

/// A node, running or not.
pub struct Node {
    pub name: &'static str,
    pub process: Process,
    env: Vec<(String, String)>,
}

/// A program on a machine.
pub struct Process {
    pub machine: Machine,
    /// Everything that it wrote.
    pub log: PathBuf,
    start: Box<dyn Fn() -> Command>,
    child: Child,
    /// How often it was started.
    lives: usize,
}

impl Process {
    fn start(machine: Machine, log: PathBuf, start: impl Fn() -> Command + 'static) -> Self {
        let child = spawn(&start, &log);
        Self { machine, log, start: Box::new(start), child, lives: 1 }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }

    /// Starts it again as it was.
    pub fn restart(&mut self) {
        self.child = spawn(&self.start, &self.log);
        self.lives += 1;
    }

    /// Everything that it wrote, in all its lives.
    pub fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended; None while it runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("it was ours")
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) {
        signal(self.child.id(), "TERM");
        self.child.wait().expect("it was ours");
    }

    /// Whether it came to its end, which must be a good one.
    pub fn has_ended(&mut self) -> Option<()> {
        let status = self.child.try_wait().expect("it was ours")?;
        assert!(status.success(), "{}: {status}", self.log.display());
        Some(())
    }

    /// SIGSTOP: it holds all that it has and does nothing.
    pub fn freeze(&self) {
        signal(self.child.id(), "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal(self.child.id(), "CONT");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- end of {} ---", self.log.display());
            lines[lines.len().saturating_sub(25)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn spawn(start: &dyn Fn() -> Command, log: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(log).expect("the log opens");
    let mut command = start();
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("cloned")).stderr(log);
    command.spawn().expect("it starts")
}

impl Cluster {
    /// Everything started, each node ready and its cluster whole, so that the first terminal finds every gateway and every
    /// node hears of it. None where this cannot run here, with the reason on standard output.
    pub fn start(plan: &Plan) -> Option<Self> {
        if !Path::new(ETCD).exists() {
            println!("skipped: {ETCD} is absent");
            return None;
        }
        let mut network = Network::new()?;
        let folder = tempfile::Builder::new().prefix("mc").tempdir_in("/tmp").expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let (desk, cars) = (network.machine("desk"), network.machine("cars"));
        let database = database(network.machine("db"), folder.path());
        let etcds = etcds(&mut network, plan.etcds, folder.path());

        let certs = folder.path().join("certs");
        let names = plan.nodes.iter().map(|(name, _)| *name);
        let made = motorcade().args(["cluster", "certs", "--dir"]).arg(&certs).args(names).output();
        assert!(made.expect("it runs").status.success(), "certificates are made");

        let endpoints: Vec<String> =
            etcds.iter().map(|etcd| format!("http://{}:2379", etcd.machine.address)).collect();
        let mut nodes = Vec::new();
        for (name, roles) in plan.nodes.iter().copied() {
            let machine = network.machine(name);
            let mut env: Vec<(String, String)> = vec![
                ("MOTORCADE_ADMIN_PASSWORD".to_owned(), PASSWORD.to_owned()),
                ("MOTORCADE__ETCD__ENDPOINTS".to_owned(), endpoints.join(",")),
                ("MOTORCADE__CLUSTER__NODE".to_owned(), name.to_owned()),
                ("MOTORCADE__CLUSTER__CERTS".to_owned(), certs.join(name).display().to_string()),
                ("MOTORCADE__CLUSTER__LISTEN".to_owned(), format!("{}:6670", machine.address)),
                ("MOTORCADE__DATABASE__URL".to_owned(), conninfo(database.machine.address)),
                ("MOTORCADE__GATEWAY__ADMISSION".to_owned(), "open".to_owned()),
                ("MOTORCADE__METRICS__LISTEN".to_owned(), "0.0.0.0:9090".to_owned()),
            ];
            env.extend(plan.env.iter().filter_map(|(variable, value)| {
                let (of, variable) = variable.split_once('/').unwrap_or((name, variable));
                (of == name).then(|| (variable.to_owned(), value.clone()))
            }));
            let data = folder.path().join(name);
            let log = folder.path().join(format!("{name}.log"));
            let at = machine.clone();
            let set = env.clone();
            let process = Process::start(machine, log, move || {
                let mut command = at.command(env!("CARGO_BIN_EXE_motorcade"));
                command.args(["serve", "--roles", roles, "--data"]).arg(&data).envs(set.iter().cloned());
                command
            });
            nodes.push(Node { name, process, env });
        }
        for node in &nodes {
            node.ready();
        }
        let cluster = Self { nodes, etcds, database, cars, desk, folder, network };
        wait_for("all nodes to see each other", READY_WITHIN, || cluster.is_whole());
        Some(cluster)
    }

    /// Whether each node has all nodes as members and in sight, and is told by every gateway what that holds.
    pub fn is_whole(&self) -> Option<()> {
        let is_gateway = |node: &&Node| node.name.starts_with("gw");
        let (all, gateways) = (self.nodes.len(), self.nodes.iter().filter(is_gateway).count());
        let sees_all = |node: &Node| {
            [
                ("motorcade_cluster_members", all),
                ("motorcade_cluster_in_sight", all),
                ("motorcade_cluster_gateways_followed", gateways - usize::from(is_gateway(&node))),
            ]
            .into_iter()
            .all(|(metric, count)| self.metric(node.name, metric) == Some(count as u64))
        };
        self.nodes.iter().all(sees_all).then_some(())
    }

    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("a node of the plan")
    }

    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).expect("a node of the plan")
    }

    /// How libpq reaches the database.
    pub fn conninfo(&self) -> String {
        conninfo(self.database.machine.address)
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One number of a node's metrics, None while it does not answer.
    pub fn metric(&self, node: &str, name: &str) -> Option<u64> {
        let address = self.node(node).process.machine.address;
        let output = self
            .desk
            .command("curl")
            .args(["-sS", "--max-time", "2", &format!("http://{address}:9090/metrics")])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    /// How many terminals each gateway holds; one that does not answer holds none.
    pub fn spread(&self) -> Vec<(&'static str, u64)> {
        let gateways = self.nodes.iter().filter(|node| node.name.starts_with("gw"));
        gateways
            .map(|node| (node.name, self.metric(node.name, "motorcade_gateway_terminals").unwrap_or(0)))
            .collect()
    }

    /// Simulated terminals that dial the login servers.
    pub fn fleet(&self, terminals: u32, args: &[&str]) -> Process {
        let logins = self.nodes.iter().map(|node| node.name).filter(|name| name.starts_with("login"));
        self.fleet_to("sim", &logins.collect::<Vec<_>>(), terminals, args)
    }

    /// Simulated terminals that dial these login servers, the first one first; `name` is that of their log.
    pub fn fleet_to(&self, name: &str, logins: &[&str], terminals: u32, args: &[&str]) -> Process {
        let logins: Vec<SocketAddr> = logins.iter().map(|login| self.node(login).at(6605)).collect();
        self.fleet_at(name, &logins, terminals, args)
    }

    /// Simulated terminals that dial these addresses, the first one first; `name` is that of their log.
    pub fn fleet_at(&self, name: &str, servers: &[SocketAddr], terminals: u32, args: &[&str]) -> Process {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let mut all = vec!["sim".to_owned(), "--gateway".to_owned(), servers.join(",")];
        all.extend(["--terminals".to_owned(), terminals.to_string()]);
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let machine = self.cars.clone();
        Process::start(self.cars.clone(), self.folder.path().join(format!("{name}.log")), move || {
            let mut command = machine.command(env!("CARGO_BIN_EXE_motorcade"));
            command.args(&all);
            command
        })
    }

    /// A proxy beside the terminals, to `to`, that does to its links what `order` says, a line as `sim proxy` reads it.
    pub fn proxy(&self, port: u16, to: SocketAddr, order: &str) -> Process {
        let listen: SocketAddr = (self.cars.address, port).into();
        let orders = self.folder.path().join(format!("proxy{port}.orders"));
        fs::write(&orders, format!("{order}\n")).expect("written");
        let machine = self.cars.clone();
        Process::start(self.cars.clone(), self.folder.path().join(format!("proxy{port}.log")), move || {
            let mut command = machine.command("sh");
            command.args(["-c", "exec \"$0\" sim proxy --to \"$1\" --listen \"$2\" --seed \"$3\" <\"$4\""]);
            command.arg(env!("CARGO_BIN_EXE_motorcade"));
            command.args([to.to_string(), listen.to_string(), port.to_string()]).arg(&orders);
            command
        })
    }
}

impl Node {
    /// Waits until it serves, in the life that it is in.
    pub fn ready(&self) {
        wait_for(&format!("{} to be ready", self.name), READY_WITHIN, || {
            (self.process.words().matches("\"ready\":true").count() >= self.process.lives).then_some(())
        });
    }

    /// `motorcade` with `args`, run beside this node with its configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.process.machine.command(env!("CARGO_BIN_EXE_motorcade"));
        command.args(args).envs(self.env.iter().cloned());
        command
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        (self.process.machine.address, port).into()
    }
}

fn conninfo(address: Ipv4Addr) -> String {
    format!("host={address} user=motorcade dbname=postgres connect_timeout=3")
}

/// PostgreSQL with a cluster of its own, for everybody on the link.
fn database(machine: Machine, folder: &Path) -> Process {
    let data = folder.join("db");
    fs::create_dir(&data).expect("made");
    let as_postgres = ["--reuid=postgres", "--regid=postgres", "--init-groups"];
    let done = |command: &mut Command| {
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    done(Command::new("chown").arg("postgres:postgres").arg(&data));
    done(
        Command::new("setpriv")
            .args(as_postgres)
            .arg(format!("{POSTGRES}/initdb"))
            .args(["--username=motorcade", "--auth=trust", "--locale=C.UTF-8", "--no-sync", "--pgdata"])
            .arg(&data),
    );
    let hba = data.join("pg_hba.conf");
    let text = fs::read_to_string(&hba).expect("initdb wrote it");
    fs::write(&hba, text + "host all all 10.77.0.0/24 trust\n").expect("written");
    let at = machine.clone();
    let process = Process::start(machine, folder.join("db.log"), move || {
        let mut command = at.command("setpriv");
        command.args(as_postgres).arg(format!("{POSTGRES}/postgres")).arg("-D").arg(&data);
        command.args(["-c", "listen_addresses=*", "-c", "max_connections=300", "-c"]);
        command.arg(format!("unix_socket_directories={}", data.display()));
        command
    });
    let log = process.log.clone();
    wait_for("the database", READY_WITHIN, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("ready to accept connections").then_some(())
    });
    process
}

fn etcds(network: &mut Network, count: usize, folder: &Path) -> Vec<Process> {
    let machines: Vec<Machine> =
        (1..=count).map(|number| network.machine(&format!("etcd{number}"))).collect();
    let names: Vec<String> =
        machines.iter().enumerate().map(|(i, at)| format!("e{i}=http://{}:2380", at.address)).collect();
    let names = names.join(",");
    let start = |(number, machine): (usize, &Machine)| {
        let (at, names, data) = (machine.clone(), names.clone(), folder.join(format!("etcd{number}")));
        Process::start(machine.clone(), folder.join(format!("etcd{number}.log")), move || {
            let (client, peer) =
                (format!("http://{}:2379", at.address), format!("http://{}:2380", at.address));
            let mut command = at.command(ETCD);
            command.args([
                "--name",
                &format!("e{number}"),
                "--logger",
                "zap",
                "--log-level",
                "warn",
                "--data-dir",
            ]);
            command.arg(&data).args(["--initial-cluster", &names]);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command
        })
    };
    machines.iter().enumerate().map(start).collect()
}
