//! A platform reduced to its protocol: it admits everybody, keeps reports in memory, acknowledges them, and now and
//! then loses a link without a word.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use protocol::jt808::server::{
    Answer, Downlink, Event, Outcome, Output, RegisterResult, ReportSource, Session, Settings, Trouble,
};
use protocol::jt808::{Edition, LocationReport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

/// What a report said: its alarm bits and its time.
pub(crate) type Said = (u32, [u8; 6]);

#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By terminal and number: what it said, and how often it came.
    pub(crate) stored: HashMap<(u32, u32), (Said, u32)>,
    pub(crate) backfills: u32,
    pub(crate) log_ins: u32,
    pub(crate) refused_once: bool,
    pub(crate) troubles: Vec<Trouble>,
}

pub(crate) struct Platform {
    pub(crate) address: String,
    pub(crate) books: Arc<Mutex<Books>>,
    /// Commands for the one terminal, and its answers.
    pub(crate) commands: mpsc::UnboundedSender<Downlink>,
    pub(crate) answers: mpsc::UnboundedReceiver<Answer>,
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
        let shared = Arc::clone(&books);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let link = Link {
                    books: Arc::clone(&shared),
                    left: reports_per_link,
                    answers: from_terminal.clone(),
                    session: Session::new(Instant::now(), Settings::default()),
                };
                tokio::spawn(link.serve(stream, Arc::clone(&to_terminal)));
            }
        });
        Self { address, books, commands, answers }
    }
}

struct Link {
    books: Arc<Mutex<Books>>,
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
                        if !self.on_event(event) {
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
                let ok = !refused && &code[..] == b"code";
                books.log_ins += u32::from(ok);
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
            Event::Answer { answer, .. } => self.answers.send(answer).expect("the test listens"),
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
