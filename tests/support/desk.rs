//! Who sits at the desk of a cluster: people who send commands to terminals over the HTTP API of a node, and whoever
//! looks into the database.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::cluster::Cluster;
use super::{PASSWORD, http};

/// Commands that are under way at a time.
const AT_ONCE: usize = 16;
/// How long a call may take: longer than the platform gives a terminal.
const CALL_WITHIN: Duration = Duration::from_secs(20);

/// The desk.
pub struct Desk {
    runtime: Runtime,
    url: String,
    conninfo: String,
    token: Mutex<Option<String>>,
}

impl Desk {
    /// Before the API of `node`.
    pub fn at(cluster: &Cluster, node: &str) -> Self {
        Self {
            runtime: cluster.desk.runtime(),
            url: format!("http://{}/api/v1", cluster.node(node).at(8080)),
            conninfo: cluster.conninfo(),
            token: Mutex::default(),
        }
    }

    /// Sends each terminal whose SIM is one of these a command, which they refuse as they have no cameras; how many
    /// answered, and what came instead of an answer for the others.
    pub fn command_all(&self, sims: std::ops::Range<u64>) -> (usize, Vec<String>) {
        let (url, token) = (self.url.clone(), self.token.lock().expect("no panic").clone());
        let asked = self.runtime.spawn(async move { command_all(&url, token, sims).await });
        match self.runtime.block_on(asked).expect("no panic") {
            Ok((token, answered, others)) => {
                *self.token.lock().expect("no panic") = Some(token);
                (answered, others)
            }
            Err(error) => {
                *self.token.lock().expect("no panic") = None;
                (0, vec![error])
            }
        }
    }

    /// Opens a transaction with a statement, which has locked what it locks when this returns.
    pub fn hold(&self, statement: &'static str) -> Held {
        let (conninfo, (begun, has_begun)) = (self.conninfo.clone(), channel());
        let (release, released) = channel::<()>();
        self.runtime.spawn_blocking(move || {
            let mut conn = PgConnection::establish(&conninfo).expect("the database answers");
            conn.batch_execute(&format!("BEGIN; {statement}")).expect("it may");
            begun.send(()).expect("somebody waits");
            // Only its end comes.
            let _ = released.recv();
            conn.batch_execute("ROLLBACK").expect("it is open");
        });
        has_begun.recv_timeout(CALL_WITHIN).expect("it begins");
        Held { _release: release }
    }

    /// Looks into the database, or changes it.
    pub fn sql<T: Send + 'static>(&self, look: impl FnOnce(&mut PgConnection) -> T + Send + 'static) -> T {
        let conninfo = self.conninfo.clone();
        let looking = self.runtime.spawn_blocking(move || {
            look(&mut PgConnection::establish(&conninfo).expect("the database answers"))
        });
        self.runtime.block_on(looking).expect("no panic")
    }
}

/// A transaction that is open. Dropping it ends it, without a change.
pub struct Held {
    _release: std::sync::mpsc::Sender<()>,
}

/// The token that was used, how many answered, and what was said for the others.
async fn command_all(
    url: &str,
    token: Option<String>,
    sims: std::ops::Range<u64>,
) -> Result<(String, usize, Vec<String>), String> {
    let client = http();
    let token = match token {
        Some(token) => token,
        None => {
            let who = json!({ "account": "admin", "password": PASSWORD });
            let tokens = json_of(client.post(format!("{url}/auth/login")).json(&who)).await?;
            tokens["access_token"].as_str().ok_or("no token")?.to_owned()
        }
    };
    let (mut vehicles, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("limit", "500".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page = json_of(client.get(format!("{url}/vehicles")).query(&query).bearer_auth(&token)).await?;
        for vehicle in page["items"].as_array().into_iter().flatten() {
            let sim = vehicle["terminals"][0]["sim"].as_str().and_then(|sim| sim.parse().ok());
            if let Some(sim) = sim.filter(|sim| sims.contains(sim)) {
                vehicles.push((vehicle["id"].clone(), sim));
            }
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let answers: Vec<Result<(), String>> = stream::iter(vehicles)
        .map(|(vehicle, sim)| {
            let (client, token) = (&client, &token);
            async move { command(client, url, token, &vehicle).await.map_err(|why| format!("{sim}: {why}")) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    Ok((token, answered, answers.into_iter().filter_map(Result::err).collect()))
}

/// Has a camera opened: 0x9101 goes to the terminal, which answers that it has none.
async fn command(client: &reqwest::Client, url: &str, token: &str, vehicle: &Value) -> Result<(), String> {
    let live = format!("{url}/vehicles/{vehicle}/channels/1/live");
    let live = json_of(client.post(live).bearer_auth(token).json(&json!({}))).await?;
    let flv = live["urls"]["http_flv"].as_str().ok_or("no URL")?;
    let opened = client.get(flv).timeout(CALL_WITHIN).send().await.map_err(|error| error.to_string())?;
    let status = opened.status();
    let said = opened.text().await.map_err(|error| error.to_string())?;
    if status == 502 && said.contains("refused with result 3") {
        Ok(())
    } else {
        Err(format!("{status} {said}"))
    }
}

async fn json_of(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let answer = request.timeout(CALL_WITHIN).send().await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if !status.is_success() {
        return Err(format!("{status} {text}"));
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}
