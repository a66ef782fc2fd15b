//! A link to the database that loses the reply to a commit: what becomes of the change, its caller cannot know.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::TestFolder;

/// What the change says to the server whose commit is the one.
type Change = Arc<Mutex<Option<&'static str>>>;

/// A way to a server with a socket in a folder.
pub struct Link {
    conninfo: String,
    change: Change,
    _folder: TestFolder,
}

impl Link {
    /// To the server of `conninfo`, in libpq's key-value form.
    ///
    /// # Panics
    /// Where the machine's folder for temporary files takes no socket.
    pub fn new(conninfo: &str) -> Self {
        let folder = TestFolder::new();
        let (mut socket, mut port, mut rest) = (PathBuf::new(), "5432", Vec::new());
        for word in conninfo.split_whitespace() {
            match word.split_once('=') {
                Some(("host", host)) => socket = PathBuf::from(host.trim_matches('\'')),
                Some(("port", number)) => port = number,
                _ => rest.push(word),
            }
        }
        let name = format!(".s.PGSQL.{port}");
        let conninfo = format!("host={} port={port} {}", folder.path().display(), rest.join(" "));
        let listener = UnixListener::bind(folder.path().join(&name)).expect("a socket");
        let (server, change) = (socket.join(name), Change::default());
        let wanted = Arc::clone(&change);
        // Ends with the process, as its connections do.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                carry(client, &server, &wanted);
            }
        });
        Self { conninfo, change, _folder: folder }
    }

    /// How to connect over it.
    pub fn conninfo(&self) -> &str {
        &self.conninfo
    }

    /// The next change in which `statement` stands is committed, and the reply to that lost with the connection.
    ///
    /// # Panics
    /// Where one of its threads has panicked.
    pub fn lose_commit_of(&self, statement: &'static str) {
        *self.change.lock().expect("no panic") = Some(statement);
    }
}

fn carry(mut client: UnixStream, server: &Path, change: &Change) {
    let Ok(mut server) = UnixStream::connect(server) else { return };
    let mut to_server = server.try_clone().expect("a descriptor");
    let mut to_client = client.try_clone().expect("a descriptor");
    let is_lost = Arc::new(AtomicBool::new(false));
    let (change, lost) = (Arc::clone(change), Arc::clone(&is_lost));
    std::thread::spawn(move || {
        let mut is_meant = false;
        pump(&mut client, &mut to_server, |bytes| {
            let says = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            is_meant |= change.lock().expect("no panic").take_if(|statement| says(statement)).is_some();
            if is_meant && says("COMMIT") {
                lost.store(true, Ordering::SeqCst);
            }
            true
        });
    });
    // The server replies when the change is on its disk.
    std::thread::spawn(move || pump(&mut server, &mut to_client, |_| !is_lost.load(Ordering::SeqCst)));
}

/// Until either side ends, or `passes` refuses.
fn pump(from: &mut UnixStream, to: &mut UnixStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..read];
        if !passes(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    // They may have ended already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
