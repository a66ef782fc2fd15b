//! A platform reduced to its protocol: it admits everybody, keeps reports in memory, acknowledges them, and now and
//! then loses a link without a word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use protocol::jt808::server::{
    Answer, Downlink, Event, Outcome, Output, RegisterResult, ReportSource, Session, Settings, Trouble,
};
use protocol::jt808::{Edition, LocationReport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a report said: its alarm bits and its time.
pub(crate) type Said = (u32, [u8; 6]);

#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By terminal and number: what it said, and how often it came.
    pub(crate) stored: HashMap<(u32, u32), (Said, u32)>,
    pub(crate) backfills: u32,
    pub(crate) log_ins: u32,
    /// Connections made.
    pub(crate) links: u32,
    /// The codes of the log-ins that succeeded, in order.
    pub(crate) codes: Vec<Bytes>,
    pub(crate) refused_once: bool,
    pub(crate) troubles: Vec<Trouble>,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A code that every platform takes beside its own: given with a command that sends a terminal to it.
pub(crate) const LENT: &[u8] = b"lent";

/// Stops when dropped.
pub(crate) struct Platform {
    pub(crate) address: String,
    pub(crate) books: Arc<Mutex<Books>>,
    /// Commands for the one terminal, and its answers.
    pub(crate) commands: mpsc::UnboundedSender<Downlink>,
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
    changes: watch::Receiver<()>,
    /// Ends the links that are there.
    cut: watch::Sender<()>,
    _stop: DropGuard,
}

impl Platform {
    /// `reports_per_link`: after so many messages of reports a link is cut, the last one unanswered.
    pub(crate) async fn start(reports_per_link: Option<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let books = Arc::new(Mutex::new(Books::default()));
        let (commands, to_terminal) = mpsc::unbounded_channel();
        let (from_terminal, answers) = mpsc::unbounded_channel();
        let to_terminal = Arc::new(tokio::sync::Mutex::new(to_terminal));
        let (changed, changes) = watch::channel(());
        let (stop, cut) = (CancellationToken::new(), watch::Sender::new(()));
        let (shared, cuts) = (Arc::clone(&books), cut.clone());
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().expect("not poisoned").links += 1;
                changed.send_replace(());
                let link = Link {
                    books: Arc::clone(&shared),
                    changed: changed.clone(),
                    left: reports_per_link,
                    answers: from_terminal.clone(),
                    session: Session::new(Instant::now(), Settings::default()),
                };
                let mut cut = cuts.subscribe();
                let to_terminal = Arc::clone(&to_terminal);
                tokio::spawn(async move {
                    tokio::select! {
                        () = link.serve(stream, to_terminal) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
        Self { address, books, commands, answers, changes, cut, _stop: stop.drop_guard() }
    }

    /// Waits until the books say so.
    pub(crate) async fn until(&self, holds: impl Fn(&Books) -> bool) {
        let mut changes = self.changes.clone();
        let arrived = changes.wait_for(|()| holds(&self.books.lock().expect("not poisoned")));
        timeout(PATIENCE, arrived).await.expect("it comes").expect("the platform lives");
    }

    /// The one terminal's answer to a command.
    pub(crate) async fn order(&mut self, command: Downlink) -> Answer {
        self.commands.send(command).expect("the platform lives");
        timeout(PATIENCE, self.answers.recv()).await.expect("it answers").expect("the platform lives")
    }

    /// Ends the links that are there.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit_once(':').expect("host:port").1.parse().expect("a port")
    }
}

struct Link {
    books: Arc<Mutex<Books>>,
    changed: watch::Sender<()>,
    left: Option<u32>,
    answers: mpsc::UnboundedSender<Answer>,
    session: Session,
}

impl Link {
    async fn serve(
        mut self,
        mut stream: TcpStream,
        commands: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Downlink>>>,
    ) {
        let mut input = BytesMut::new();
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Transmit(frame) => {
                        if stream.write_all(&frame).await.is_err() {
                            return;
                        }
                    }
                    Output::Event(event) => {
                        let goes_on = self.on_event(event);
                        self.changed.send_replace(());
                        if !goes_on {
                            return;
                        }
                    }
                    Output::Close(_) => return,
                }
            }
            let is_known = self.session.phone().is_some();
            tokio::select! {
                read = stream.read_buf(&mut input) => {
                    let count = read.unwrap_or(0);
                    if self.session.receive(Instant::now(), &mut input, count).is_err() {
                        return;
                    }
                }
                Some(command) = async { commands.lock().await.recv().await }, if is_known => {
                    self.session.command(Instant::now(), 0, command);
                }
                () = sleep_until(self.session.deadline().into()) => self.session.tick(Instant::now()),
            }
        }
    }

    /// False to cut the link.
    fn on_event(&mut self, event: Event) -> bool {
        let now = Instant::now();
        let mut books = self.books.lock().expect("not poisoned");
        match event {
            Event::Register { to, .. } => {
                self.session.registered(now, to, RegisterResult::Done, Some(b"code"))
            }
            Event::Authenticate { to, code, .. } => {
                // The first code shown again is refused once, so that somebody has to register anew.
                let refused = books.log_ins > 6 && !std::mem::replace(&mut books.refused_once, true);
                let ok = !refused && [&b"code"[..], LENT].contains(&&code[..]);
                books.log_ins += u32::from(ok);
                books.codes.extend(ok.then_some(code));
                self.session.authenticated(now, to, ok);
            }
            Event::Reports { ticket, bodies, source, edition } => {
                books.backfills += u32::from(source == ReportSource::Backfill);
                for body in &bodies {
                    let (number, said) = read(body, edition);
                    let stored = books.stored.entry(number).or_insert((said, 0));
                    assert_eq!(stored.0, said, "a resend says the same");
                    stored.1 += 1;
                }
                if let Some(left) = &mut self.left {
                    *left -= 1;
                    if *left == 0 {
                        return false;
                    }
                }
                self.session.stored(now, ticket, Outcome::Stored);
            }
            Event::Answer { answer, .. } => _ = self.answers.send(answer),
            Event::Trouble(trouble) => books.troubles.push(trouble),
            Event::Unregister | Event::TimeAsked { .. } => {}
        }
        true
    }
}

fn read(body: &Bytes, edition: Edition) -> ((u32, u32), Said) {
    let report = LocationReport::decode(body, edition).expect("a location");
    let item = report.items.iter().find(|item| item.id == sim::SEQUENCE_ITEM).expect("its number");
    let (terminal, sequence) = item.value.split_at(4);
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
    ((number(terminal), number(sequence)), (report.alarm, report.time.0))
}
