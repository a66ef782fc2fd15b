//! What happened to the nodes of a cluster, as its leader writes it: every write under the leader's epoch, so that what
//! an old leader still writes is refused.
//!
//! Knows not who leads; who calls says under which epoch.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension as _, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{Scope, TerminalId};
use serde::Serialize;
use serde_json::json;

use crate::company::{Key, seen};
use crate::{Db, DbError, Page, Paged, ROOT_COMPANY, audit, text, time};

/// What may happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEventKind {
    /// It is in the cluster.
    Joined,
    /// Its lease lapsed, and it answers nobody.
    Lost,
    /// It said that it ends, and was not there any more.
    Left,
    /// It is to give away what it has.
    Draining,
    /// It has nothing any more.
    Drained,
    /// It may have something again.
    Undrained,
}

impl NodeEventKind {
    const ALL: [Self; 6] =
        [Self::Joined, Self::Lost, Self::Left, Self::Draining, Self::Drained, Self::Undrained];

    /// As it is stored.
    fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Lost => "lost",
            Self::Left => "left",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Undrained => "undrained",
        }
    }

    /// That which is stored as `name`.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether it happens once in a life of a node.
    fn is_once(self) -> bool {
        matches!(self, Self::Joined | Self::Lost | Self::Left)
    }
}

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvent {
    /// Its key, rising.
    pub id: i64,
    /// When the leader wrote it.
    pub at: DateTime<Utc>,
    /// To which node.
    pub node: String,
    /// What.
    pub kind: NodeEventKind,
    /// The leader's epoch.
    pub epoch: i64,
    /// More about it, for people; may be empty.
    pub detail: String,
}

/// A node of which something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLife {
    /// Its name.
    pub node: String,
    /// Which life of its process.
    pub incarnation: u64,
}

/// What an earlier leader wrote of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOnRecord {
    /// The node, in its last life; life 0 where only terminals' sessions name it.
    pub life: NodeLife,
    /// What was last written of its draining; None where that never was.
    pub drain: Option<NodeEventKind>,
}

/// Why a leader's write was not done.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// A later leader wrote already.
    #[error("epoch {given} is over: a leader of epoch {seen} wrote already")]
    OldEpoch {
        /// Under which it was tried.
        given: i64,
        /// The highest one so far.
        seen: i64,
    },
    /// The database did not do it.
    #[error(transparent)]
    Db(#[from] DbError),
}

#[derive(QueryableByName)]
struct NodeEventRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    node: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Text)]
    detail: String,
}

impl NodeEventRow {
    fn into_event(self) -> Option<NodeEvent> {
        let Self { id, at, node, kind, epoch, detail } = self;
        let kind = NodeEventKind::named(&kind)?;
        Some(NodeEvent { id, at, node, kind, epoch, detail })
    }
}

#[derive(QueryableByName)]
struct RecordRow {
    #[diesel(sql_type = Text)]
    node: String,
    #[diesel(sql_type = BigInt)]
    incarnation: i64,
    #[diesel(sql_type = Nullable<Text>)]
    drain: Option<String>,
}

impl RecordRow {
    fn into_record(self) -> NodeOnRecord {
        let Self { node, incarnation, drain } = self;
        let life = NodeLife { node, incarnation: incarnation.cast_unsigned() };
        NodeOnRecord { life, drain: drain.and_then(|drain| NodeEventKind::named(&drain)) }
    }
}

#[derive(QueryableByName)]
struct EpochRow {
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

/// Longest name of a node and longest detail, characters.
const NAME_CHARS_MAX: usize = 255;
const DETAIL_CHARS_MAX: usize = 1_000;

impl Db {
    /// Writes what happened to a node, under the leader's `epoch`. What happens once in a life is written once;
    /// false where it was there already.
    ///
    /// # Errors
    /// [`LeaderError::OldEpoch`] where a later leader wrote already.
    pub async fn node_happened(
        &self,
        epoch: i64,
        life: &NodeLife,
        kind: NodeEventKind,
        detail: &str,
    ) -> Result<bool, LeaderError> {
        let (life, detail) = (life.clone(), text::sent(detail, DETAIL_CHARS_MAX));
        self.as_leader(epoch, move |conn| happened(conn, epoch, &life, kind, &detail)).await
    }

