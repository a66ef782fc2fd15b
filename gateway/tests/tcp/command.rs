//! Commands to a terminal: what goes over the wire, and every way in which one ends.

use std::sync::Arc;

use crate::support::{Device, World, wait_for};
use access::terminal::Admission;
use gateway::Gateway;
use model::{
    Channel, Command, Profile, Reply, SendError, ServerAddress, ServersChange, TerminalId, TerminalServers,
    ToldServer, VideoCodec,
};

const SIM: &str = "13900000010";

async fn scene(configure: impl FnOnce(&mut World)) -> (World, Gateway, Device, TerminalId) {
    let mut world = World::new().await.admission(Admission::Known);
    configure(&mut world);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let device = Device::online(gateway.addr(), SIM).await;
    (world, gateway, device, terminal)
}

fn start(host: Option<&str>) -> Command {
    Command::StartLive {
        channel: Channel::new(2).expect("not 0"),
        profile: Profile::Main,
        host: host.map(str::to_owned),
        tcp_port: 6602,
    }
}

async fn answer(device: &mut Device, id: u16, result: u8) -> Vec<u8> {
    let message = device.receive().await.expect("a command");
    assert_eq!(message.id, id, "{message:x?}");
    let mut body = message.serial.to_be_bytes().to_vec();
    body.extend_from_slice(&id.to_be_bytes());
    body.push(result);
    device.send(0x0001, &body).await;
    message.body.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_is_asked_for_and_stopped() {
    let (_world, gateway, mut device, terminal) = scene(|_| ()).await;
    let terminals = gateway.terminals();
    let asked = tokio::spawn({
        let terminals = Arc::clone(&terminals);
        async move { terminals.send(terminal, start(None)).await }
    });
    let body = answer(&mut device, 0x9101, 0).await;
    assert_eq!(
        body, b"\x09127.0.0.1\x19\xca\x00\x00\x02\x00\x00",
        "to the address that the terminal dialled"
    );
    assert_eq!(asked.await.expect("asked"), Ok(Reply::Accepted));

    let asked = tokio::spawn({
        let terminals = Arc::clone(&terminals);
        async move { terminals.send(terminal, start(Some("media.example"))).await }
    });
    let body = answer(&mut device, 0x9101, 3).await;
    assert_eq!(body, b"\x0dmedia.example\x19\xca\x00\x00\x02\x00\x00");
    assert_eq!(asked.await.expect("asked"), Err(SendError::Refused { terminal, result: 3 }));

    let stop = Command::StopLive { channel: Channel::new(2).expect("not 0"), profile: Profile::Main };
    let asked = tokio::spawn(async move { terminals.send(terminal, stop).await });
    assert_eq!(answer(&mut device, 0x9102, 0).await, [2, 0, 0, 0]);
    assert_eq!(asked.await.expect("asked"), Ok(Reply::Accepted));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_asked_for_once_and_say_how_many_channels_there_are() {
    let (world, gateway, mut device, terminal) = scene(|_| ()).await;
    let terminals = gateway.terminals();
    let links = [0, 1].map(|_| {
        let terminals = Arc::clone(&terminals);
        tokio::spawn(async move { terminals.link(terminal).await })
    });
    let asked = device.receive().await.expect("a command");
    assert_eq!((asked.id, asked.body.len()), (0x9003, 0));
    device.send(0x1003, &[6, 1, 0, 1, 0x01, 0x40, 1, 99, 2, 8]).await;
    for link in links {
        let link = link.await.expect("asked").expect("connected");
        assert_eq!((link.sim.as_str(), link.sim_bytes), (SIM, 6));
        let av = link.av.expect("told");
        assert_eq!(av.video_codec, Some(VideoCodec::H265));
        assert_eq!((av.audio_sample_rate_hz, av.audio_frame_bytes, av.video_channels_max), (8_000, 320, 8));
    }
    assert!(terminals.link(terminal).await.expect("connected").av.is_some());
    device.assert_quiet().await;
    wait_for("eight channels", async || (world.read(terminal).await.channels.len() == 8).then_some(())).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_does_not_know_the_question_has_no_attributes() {
    let (_world, gateway, mut device, terminal) = scene(|_| ()).await;
    let terminals = gateway.terminals();
    let link = tokio::spawn(async move { terminals.link(terminal).await });
    answer(&mut device, 0x9003, 3).await;
    assert_eq!(link.await.expect("asked").expect("connected").av, None);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_an_answer_ends_in_time() {
    let (_world, gateway, mut device, terminal) =
        scene(|world| world.settings.command_timeout_ms = 300).await;
    let terminals = gateway.terminals();
    let asked = terminals.send(terminal, start(None)).await;
    assert_eq!(asked, Err(SendError::Timeout(terminal)));
    assert_eq!(device.receive().await.map(|message| message.id), Some(0x9101));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_are_bounded_and_end_with_the_link() {
    let (_world, gateway, mut device, terminal) =
        scene(|world| world.settings.commands_per_terminal_max = 3).await;
    let terminals = gateway.terminals();
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let terminals = Arc::clone(&terminals);
            tokio::spawn(async move { terminals.send(terminal, start(None)).await })
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(device.receive().await.map(|message| message.id), Some(0x9101));
    }
    assert_eq!(terminals.send(terminal, start(None)).await, Err(SendError::Busy(terminal)));
    terminals.disconnect(terminal).await;
    device.assert_closed().await;
    for asked in asked {
        assert_eq!(asked.await.expect("asked"), Err(SendError::Disconnected(terminal)));
    }
    let gone = async || (gateway.stats().terminals == 0).then_some(());
    wait_for("the link to go", gone).await;
    assert_eq!(terminals.send(terminal, start(None)).await, Err(SendError::NotConnected(terminal)));
    assert_eq!(terminals.link(terminal).await, Err(SendError::NotConnected(terminal)));
    gateway.shutdown().await;
}

fn servers(main: &[&str]) -> Command {
    let server = |text: &&str| {
        let (host, port) = text.split_once(':').expect("host:port");
        ServerAddress { host: host.parse().expect("a host"), port: port.parse().expect("a port") }
    };
    let change = ServersChange::new(Some(main.iter().map(server).collect()), None);
    Command::SetServers(change.expect("fits"))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_set_in_the_words_of_the_terminals_edition() {
    let (_world, gateway, mut device, terminal) = scene(|_| ()).await;
    let terminals = gateway.terminals();
    for (result, told) in [(0, Ok(Reply::Accepted)), (2, Err(SendError::Refused { terminal, result: 2 }))] {
        let asked = tokio::spawn({
            let terminals = Arc::clone(&terminals);
            async move { terminals.send(terminal, servers(&["a.b:6605"])).await }
        });
        let body = answer(&mut device, 0x8103, result).await;
        assert_eq!(body, b"\x02\0\0\0\x13\x03a.b\0\0\0\x18\x04\0\0\x19\xcd");
        assert_eq!(asked.await.expect("asked"), told);
    }
    let asked = terminals.send(terminal, servers(&["a:1", "b:2"])).await;
    assert!(matches!(asked, Err(SendError::Unsayable { .. })), "{asked:?}");
    device.assert_quiet().await;
    gateway.shutdown().await;
}

/// JT/T 808-2011 has no 0x8106; and many a terminal counts its parameters wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_does_not_know_the_question_is_asked_for_everything() {
    let (_world, gateway, mut device, terminal) = scene(|_| ()).await;
    let terminals = gateway.terminals();
    for (parameters, told) in [
        (&b"\x09\0\0\0\x01\x04\0\0\0\x1e\0\0\0\x13\x01a\0\0\0\x18\x04\0\0\x19\xcd"[..], Some("a")),
        (b"", None),
    ] {
        let asked = tokio::spawn({
            let terminals = Arc::clone(&terminals);
            async move { terminals.send(terminal, Command::ReadServers).await }
        });
        assert_eq!(answer(&mut device, 0x8106, 3).await, b"\x03\0\0\0\x13\0\0\0\x17\0\0\0\x18");
        let question = device.receive().await.expect("a question");
        assert_eq!((question.id, question.body.len()), (0x8104, 0));
        device.send(0x0104, &[&question.serial.to_be_bytes()[..], parameters].concat()).await;
        let answered = asked.await.expect("asked");
        match told {
            Some(host) => {
                let main = vec![ToldServer { host: host.to_owned(), port: Some(6605) }];
                assert_eq!(answered, Ok(Reply::Servers(TerminalServers { main, backup: Vec::new() })));
            }
            None => assert_eq!(answered, Err(SendError::Unreadable(terminal))),
        }
    }
    gateway.shutdown().await;
}
