//! The server's folder: who owns it, who may use it, where its socket stands.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid, User, chown};
use sha2::{Digest, Sha256};

use super::PrivateError;
use super::binaries::Binaries;
use super::postmaster::as_user;

/// Longest path of a Unix socket, bytes (`sun_path` less its end mark).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Name of the socket's file for the port that we give the server.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// Whom the server runs as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Whether that is somebody else than we are (we are root).
    pub(super) other: bool,
}

/// The server's folder, locked against other motorcades for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    pgdata: PathBuf,
    sockets: PathBuf,
    owner: Owner,
    _lock: Flock<File>,
}

impl Folder {
    /// Whether a data folder holds a server already.
    pub(super) fn holds_server(data: &Path) -> bool {
        data.join("postgres/pgdata").exists()
    }

    /// Opens (and makes, where it is not there) the server's folder below `data`.
    pub(super) fn open(data: &Path) -> Result<Self, PrivateError> {
        let doing = |doing: &str, path: &Path| PrivateError::io(format!("{doing} {}", path.display()));
        fs::create_dir_all(data).map_err(doing("make the folder", data))?;
        let data = data.canonicalize().map_err(doing("find the folder", data))?;
        // beside the folder, not in it: the server's user has no business with it
        let lock_path = data.join("postgres.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(doing("open the lock", &lock_path))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| PrivateError::InUse(data.display().to_string()))?;

        let owner = owner()?;
        if owner.other {
            open_the_way(&data, owner)?;
        }
        let root = data.join("postgres");
        own_folder(&root, owner)?;
        let pgdata = root.join("pgdata");
        check_owner(&pgdata, owner)?;
        let sockets = sockets(&root, owner)?;
        Ok(Self { root, pgdata, sockets, owner, _lock: lock })
    }

    /// PostgreSQL's own data folder.
    pub(super) fn pgdata(&self) -> &Path {
        &self.pgdata
    }

    /// The folder of the socket.
    pub(super) fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// The file that the server writes its messages to.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// Whom the server runs as.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether the data folder was made.
    pub(super) fn is_made(&self) -> bool {
        self.pgdata.join("PG_VERSION").exists()
    }

    /// Makes the data folder, with `role` as its superuser. An interrupted attempt leaves nothing behind
    /// that would pass for a made one.
    pub(super) fn make(&self, binaries: &Binaries, role: &str) -> Result<(), PrivateError> {
        let new = self.root.join("pgdata.new");
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(PrivateError::io(format!("clear {}", new.display()))(error));
            }
            _ => {}
        }
        let mut initdb = Command::new(binaries.program("initdb"));
        initdb
            .arg("-D")
            .arg(&new)
            .arg(format!("--username={role}"))
            // whoever passes the socket's folder (mode 0700) is the server's user or root
            .args(["--auth-local=trust", "--auth-host=reject"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"]);
        let output = as_user(&mut initdb, self.owner)
            .current_dir(&self.root)
            .output()
            .map_err(PrivateError::io("run initdb"))?;
        if !output.status.success() {
            return Err(PrivateError::Program { program: "initdb", output: tail(&output.stderr) });
        }
        fs::rename(&new, &self.pgdata).map_err(PrivateError::io("put the new data folder in place"))?;
        File::open(&self.root)
            .and_then(|folder| folder.sync_all())
            .map_err(PrivateError::io("sync the server's folder"))
    }
}

/// The end of what a program said, enough for an error message.
pub(crate) fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let text = text.trim();
    let start = text.char_indices().rev().nth(500).map_or(0, |(at, _)| at);
    text[start..].to_owned()
}

fn owner() -> Result<Owner, PrivateError> {
    let uid = Uid::effective();
    if !uid.is_root() {
        return Ok(Owner { uid, gid: Gid::effective(), other: false });
    }
    match User::from_name("postgres") {
        Ok(Some(user)) => Ok(Owner { uid: user.uid, gid: user.gid, other: true }),
        _ => Err(PrivateError::NoUser),
    }
}

/// Makes sure that `owner` can pass through every folder down to `data`. `data` itself is ours and is
/// opened to passing through (not to listing); those above are other people's.
fn open_the_way(data: &Path, owner: Owner) -> Result<(), PrivateError> {
    for folder in data.ancestors() {
        let meta = fs::metadata(folder).map_err(PrivateError::io(format!("look at {}", folder.display())))?;
        let passes = match (meta.uid() == owner.uid.as_raw(), meta.gid() == owner.gid.as_raw()) {
            (true, _) => meta.mode() & 0o100,
            (_, true) => meta.mode() & 0o010,
            _ => meta.mode() & 0o001,
        } != 0;
        if passes {
            continue;
        }
        if folder != data {
            return Err(PrivateError::Unreachable(folder.display().to_string()));
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(meta.mode() & 0o7777 | 0o011))
            .map_err(PrivateError::io(format!("open {} to user postgres", folder.display())))?;
    }
    Ok(())
}

/// Makes a folder of the server's user, mode 0700, or checks that it is one.
fn own_folder(folder: &Path, owner: Owner) -> Result<(), PrivateError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => chown(folder, Some(owner.uid), Some(owner.gid))
            .map_err(|errno| PrivateError::io(format!("give away {}", folder.display()))(errno.into())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check_owner(folder, owner)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
                .map_err(PrivateError::io(format!("close {} to others", folder.display())))
        }
        Err(error) => Err(PrivateError::io(format!("make the folder {}", folder.display()))(error)),
    }
}

/// Checks that `folder`, where it is there, is a folder (no link) of the server's user.
fn check_owner(folder: &Path, owner: Owner) -> Result<(), PrivateError> {
    let Ok(meta) = fs::symlink_metadata(folder) else { return Ok(()) };
    if meta.uid() == owner.uid.as_raw() && meta.is_dir() {
        return Ok(());
    }
    Err(PrivateError::WrongOwner {
        folder: folder.display().to_string(),
        owner: meta.uid(),
        expected: owner.uid.as_raw(),
    })
}

/// The socket's folder: `run` beside the data, or, where that path is too long, one in the machine's
/// folder for such things, named after the data's path.
fn sockets(root: &Path, owner: Owner) -> Result<PathBuf, PrivateError> {
    let fits = |folder: &Path| folder.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
    let near = root.join("run");
    let folder = if fits(&near) {
        near
    } else {
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let name = format!("motorcade-{}-{}", owner.uid, hex::encode(&digest[..6]));
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        [if owner.other { Some(PathBuf::from("/run")) } else { runtime }, Some("/tmp".into())]
            .into_iter()
            .flatten()
            .map(|folder| folder.join(&name))
            .find(|folder| fits(folder) && folder.parent().is_some_and(Path::is_dir))
            .ok_or_else(|| PrivateError::PathTooLong(near.join(SOCKET_NAME).display().to_string()))?
    };
    own_folder(&folder, owner)?;
    Ok(folder)
}
