//! A PostgreSQL that an operator keeps, apart from any platform.

use std::path::PathBuf;

use db::private::{PrivateServer, PrivateSettings};
use db::testing::TestFolder;
use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _};

/// An operator's own PostgreSQL, which comes and goes.
pub struct Operators {
    data: PathBuf,
    pub conninfo: String,
    running: Option<PrivateServer>,
    _folder: TestFolder,
}

impl Operators {
    pub async fn new() -> Self {
        let folder = TestFolder::new();
        let data = folder.path().join("db");
        let running = PrivateServer::start(PrivateSettings::new(&data)).await.expect("starts");
        let conninfo = running.conninfo().to_owned();
        Self { data, conninfo, running: Some(running), _folder: folder }
    }

    pub async fn comes(&mut self) {
        let server = PrivateServer::start(PrivateSettings::new(&self.data)).await.expect("starts");
        assert_eq!(server.conninfo(), self.conninfo);
        self.running = Some(server);
    }

    pub async fn goes(&mut self) {
        self.running.take().expect("it runs").stop().await.expect("stops");
    }

    pub fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.conninfo).expect("connects")
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        if let Some(pid) = self.running.as_ref().and_then(PrivateServer::pid) {
            super::signal(pid, "QUIT");
        }
    }
}

/// How many positions the database at `conninfo` has, and how many bodies these have.
pub fn positions(conninfo: &str) -> (i64, i64) {
    #[derive(QueryableByName)]
    struct Counts {
        #[diesel(sql_type = BigInt)]
        rows: i64,
        #[diesel(sql_type = BigInt)]
        bodies: i64,
    }
    let mut conn = PgConnection::establish(conninfo).expect("connects");
    let counts: Counts =
        diesel::sql_query("SELECT count(*) AS rows, count(DISTINCT body) AS bodies FROM position")
            .get_result(&mut conn)
            .expect("counted");
    (counts.rows, counts.bodies)
}
