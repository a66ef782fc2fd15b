//! The configuration: one TOML file, every key also as `MOTORCADE__SECTION__KEY`.
//!
//! Turns text into the settings of each role; knows nothing of what the roles do with them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cluster::etcd::EtcdSettings;
use cluster::{Advertise, Listener, NodeId};
use serde::Deserialize;
use toml::{Table, Value};

/// What the environment variables begin with.
const PREFIX: &str = "MOTORCADE__";

/// The whole configuration. Every key has a default; an unknown one is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where positions, accounts and all that people own is kept.
    pub(crate) database: Database,
    /// API, console, documentation, CMSV6 actions.
    pub(crate) web: Web,
    /// Terminals and clients that ask where to go.
    pub(crate) login: login::Settings,
    /// Terminals' signalling.
    pub(crate) gateway: gateway::Settings,
    /// Viewers.
    pub(crate) media: Media,
    /// Live video from terminals.
    pub(crate) live: Live,
    /// Played-back video from terminals; not built yet.
    pub(crate) playback: Unbuilt,
    /// Talk; not built yet.
    pub(crate) talk: Unbuilt,
    /// Alarm attachments; not built yet.
    pub(crate) attachment: Unbuilt,
    /// RTSP viewers; not built yet.
    pub(crate) rtsp: Unbuilt,
    /// RTMP viewers; not built yet.
    pub(crate) rtmp: Unbuilt,
    /// Numbers for Prometheus, and whether the node lives and can serve.
    pub(crate) metrics: Metrics,
    /// This node among others.
    pub(crate) cluster: Cluster,
    /// What the cluster agrees by; without endpoints this node is alone.
    pub(crate) etcd: EtcdSettings,
    /// TLS on every HTTP listener.
    pub(crate) tls: Tls,
    /// The CMSV6 face.
    pub cmsv6: Cmsv6,
    /// The console's map.
    pub(crate) map: Map,
    /// Logs.
    pub(crate) log: Log,
    /// How terminals come, for a collector.
    pub(crate) trace: crate::trace::Settings,
}

/// `[database]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// libpq connection string or URL; None runs a private PostgreSQL.
    pub(crate) url: Option<String>,
    /// Positions older than this many days are dropped.
    pub(crate) retention_days: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, retention_days: 180 }
    }
}

/// `[media]`: the viewers' listener, and whatever else a media server may be told.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct Media {
    /// Address and port to bind.
    listen: Option<std::net::SocketAddr>,
    /// host:port as viewers must dial it.
    pub(crate) advertise: Option<Advertise>,
    /// The rest.
    pub(crate) settings: media::Settings,
}

impl Media {
    /// Port 6604 unless set.
    pub(crate) fn listener(&self) -> Listener {
        listener(self.listen, self.advertise.as_ref(), 6604)
    }
}

impl TryFrom<Table> for Media {
    type Error = toml::de::Error;

    /// Parts the listener's keys from the others, of which none may be unknown.
    fn try_from(mut table: Table) -> Result<Self, Self::Error> {
        let listen = table.remove("listen").map(Value::try_into).transpose()?;
        let advertise = table.remove("advertise").map(Value::try_into).transpose()?;
        Ok(Self { listen, advertise, settings: Value::Table(table).try_into()? })
    }
}

fn listener(
    listen: Option<std::net::SocketAddr>,
    advertise: Option<&Advertise>,
    default_port: u16,
) -> Listener {
    let mut listener = Listener::on_port(default_port);
    if let Some(listen) = listen {
        listener.listen = listen;
    }
    listener.advertise = advertise.cloned();
    listener
}

/// A listener that is not built yet: its settings are accepted and unused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Unbuilt {}