    /// Writes that a node is lost, unless that life of it left, and marks every terminal offline that it held; says
    /// which. A terminal that another node holds by now is not among them.
    ///
    /// # Errors
    /// [`LeaderError::OldEpoch`] where a later leader wrote already.
    pub async fn node_lost(&self, epoch: i64, life: &NodeLife) -> Result<Vec<TerminalId>, LeaderError> {
        let life = life.clone();
        self.as_leader(epoch, move |conn| {
            if !has_left(conn, &life)? {
                happened(conn, epoch, &life, NodeEventKind::Lost, "")?;
            }
            offline(conn, &life)
        })
        .await
    }

    /// Writes that a node left of its own accord. Unless another life of it `is_back`, whose terminals they would be,
    /// marks every terminal offline that it held; says which.
    ///
    /// # Errors
    /// [`LeaderError::OldEpoch`] where a later leader wrote already.
    pub async fn node_left(
        &self,
        epoch: i64,
        life: &NodeLife,
        is_back: bool,
    ) -> Result<Vec<TerminalId>, LeaderError> {
        let life = life.clone();
        self.as_leader(epoch, move |conn| {
            happened(conn, epoch, &life, NodeEventKind::Left, "")?;
            if is_back { Ok(Vec::new()) } else { offline(conn, &life) }
        })
        .await
    }

    /// The nodes that were there when a leader wrote last: who joined and is not over yet in its last life, and whoever
    /// holds terminals, as the terminals' sessions have it. At most `max`, in the order of names.
    ///
    /// # Errors
    /// As any query.
    pub async fn nodes_on_record(&self, max: u32) -> Result<Vec<NodeOnRecord>, DbError> {
        let found: Vec<RecordRow> = self
            .links(move |conn| {
                Ok(sql_query(
                    "WITH latest AS (SELECT DISTINCT ON (node) node, incarnation FROM node_event \
                       WHERE kind = 'joined' ORDER BY node, id DESC), \
                     drains AS (SELECT DISTINCT ON (node) node, kind FROM node_event \
                       WHERE kind IN ('draining', 'drained', 'undrained') ORDER BY node, id DESC), \
                     holders AS (SELECT DISTINCT node FROM terminal WHERE online AND node IS NOT NULL), \
                     found AS (SELECT COALESCE(l.node, h.node) AS node, COALESCE(l.incarnation, 0) AS incarnation \
                       FROM latest l FULL JOIN holders h ON h.node = l.node \
                       WHERE h.node IS NOT NULL OR NOT EXISTS (SELECT FROM node_event o WHERE o.node = l.node \
                         AND o.incarnation = l.incarnation AND o.kind IN ('lost', 'left'))) \
                     SELECT f.node, f.incarnation, d.kind AS drain FROM found f LEFT JOIN drains d ON d.node = f.node \
                     ORDER BY f.node LIMIT $1",
                )
                .bind::<BigInt, _>(i64::from(max))
                .load(conn)?)
            })
            .await?;
        Ok(found.into_iter().map(RecordRow::into_record).collect())
    }

    /// What happened to nodes, the latest first, for those who see the root company; nothing for others.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn node_events(
        &self,
        scope: &Scope,
        node: Option<&str>,
        page: &Page,
    ) -> Result<Paged<NodeEvent>, DbError> {
        if !scope.sees(ROOT_COMPANY) {
            return Ok(Paged { items: Vec::new(), next_cursor: None });
        }
        let (before, id) = match page.numbers::<2>()? {
            Some([micros, id]) => (Some(time::of_cursor(micros)?), id),
            None => (None, 0),
        };
        let (rows, node) = (page.rows(), node.map(|node| text::sent(node, NAME_CHARS_MAX)));
        let found = self
            .read(move |conn| {
                Ok(sql_query(
                    "SELECT id, at, node, kind, epoch, detail FROM node_event \
                     WHERE ($1::timestamptz IS NULL OR (at, id) < ($1, $2)) AND ($3::text IS NULL OR node = $3) \
                     ORDER BY at DESC, id DESC LIMIT $4",
                )
                .bind::<Nullable<Timestamptz>, _>(before)
                .bind::<BigInt, _>(id)
                .bind::<Nullable<Text>, _>(node)
                .bind::<BigInt, _>(rows)
                .load::<NodeEventRow>(conn)?)
            })
            .await?;
        let found = found.into_iter().filter_map(NodeEventRow::into_event).collect();
        Ok(page.cut(found, |event: &NodeEvent| [event.at.timestamp_micros(), event.id]))
    }

