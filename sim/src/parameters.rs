//! The parameters of one terminal: what 0x8103 sets, 0x8104 and 0x8106 hear again. Those that name its servers are
//! obeyed at its next connect; the others are kept and told, no more.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use protocol::jt808::Edition;
use protocol::jt808::terminal::Parameter;

use crate::servers::{Address, Servers};

/// How many a terminal keeps: as many as one 0x0104 can say.
const PARAMETERS_MAX: usize = 255;

const HEARTBEAT_S: u32 = 0x0001;
const MAIN_SERVER: u32 = 0x0013;
const BACKUP_SERVER: u32 = 0x0017;
/// TCP port of main and backup server, until 2013.
const SERVER_PORT: u32 = 0x0018;

/// By number.
#[derive(Debug)]
pub(crate) struct Parameters {
    edition: Edition,
    values: BTreeMap<u32, Bytes>,
}

/// Why parameters are not set; none of them is, then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// They name a server that could not be dialled.
    NoServer,
    /// More than a terminal keeps.
    TooMany,
}

impl Parameters {
    pub(crate) fn new(edition: Edition, heartbeat: Duration, servers: &Servers) -> Self {
        let seconds = u32::try_from(heartbeat.as_secs()).unwrap_or(u32::MAX);
        let mut values = BTreeMap::from([(HEARTBEAT_S, dword(seconds))]);
        let (main, backups) = servers.own().split_first().expect("a terminal has a server");
        if edition == Edition::V2019 {
            let backups: Vec<String> = backups.iter().map(Address::to_string).collect();
            values.insert(MAIN_SERVER, main.to_string().into());
            values.insert(BACKUP_SERVER, backups.join(";").into());
        } else {
            let backup = backups.first().map_or("", Address::host);
            values.insert(MAIN_SERVER, main.host().to_owned().into());
            values.insert(BACKUP_SERVER, backup.to_owned().into());
            values.insert(SERVER_PORT, dword(main.port().into()));
        }
        Self { edition, values }
    }

    /// Sets all of them or none. Where a parameter comes twice, the last one counts.
    pub(crate) fn set(&mut self, parameters: Vec<Parameter>, servers: &mut Servers) -> Result<(), NotSet> {
        let names_server =
            parameters.iter().any(|p| [MAIN_SERVER, BACKUP_SERVER, SERVER_PORT].contains(&p.id));
        let mut values = self.values.clone();
        values.extend(parameters.into_iter().map(|Parameter { id, value }| (id, value)));
        if values.len() > PARAMETERS_MAX {
            return Err(NotSet::TooMany);
        }
        if names_server {
            servers.set_own(own_servers(self.edition, &values).ok_or(NotSet::NoServer)?);
        }
        self.values = values;
        Ok(())
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Parameter> {
        let parameter = |(id, value): (&u32, &Bytes)| Parameter { id: *id, value: value.clone() };
        self.values.iter().map(parameter).collect()
    }

    /// Those asked for, as far as it has them.
    pub(crate) fn asked(&self, ids: &[u32]) -> Vec<Parameter> {
        let parameter = |id: &u32| Some(Parameter { id: *id, value: self.values.get(id)?.clone() });
        ids.iter().filter_map(parameter).collect()
    }
}

/// Main server first. 2011 and 2013: one main and one backup host with a common port; 2019: `host:port;host:port` each.
fn own_servers(edition: Edition, values: &BTreeMap<u32, Bytes>) -> Option<Vec<Address>> {
    let text = |id| match values.get(&id) {
        Some(value) => Some(std::str::from_utf8(value).ok()?.trim_end_matches('\0').trim()),
        None => Some(""),
    };
    let (main, backup) = (text(MAIN_SERVER)?, text(BACKUP_SERVER)?);
    if main.is_empty() {
        return None;
    }
    if edition == Edition::V2019 {
        let list = |text: &str| text.split(';').map(str::parse).collect::<Result<Vec<Address>, _>>().ok();
        let backups = if backup.is_empty() { Vec::new() } else { list(backup)? };
        return Some([list(main)?, backups].concat());
    }
    let port = u32::from_be_bytes(values.get(&SERVER_PORT)?[..].try_into().ok()?);
    let server = |host: &str| Address::new(host, u16::try_from(port).ok()?).ok();
    let backups = if backup.is_empty() { Vec::new() } else { vec![server(backup)?] };
    Some([vec![server(main)?], backups].concat())
}

fn dword(value: u32) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(servers: &Servers) -> Vec<String> {
        servers.own().iter().map(Address::to_string).collect()
    }