/// `[web]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Web {
    listen: Option<std::net::SocketAddr>,
    advertise: Option<Advertise>,
    /// Whether `/docs` and `/openapi.json` need no log-in.
    pub(crate) public_docs: Option<bool>,
    /// The console's files; None looks beside the program and in the source tree.
    pub(crate) console_dir: Option<PathBuf>,
    /// Threads that serve HTTP.
    pub(crate) workers: Option<usize>,
}

impl Web {
    /// Port 8080 unless set.
    pub(crate) fn listener(&self) -> Listener {
        listener(self.listen, self.advertise.as_ref(), 8080)
    }
}

/// `[live]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Live {
    listen: Option<std::net::SocketAddr>,
    advertise: Option<Advertise>,
    /// How many ports: as many streams of one channel can run at once.
    pub(crate) ports: u16,
    /// The second of them; the others follow it. The ports after the first's own are other listeners'.
    pub(crate) pool_port: u16,
}

impl Default for Live {
    fn default() -> Self {
        Self { listen: None, advertise: None, ports: 1, pool_port: 6620 }
    }
}

impl Live {
    /// Port 6602 unless set.
    pub(crate) fn listener(&self) -> Listener {
        listener(self.listen, self.advertise.as_ref(), 6602)
    }
}

/// `[metrics]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    listen: Option<std::net::SocketAddr>,
    /// Accepted as every listener's is; nobody is told it.
    #[serde(rename = "advertise")]
    _advertise: Option<Advertise>,
}

impl Metrics {
    /// Port 9090 of the loopback address unless set.
    pub(crate) fn listener(&self) -> Listener {
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 9090));
        Listener { listen: self.listen.unwrap_or(loopback), advertise: None }
    }

    /// Whether somebody chose the address: then it has to be free.
    pub(crate) fn is_set(&self) -> bool {
        self.listen.is_some()
    }
}

/// `[cluster]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cluster {
    /// This node's name, as its certificate has it.
    pub(crate) node: Option<NodeId>,
    /// The folder that `motorcade cluster certs` made for it: certificate, key, authority, shared secrets.
    pub(crate) certs: Option<PathBuf>,
    listen: Option<std::net::SocketAddr>,
    advertise: Option<Advertise>,
}

impl Cluster {
    /// Where other nodes call this one: port 6670 unless set.
    pub(crate) fn listener(&self) -> Listener {
        listener(self.listen, self.advertise.as_ref(), 6670)
    }
}

/// `[tls]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM certificate chain.
    pub(crate) cert: Option<PathBuf>,
    /// PEM private key.
    pub(crate) key: Option<PathBuf>,
}

impl Tls {
    /// Both files, or None where neither is set.
    pub(crate) fn files(&self) -> Result<Option<(&Path, &Path)>> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            _ => bail!("tls.cert and tls.key go together"),
        }
    }
}

/// `[cmsv6]`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cmsv6 {
    /// Minutes east of UTC of the times in its parameters and replies.
    pub(crate) time_offset_min: i32,
}

impl Default for Cmsv6 {
    fn default() -> Self {
        Self { time_offset_min: 480 }
    }
}

/// `[map]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Map {
    /// Raster tiles, `https://…/{z}/{x}/{y}.png`; None keeps the map offline.
    pub(crate) tile_url: Option<String>,
    /// Whose tiles they are, shown on the map.
    pub(crate) attribution: Option<String>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// Text for people, JSON for machines.
    pub(crate) format: LogFormat,
    /// A tracing filter, `info` unless set.
    pub(crate) filter: Option<String>,
}

/// How log lines look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Config {
    /// From `file`, where given, and the environment, which wins.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("read configuration {}", path.display()))?,
            None => String::new(),
        };
        let variables = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX));
        Self::parse(&text, variables)
    }

    fn parse(text: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut table: Table = text.parse().context("parse the configuration file")?;
        let mut variables: Vec<_> = variables.collect();
        variables.sort();
        for (name, value) in variables {
            overlay(&mut table, &name, &value)?;
        }
        Value::Table(table).try_into().context("read the configuration")
    }
}

