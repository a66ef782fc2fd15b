//! The servers that a terminal dials by itself, as parameters on the wire: 0x0013 the main one, 0x0017 its backup, until
//! 2013 with the common port 0x0018.
//!
//! Knows what stands in the messages; who sends them stands in [`command`](crate::command).

use model::{ServerAddress, ServersChange, TerminalServers, ToldServer};
use protocol::jt808::message::{ParametersAnswer, ParametersQuery};
use protocol::jt808::server::Downlink;
use protocol::jt808::{Text, id};
use protocol::jt1078::signalling::{Parameter, SetParameters};

const MAIN_SERVER: u32 = 0x0013;
const BACKUP_SERVER: u32 = 0x0017;
const SERVER_PORT: u32 = 0x0018;

/// Most servers that are read of one parameter: a terminal says what it likes.
const TOLD_MAX: usize = 16;

/// 0x8103 that sets them.
///
/// # Errors
/// What cannot be said to a terminal of this kind, and why. JT/T 808-2019 has lists of `host:port` (`is_2019`); before
/// that there is one main server, one backup, and one port for both.
pub(crate) fn set(change: &ServersChange, is_2019: bool) -> Result<Downlink, &'static str> {
    let ServersChange { main, backup } = change;
    let (main, backup) = (main.as_deref(), backup.as_deref());
    let given = [(MAIN_SERVER, main), (BACKUP_SERVER, backup)];
    let mut values = Vec::new();
    for (id, servers) in given {
        let Some(servers) = servers else { continue };
        let text = match servers {
            _ if is_2019 => ServersChange::text(servers),
            [] => String::new(),
            [server] => server.host.as_str().to_owned(),
            _ => return Err("before JT/T 808-2019 it has one main server and one backup"),
        };
        values.push((id, text.into_bytes()));
    }
    if !is_2019 && let Some(port) = common_port(main, backup)? {
        values.push((SERVER_PORT, u32::from(port).to_be_bytes().to_vec()));
    }
    if values.iter().any(|(_, value)| value.len() > ServersChange::TEXT_BYTES_MAX) {
        return Err("the names are too long together");
    }
    let parameters = values.iter().map(|(id, value)| Parameter { id: *id, value }).collect();
    let mut body = Vec::new();
    SetParameters { parameters }.encode(&mut body);
    Ok(Downlink { id: id::SET_PARAMETERS, body: body.into() })
}

/// The port of all that are given; None where only a backup is taken away.
fn common_port(
    main: Option<&[ServerAddress]>,
    backup: Option<&[ServerAddress]>,
) -> Result<Option<u16>, &'static str> {
    let port = |servers: Option<&[ServerAddress]>| servers?.first().map(|server| server.port.get());
    match (port(main), port(backup)) {
        (Some(main), Some(backup)) if main != backup => {
            Err("before JT/T 808-2019 its main server and its backup have one port")
        }
        // With the port it would move its main server, too.
        (None, Some(_)) => {
            Err("before JT/T 808-2019 a backup is set with the main server: they have one port")
        }
        (main, _) => Ok(main),
    }
}

/// 0x8106 that asks for them; 0x8104, which asks for everything, for a terminal of 2011.
pub(crate) fn ask(for_all: bool) -> Downlink {
    if for_all {
        return Downlink { id: id::QUERY_ALL_PARAMETERS, body: (&[][..]).into() };
    }
    let mut body = Vec::new();
    ParametersQuery { ids: vec![MAIN_SERVER, BACKUP_SERVER, SERVER_PORT] }.encode(&mut body);
    Downlink { id: id::QUERY_PARAMETERS, body: body.into() }
}

/// What 0x0104 says of them. A port that stands beside its host counts, whatever the edition.
pub(crate) fn told(answer: &ParametersAnswer<'_>) -> TerminalServers {
    let port = answer.value(SERVER_PORT).and_then(|value| {
        let number = value
            .iter()
            .try_fold(0u32, |number, byte| number.checked_mul(256).map(|number| number + u32::from(*byte)));
        number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
    });
    let servers = |id| {
        let text = answer.value(id).map(|value| Text(value).to_str().into_owned()).unwrap_or_default();
        let texts = text.split(';').map(str::trim).filter(|text| !text.is_empty()).take(TOLD_MAX);
        texts.map(|text| server(text, port)).collect()
    };
    TerminalServers { main: servers(MAIN_SERVER), backup: servers(BACKUP_SERVER) }
}

