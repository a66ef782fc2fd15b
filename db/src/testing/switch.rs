//! A switch in the line to the database: it passes bytes on, cuts and refuses, or loses the reply to one commit: what
//! becomes of that change, its caller cannot know.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::TestFolder;

/// In front of a server with a socket in a folder.
pub struct Switch {
    conninfo: String,
    /// Where clients find the socket, and where it is while the switch is off.
    sockets: [PathBuf; 2],
    line: Arc<Line>,
    _folder: TestFolder,
}

/// The way to the server.
struct Line {
    server: PathBuf,
    state: Mutex<State>,
}

struct State {
    is_on: bool,
    connections: Vec<Weak<Connection>>,
    /// What the change says to the server whose commit is the one.
    change: Option<&'static str>,
}

/// A client's connection; closed when both its directions have ended.
struct Connection {
    client: UnixStream,
    server: UnixStream,
    /// The commit whose reply is to be lost is on its way.
    is_lost: AtomicBool,
}

impl Switch {
    /// In front of the server of `conninfo`, in libpq's key-value form. On.
    ///
    /// # Panics
    /// Where the machine's folder for temporary files takes no socket.
    pub fn new(conninfo: &str) -> Self {
        let folder = TestFolder::new();
        let (mut host, mut port, mut rest) = (PathBuf::new(), "5432", Vec::new());
        for word in conninfo.split_whitespace() {
            match word.split_once('=') {
                Some(("host", folder)) => host = PathBuf::from(folder.trim_matches('\'')),
                Some(("port", number)) => port = number,
                _ => rest.push(word),
            }
        }
        let name = format!(".s.PGSQL.{port}");
        let conninfo = format!("host={} port={port} {}", folder.path().display(), rest.join(" "));
        let sockets = [folder.path().join(&name), folder.path().join("off")];
        let listener = UnixListener::bind(&sockets[0]).expect("a socket");
        let state = State { is_on: true, connections: Vec::new(), change: None };
        let line = Arc::new(Line { server: host.join(name), state: Mutex::new(state) });
        let carried = Arc::clone(&line);
        // Ends with the process, as its connections do.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                carried.carry(client);
            }
        });
        Self { conninfo, sockets, line, _folder: folder }
    }

    /// How to connect through it.
    pub fn conninfo(&self) -> &str {
        &self.conninfo
    }

    /// Cuts the connections there are, and refuses new ones.
    ///
    /// # Panics
    /// Where one of its threads has panicked.
    pub fn off(&self) {
        let mut state = self.line.state();
        if state.is_on {
            let [on, off] = &self.sockets;
            std::fs::rename(on, off).expect("the socket is there");
            state.is_on = false;
        }
        for connection in state.connections.drain(..).filter_map(|connection| connection.upgrade()) {
            connection.cut();
        }
    }

    /// Takes connections again.
    ///
    /// # Panics
    /// Where one of its threads has panicked.
    pub fn on(&self) {
        let mut state = self.line.state();
        if !state.is_on {
            let [on, off] = &self.sockets;
            std::fs::rename(off, on).expect("the socket is there");
            state.is_on = true;
        }
    }

    /// The next change in which `statement` stands is committed, and the reply to that lost with the connection.
    ///
    /// # Panics
    /// Where one of its threads has panicked.
    pub fn lose_commit_of(&self, statement: &'static str) {
        self.line.state().change = Some(statement);
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn carry(self: &Arc<Self>, client: UnixStream) {
        let Ok(server) = UnixStream::connect(&self.server) else { return };
        let connection = Arc::new(Connection { client, server, is_lost: AtomicBool::new(false) });
        let mut state = self.state();
        // It came in before the switch was turned.
        if !state.is_on {
            return;
        }
        state.connections.retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(&connection));
        drop(state);
        let (line, asked) = (Arc::clone(self), Arc::clone(&connection));
        std::thread::spawn(move || {
            let mut is_meant = false;
            asked.pump(&asked.client, &asked.server, |bytes| {
                let says = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
                is_meant |= line.state().change.take_if(|statement| says(statement)).is_some();
                if is_meant && says("COMMIT") {
                    asked.is_lost.store(true, Ordering::SeqCst);
                }
                true
            });
        });
        // The server replies when the change is on its disk.
        std::thread::spawn(move || {
            connection
                .pump(&connection.server, &connection.client, |_| !connection.is_lost.load(Ordering::SeqCst));
        });
    }
}

impl Connection {
    /// Until either side ends, or `passes` refuses.
    fn pump(&self, mut from: &UnixStream, mut to: &UnixStream, mut passes: impl FnMut(&[u8]) -> bool) {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            if !passes(bytes) || to.write_all(bytes).is_err() {
                break;
            }
        }
        self.cut();
    }

    fn cut(&self) {
        // They may have ended already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
