//! Machines for a test: network namespaces with addresses of their own on one link, which can be cut and mended.
//!
//! Needs root and Linux' `ip`. Knows nothing of what runs on a machine.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// Most machines of a network: its addresses are 10.77.0.1 to 10.77.0.250.
const MACHINES_MAX: u8 = 250;

/// A link that machines hang on. Dropping it removes them and kills what runs on them.
pub struct Network {
    /// Also the name of the namespace that holds the switches.
    name: String,
    machines: u8,
}

/// One machine. Machines of different networks do not see each other, so all networks use the same addresses.
#[derive(Clone, Debug)]
pub struct Machine {
    network: String,
    namespace: String,
    /// The other end of its cable.
    port: String,
    pub address: Ipv4Addr,
}

impl Network {
    /// A link without machines; None, with the reason on standard output, where this process may not make one.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("mc{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        if !nix::unistd::geteuid().is_root() || !try_ip(&["netns", "add", &name]) {
            println!("skipped: network namespaces need root and iproute2");
            return None;
        }
        let network = Self { name, machines: 0 };
        for switch in ["one", "other"] {
            network.fabric(&["link", "add", switch, "type", "bridge"]);
            network.fabric(&["link", "set", switch, "up"]);
        }
        Some(network)
    }

    /// Another machine, on the link.
    pub fn machine(&mut self, name: &str) -> Machine {
        assert!(self.machines < MACHINES_MAX, "no address left");
        self.machines += 1;
        let machine = Machine {
            network: self.name.clone(),
            namespace: format!("{}-{name}", self.name),
            port: format!("port{}", self.machines),
            address: Ipv4Addr::new(10, 77, 0, self.machines),
        };
        ip(&["netns", "add", &machine.namespace]);
        let (port, inside) = (machine.port.as_str(), machine.namespace.as_str());
        self.fabric(&["link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", inside]);
        machine.inside(&["link", "set", "lo", "up"]);
        machine.inside(&["addr", "add", &format!("{}/24", machine.address), "dev", "eth0"]);
        machine.inside(&["link", "set", "eth0", "up"]);
        self.fabric(&["link", "set", port, "master", "one", "up"]);
        machine
    }

    fn fabric(&self, args: &[&str]) {
        ip(&[&["-n", self.name.as_str()], args].concat());
    }
}

impl Machine {
    /// `program`, to be run on this machine. The child is the program itself: signals reach it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// A runtime whose sockets are this machine's.
    pub fn runtime(&self) -> tokio::runtime::Runtime {
        let namespace = self.namespace.clone();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || enter(&namespace))
            .enable_all()
            .build()
            .expect("a runtime starts")
    }

    /// Cuts its link to everybody: nothing comes and nothing goes, and nobody is told.
    pub fn cut(&self) {
        self.cable(&["nomaster"]);
    }

    /// Plugs it in again, with everybody else.
    pub fn mend(&self) {
        self.cable(&["master", "one"]);
    }

    /// Puts it into the other half: it sees only who is there too.
    pub fn part(&self) {
        self.cable(&["master", "other"]);
    }

    /// Nothing that it sends to `other` arrives, and it is not told; what `other` sends still comes.
    pub fn cut_towards(&self, other: &Self) {
        let (address, nobody) = (other.address.to_string(), "02:00:00:00:00:01");
        self.inside(&["neigh", "replace", &address, "lladdr", nobody, "dev", "eth0", "nud", "permanent"]);
    }

    /// Undoes [`cut_towards`](Self::cut_towards).
    pub fn mend_towards(&self, other: &Self) {
        self.inside(&["neigh", "del", &other.address.to_string(), "dev", "eth0"]);
    }

    /// Resets every TCP connection that it has with another machine; both ends hear of it.
    pub fn reset(&self) {
        let done =
            self.command("ss").args(["-K", "-t", "dst", "10.77.0.0/24"]).stdout(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "ss -K");
    }

    fn cable(&self, change: &[&str]) {
        ip(&[&["-n", self.network.as_str(), "link", "set", self.port.as_str()], change].concat());
    }

    fn inside(&self, args: &[&str]) {
        ip(&[&["-n", self.namespace.as_str()], args].concat());
    }
}

/// Cuts each machine of one half from each of the other. Those that are in neither see both.
pub fn part_halves(one: &[Machine], other: &[Machine]) {
    for (one, other) in pairs(one, other) {
        one.cut_towards(other);
        other.cut_towards(one);
    }
}

/// Undoes [`part_halves`].
pub fn join_halves(one: &[Machine], other: &[Machine]) {
    for (one, other) in pairs(one, other) {
        one.mend_towards(other);
        other.mend_towards(one);
    }
}

fn pairs<'a>(one: &'a [Machine], other: &'a [Machine]) -> impl Iterator<Item = (&'a Machine, &'a Machine)> {
    one.iter().flat_map(move |one| other.iter().map(move |other| (one, other)))
}

impl Drop for Network {
    fn drop(&mut self) {
        let listed =
            Command::new("ip").args(["netns", "list"]).output().map(|out| out.stdout).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let ours = listed.lines().filter_map(|line| line.split(' ').next());
        for namespace in
            ours.filter(|name| *name == self.name || name.starts_with(&format!("{}-", self.name)))
        {
            let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
            for pid in String::from_utf8_lossy(&pids.map(|out| out.stdout).unwrap_or_default()).lines() {
                // threads of this process may be in there; the namespace goes with the last of them
                if pid.parse().is_ok_and(|pid: u32| pid != std::process::id()) {
                    let _ = Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status();
                }
            }
            let _ = try_ip(&["netns", "del", namespace]);
        }
    }
}

/// Moves the calling thread to a machine.
fn enter(namespace: &str) {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).expect("the machine is there");
    setns(file, CloneFlags::CLONE_NEWNET).expect("root may go there");
}

fn ip(args: &[&str]) {
    assert!(try_ip(args), "ip {}", args.join(" "));
}

fn try_ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stderr(Stdio::inherit()).status().is_ok_and(|status| status.success())
}