    /// Records that a person drained a node, or (`is_draining` false) took that back. The change itself is not one of
    /// this database, so it is recorded after it was made.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where `scope` does not see the root company.
    pub async fn record_drain(&self, scope: &Scope, node: &str, is_draining: bool) -> Result<(), DbError> {
        seen(scope, ROOT_COMPANY)?;
        let (scope, node) = (scope.clone(), text::sent(node, NAME_CHARS_MAX));
        let action = if is_draining { "drain" } else { "undrain" };
        self.control(move |conn| audit::record(conn, &scope, action, "node", &node, json!({}))).await
    }

    /// Runs a leader's `work` in one transaction, unless a later leader has written. Whoever writes under an epoch
    /// waits for the one before.
    async fn as_leader<T, F>(&self, epoch: i64, work: F) -> Result<T, LeaderError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        let done = self
            .links(move |conn| {
                let ours: Option<EpochRow> =
                    sql_query("UPDATE leadership SET epoch = $1 WHERE epoch <= $1 RETURNING epoch")
                        .bind::<BigInt, _>(epoch)
                        .get_result(conn)
                        .optional()?;
                if ours.is_none() {
                    let seen: EpochRow = sql_query("SELECT epoch FROM leadership").get_result(conn)?;
                    return Ok(Err(seen.epoch));
                }
                work(conn).map(Ok)
            })
            .await?;
        done.map_err(|seen| LeaderError::OldEpoch { given: epoch, seen })
    }
}

/// Marks every terminal offline that the node holds; says which.
fn offline(conn: &mut PgConnection, life: &NodeLife) -> Result<Vec<TerminalId>, DbError> {
    let marked: Vec<Key> =
        sql_query("UPDATE terminal SET online = false WHERE node = $1 AND online RETURNING id")
            .bind::<Text, _>(text::sent(&life.node, NAME_CHARS_MAX))
            .load(conn)?;
    Ok(marked.into_iter().map(|key| TerminalId(key.id)).collect())
}

fn has_left(conn: &mut PgConnection, life: &NodeLife) -> Result<bool, DbError> {
    let found: Option<Key> =
        sql_query("SELECT id FROM node_event WHERE node = $1 AND incarnation = $2 AND kind = 'left'")
            .bind::<Text, _>(text::sent(&life.node, NAME_CHARS_MAX))
            .bind::<BigInt, _>(life.incarnation.cast_signed())
            .get_result(conn)
            .optional()?;
    Ok(found.is_some())
}

fn happened(
    conn: &mut PgConnection,
    epoch: i64,
    life: &NodeLife,
    kind: NodeEventKind,
    detail: &str,
) -> Result<bool, DbError> {
    let once = if kind.is_once() {
        "ON CONFLICT (node, incarnation, kind) WHERE kind IN ('joined', 'lost', 'left') DO NOTHING"
    } else {
        ""
    };
    let written = sql_query(format!(
        "INSERT INTO node_event (node, incarnation, kind, epoch, detail) VALUES ($1, $2, $3, $4, $5) {once}"
    ))
    .bind::<Text, _>(text::sent(&life.node, NAME_CHARS_MAX))
    .bind::<BigInt, _>(life.incarnation.cast_signed())
    .bind::<Text, _>(kind.name())
    .bind::<BigInt, _>(epoch)
    .bind::<Text, _>(detail)
    .execute(conn)?;
    Ok(written > 0)
}
