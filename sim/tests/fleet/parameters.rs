//! 0x8103, 0x8104 and 0x8106, and the reset (0x8105 command 4) after which a terminal dials the servers that were set.

use protocol::jt808::server::{Answer, Downlink};
use sim::{Fleet, Redirects, Settings};

use crate::platform::Platform;

fn set(parameters: &[(u32, &[u8])]) -> Downlink {
    let mut body = vec![u8::try_from(parameters.len()).unwrap()];
    for (id, value) in parameters {
        body.extend(id.to_be_bytes());
        body.push(u8::try_from(value.len()).unwrap());
        body.extend(*value);
    }
    Downlink { id: 0x8103, body: body.into() }
}

/// The parameters in an answer, without its serial number.
fn told(answer: Answer) -> Vec<(u32, Vec<u8>)> {
    let Answer::Message { id: 0x0104, body } = answer else { panic!("{answer:?}") };
    let (mut parameters, mut at) = (Vec::new(), 3);
    while at < body.len() {
        let id = u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        let end = at + 5 + usize::from(body[at + 4]);
        parameters.push((id, body[at + 5..end].to_vec()));
        at = end;
    }
    assert_eq!(parameters.len(), usize::from(body[2]));
    parameters
}

#[tokio::test]
async fn servers_that_are_set_are_dialled_after_a_reset() {
    for edition in [2011, 2013, 2019] {
        let (mut home, other) = (Platform::start(None).await, Platform::start(None).await);
        let fleet = Fleet::start(Settings {
            gateway: home.address.clone(),
            terminals: 1,
            editions: vec![edition],
            interval_ms: 100,
            // A reset is obeyed by those, too.
            redirect_refuse_permille: 1_000,
            ..Settings::default()
        })
        .unwrap();
        let port = u32::from(other.port()).to_be_bytes();
        let command = match edition {
            2019 => set(&[(0x0013, other.address.as_bytes())]),
            _ => set(&[(0x0013, b"127.0.0.1"), (0x0018, &port)]),
        };
        assert_eq!(home.order(command).await, Answer::General(0));
        assert_eq!(home.books.lock().unwrap().links, 1, "not before the next connect");
        let reset = Downlink { id: 0x8105, body: (&[4][..]).into() };
        assert_eq!(home.order(reset).await, Answer::General(0));
        other.until(|books| books.log_ins == 1).await;
        let ledger = fleet.stop().await.unwrap();
        assert_eq!(ledger.summary.redirects, Redirects { resets: 1, ..Redirects::default() });
        assert_eq!(other.books.lock().unwrap().codes, [&b"code"[..]]);
    }
}

#[tokio::test]
async fn what_was_set_is_told() {
    let mut home = Platform::start(None).await;
    let fleet = Fleet::start(Settings {
        gateway: home.address.clone(),
        terminals: 1,
        editions: vec![2013],
        ..Settings::default()
    })
    .unwrap();
    let long = [b'x'; 255];
    let many: Vec<(u32, &[u8])> = (0xf000..0xf010).map(|id| (id, &long[..])).collect();
    assert_eq!(home.order(set(&many)).await, Answer::General(0));
    assert_eq!(home.order(set(&[(0x0013, b"a:b:c")])).await, Answer::General(2));

    let all = Downlink { id: 0x8104, body: Default::default() };
    let all = told(home.order(all).await);
    let port = u32::from(home.port()).to_be_bytes().to_vec();
    assert_eq!(
        all[..4],
        [
            (0x0001, vec![0, 0, 0, 30]),
            (0x0013, b"127.0.0.1".to_vec()),
            (0x0017, Vec::new()),
            (0x0018, port.clone())
        ]
    );
    assert_eq!(all.len(), 20, "4 KiB of them, in packages");
    assert!(all[4..].iter().all(|(_, value)| *value == long));

    let asked = [&[3][..], &[0, 0, 0, 0x18], &[0, 0, 0xf0, 0x05], &[0, 0, 0, 0x99]].concat();
    let asked = Downlink { id: 0x8106, body: asked.into() };
    assert_eq!(told(home.order(asked).await), [(0x0018, port), (0xf005, long.to_vec())]);
    let short = Downlink { id: 0x8106, body: (&[1, 0][..]).into() };
    assert_eq!(home.order(short).await, Answer::General(2));
    fleet.stop().await.unwrap();
}