    fn parameter(id: u32, value: &'static [u8]) -> Parameter {
        Parameter { id, value: Bytes::from_static(value) }
    }

    fn terminal(edition: Edition) -> (Servers, Parameters) {
        let servers = Servers::new(vec!["main:6605".parse().unwrap(), "backup:6605".parse().unwrap()]);
        let parameters = Parameters::new(edition, Duration::from_secs(30), &servers);
        (servers, parameters)
    }

    #[test]
    fn says_what_it_has() {
        let (_, old) = terminal(Edition::V2013);
        assert_eq!(
            old.all(),
            [
                parameter(0x0001, &[0, 0, 0, 30]),
                parameter(0x0013, b"main"),
                parameter(0x0017, b"backup"),
                parameter(0x0018, &[0, 0, 0x19, 0xcd]),
            ]
        );
        let (_, new) = terminal(Edition::V2019);
        assert_eq!(
            new.asked(&[0x0017, 0x0018, 0x0013]),
            [parameter(0x0017, b"backup:6605"), parameter(0x0013, b"main:6605")]
        );
    }

    #[test]
    fn servers_until_2013_are_hosts_with_a_common_port() {
        let (mut servers, mut parameters) = terminal(Edition::V2013);
        let set = vec![parameter(0x0013, b"gw1\0"), parameter(0x0018, &[0, 0, 0x19, 0xd0])];
        assert_eq!(parameters.set(set, &mut servers), Ok(()));
        assert_eq!(own(&servers), ["gw1:6608", "backup:6608"]);
        assert_eq!(parameters.set(vec![parameter(0x0017, b"")], &mut servers), Ok(()));
        assert_eq!(own(&servers), ["gw1:6608"]);
    }

    #[test]
    fn servers_of_2019_are_lists() {
        let (mut servers, mut parameters) = terminal(Edition::V2019);
        let set = vec![parameter(0x0013, b"a:1;b:2"), parameter(0x0017, b"[::1]:3"), parameter(0x0018, b"x")];
        assert_eq!(parameters.set(set, &mut servers), Ok(()));
        assert_eq!(own(&servers), ["a:1", "b:2", "[::1]:3"]);
    }

    #[test]
    fn what_names_no_server_sets_nothing() {
        for (edition, id, value) in [
            (Edition::V2011, 0x0013, &b""[..]),
            (Edition::V2013, 0x0013, b"gw1:6608"),
            (Edition::V2013, 0x0018, &[0, 0, 0, 0]),
            (Edition::V2013, 0x0018, &[0, 1, 0, 0]),
            (Edition::V2013, 0x0018, &[0x19, 0xd0]),
            (Edition::V2019, 0x0013, b"gw1"),
            (Edition::V2019, 0x0013, b"gw1:6608;"),
            (Edition::V2019, 0x0017, &[0xff]),
        ] {
            let (mut servers, mut parameters) = terminal(edition);
            let (before, other) = (parameters.all(), parameter(0x0029, &[0, 0, 0, 9]));
            let set = vec![other, parameter(id, value)];
            assert_eq!(parameters.set(set, &mut servers), Err(NotSet::NoServer), "{id:#06x} {value:?}");
            assert_eq!(
                (parameters.all(), own(&servers)),
                (before, vec!["main:6605".to_owned(), "backup:6605".to_owned()])
            );
        }
    }

    #[test]
    fn keeps_so_many() {
        let (mut servers, mut parameters) = terminal(Edition::V2013);
        let many = |ids: std::ops::Range<u32>| ids.map(|id| parameter(id, b"x")).collect::<Vec<_>>();
        assert_eq!(parameters.set(many(0xf000..0xf000 + 251), &mut servers), Ok(()));
        assert_eq!(parameters.set(many(0xf000..0xf001), &mut servers), Ok(()), "it has that one");
        assert_eq!(parameters.set(many(0xff00..0xff01), &mut servers), Err(NotSet::TooMany));
        assert_eq!(parameters.all().len(), 255);
    }
}