/// Puts one environment variable where its name says.
fn overlay(table: &mut Table, name: &str, value: &str) -> Result<()> {
    let keys: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let [section, key] = keys.as_slice() else {
        bail!("{name}: environment variables are named {PREFIX}SECTION__KEY");
    };
    let section = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
    let Some(section) = section.as_table_mut() else {
        bail!("{name}: the file gives a single value where a section is needed");
    };
    section.insert(key.clone(), literal(value));
    Ok(())
}

/// A number or a truth value where the text is one, else the text itself.
fn literal(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        Value::Integer(number)
    } else if let Ok(truth) = text.parse::<bool>() {
        Value::Boolean(truth)
    } else {
        Value::String(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let text = "[web]\nlisten = \"127.0.0.1:1\"\npublic_docs = true\n";
        let config = Config::parse(text, env(&[("MOTORCADE__WEB__LISTEN", "127.0.0.1:2")])).expect("parses");
        assert_eq!(config.web.listener().listen.port(), 2);
        assert_eq!(config.web.public_docs, Some(true));
        let config = Config::parse("", env(&[("MOTORCADE__LIVE__PORTS", "3")])).expect("parses");
        assert_eq!((config.live.ports, config.live.pool_port), (3, 6620));
        assert_eq!(config.live.listener().listen.port(), 6602);
    }

    #[test]
    fn a_media_server_s_settings_stand_beside_its_listener() {
        let set = env(&[
            ("MOTORCADE__MEDIA__LISTEN", "127.0.0.1:7"),
            ("MOTORCADE__MEDIA__ADVERTISE", "video.example.org:443"),
            ("MOTORCADE__MEDIA__LINGER_S", "3"),
        ]);
        let media = Config::parse("[media]\nviewers_max = 9\n", set).expect("parses").media;
        assert_eq!((media.listener().listen.port(), media.advertise.map(|to| to.port)), (7, Some(443)));
        assert_eq!((media.settings.linger_s, media.settings.viewers_max), (3, 9));
        assert!(Config::parse("[media]\nlinger = 3\n", env(&[])).is_err());
    }

    #[test]
    fn listeners_not_built_yet_are_accepted_and_unused() {
        let set =
            env(&[("MOTORCADE__LOGIN__LISTEN", "127.0.0.1:0"), ("MOTORCADE__TALK__LISTEN", "127.0.0.1:0")]);
        Config::parse("", set).expect("parses");
    }

    #[test]
    fn traces_are_set_by_file_and_environment() {
        let set =
            env(&[("MOTORCADE__TRACE__OTLP", "http://a:4317"), ("MOTORCADE__TRACE__SAMPLE_PERMILLE", "5")]);
        Config::parse("[trace]\notlp = \"http://b:4317\"\n", set).expect("parses");
        assert!(Config::parse("[trace]\nsample = 1\n", env(&[])).is_err());
    }

    #[test]
    fn metrics_stay_on_loopback_unless_set() {
        let metrics = Config::default().metrics;
        assert!(metrics.listener().listen.ip().is_loopback() && !metrics.is_set());
        let set = env(&[("MOTORCADE__METRICS__LISTEN", "0.0.0.0:9")]);
        let metrics = Config::parse("", set).expect("parses").metrics;
        assert_eq!((metrics.listener().listen.port(), metrics.is_set()), (9, true));
    }

    #[test]
    fn unknown_keys_and_half_a_tls_pair_are_errors() {
        assert!(Config::parse("[web]\nlisen = \"x\"\n", env(&[])).is_err());
        assert!(Config::parse("[wbe]\n", env(&[])).is_err());
        assert!(Config::parse("", env(&[("MOTORCADE__WEB", "x")])).is_err());
        let config = Config::parse("[tls]\ncert = \"a\"\n", env(&[])).expect("parses");
        assert!(config.tls.files().is_err());
    }
}
