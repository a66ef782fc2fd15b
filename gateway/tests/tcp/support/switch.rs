//! A switch in the line to PostgreSQL: a Unix socket that passes bytes on, or cuts and refuses.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

pub struct Switch {
    conninfo: String,
    state: Arc<State>,
    _folder: tempfile::TempDir,
}

struct State {
    listen: PathBuf,
    target: PathBuf,
    cut: parking_lot::Mutex<CancellationToken>,
}

impl Switch {
    /// In front of the server of `conninfo` (libpq's key-value form with a socket folder). On.
    pub async fn new(conninfo: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut target = PathBuf::new();
        let mut port = "5432";
        let mut rest = Vec::new();
        for word in conninfo.split_whitespace() {
            match word.split_once('=') {
                Some(("host", host)) => target = PathBuf::from(host.trim_matches('\'')),
                Some(("port", number)) => port = number,
                _ => rest.push(word),
            }
        }
        let name = format!(".s.PGSQL.{port}");
        let conninfo = format!("host={} port={port} {}", folder.path().display(), rest.join(" "));
        let state = State {
            listen: folder.path().join(&name),
            target: target.join(&name),
            cut: parking_lot::Mutex::default(),
        };
        let switch = Self { conninfo, state: Arc::new(state), _folder: folder };
        switch.on();
        switch
    }

    pub fn conninfo(&self) -> &str {
        &self.conninfo
    }

    /// New connections are refused, existing ones are cut.
    pub fn off(&self) {
        let _ = std::fs::remove_file(&self.state.listen);
        self.state.cut.lock().cancel();
    }

    pub fn on(&self) {
        let listener = UnixListener::bind(&self.state.listen).expect("the socket is free");
        let cut = CancellationToken::new();
        *self.state.cut.lock() = cut.clone();
        let target = self.state.target.clone();
        tokio::spawn(async move {
            while let Some(Ok((mut near, _))) = cut.run_until_cancelled(listener.accept()).await {
                let (target, cut) = (target.clone(), cut.clone());
                tokio::spawn(async move {
                    let Ok(mut far) = UnixStream::connect(&target).await else { return };
                    let _ = cut.run_until_cancelled(copy_bidirectional(&mut near, &mut far)).await;
                });
            }
        });
    }
}