fn server(text: &str, common: Option<u16>) -> ToldServer {
    let beside = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match beside {
        Some((host, port)) if !host.is_empty() => ToldServer { host: host.to_owned(), port: Some(port) },
        _ => ToldServer { host: text.to_owned(), port: common },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(texts: &[&str]) -> Option<Vec<ServerAddress>> {
        let server = |text: &&str| {
            let (host, port) = text.split_once(':').expect("host:port");
            ServerAddress { host: host.parse().expect("a host"), port: port.parse().expect("a port") }
        };
        Some(texts.iter().map(server).collect())
    }

    fn body(change: &ServersChange, is_2019: bool) -> Result<String, &'static str> {
        let Downlink { id, body } = set(change, is_2019)?;
        assert_eq!(id, 0x8103);
        Ok(body.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[test]
    fn until_2013_there_is_one_host_each_and_a_common_port() {
        let both = ServersChange { main: servers(&["10.0.0.1:6605"]), backup: servers(&["b.c:6605"]) };
        let main = "000000130831302e302e302e31";
        assert_eq!(body(&both, false), Ok(format!("03{main}0000001703622e630000001804000019cd")));
        let main_only = ServersChange { main: servers(&["10.0.0.1:6605"]), backup: None };
        assert_eq!(body(&main_only, false), Ok(format!("02{main}0000001804000019cd")));
        let none = ServersChange { main: None, backup: Some(vec![]) };
        assert_eq!(body(&none, false), Ok("010000001700".to_owned()));
        for (main, backup) in [
            (servers(&["a:1", "b:1"]), None),
            (servers(&["a:1"]), servers(&["b:2"])),
            (None, servers(&["b:1"])),
        ] {
            assert!(body(&ServersChange { main, backup }, false).is_err());
        }
    }

    #[test]
    fn since_2019_there_are_lists_with_ports() {
        let change = ServersChange { main: servers(&["a:1", "b:2"]), backup: servers(&["c:3"]) };
        assert_eq!(body(&change, true), Ok("020000001307613a313b623a320000001703633a33".to_owned()));
        let backup = ServersChange { main: None, backup: servers(&["c:3"]) };
        assert_eq!(body(&backup, true), Ok("010000001703633a33".to_owned()));
        let long = "a".repeat(63);
        let many = vec![format!("{long}:1"); 4];
        let many = servers(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(body(&ServersChange { main: many, backup: None }, true).is_err());
    }

    #[test]
    fn what_terminals_tell_is_read_in_either_way() {
        let told = |parameters: &[(u32, &[u8])]| {
            let TerminalServers { main, backup } =
                told(&ParametersAnswer { serial: 7, count: 0, parameters: parameters.to_vec(), rest: &[] });
            let text = |server: ToldServer| match server.port {
                Some(port) => format!("{}|{port}", server.host),
                None => server.host,
            };
            [main, backup].map(|servers| servers.into_iter().map(text).collect::<Vec<_>>().join(" "))
        };
        let port = [0, 0, 0x19, 0xcd];
        assert_eq!(told(&[(0x13, b"10.0.0.1\0"), (0x17, b""), (0x18, &port)]), ["10.0.0.1|6605", ""]);
        assert_eq!(told(&[(0x17, b"c"), (0x13, b"a:1; b:2;")]), ["a|1 b|2", "c"]);
        assert_eq!(told(&[(0x13, b"a:x"), (0x18, &[1, 0, 0])]), ["a:x", ""], "no port of TCP");
        assert_eq!(told(&[(0x18, &[0x19, 0xcd]), (0x13, b"a")]), ["a|6605", ""], "a short number");
        assert_eq!(told(&[]), ["", ""]);
        let many = ["a;"; 100].concat();
        assert_eq!(told(&[(0x13, many.as_bytes())])[0].split(' ').count(), TOLD_MAX);
    }
}
