//! Durable positions: from many terminals' sockets through the gateway into PostgreSQL and back as 0x8001,
//! beside plain `UNNEST … ON CONFLICT` inserts into the same table in the same run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use access::terminal::{Admission, AuthCodes, AuthKey};
use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use cluster::trace::Trace;
use cluster::{Bus, Events};
use db::private::{PrivateServer, PrivateSettings};
use db::{Db, DbSettings};
use model::{Position, Report, StatusSet, TerminalId};
use protocol::jt808::message::{Authentication, GeneralReply, RegisterAnswer, Registration};
use protocol::jt808::{
    BcdTime, Deframer, Edition, FrameSettings, Header, LocationReport, Phone, Text, frame, id,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::figure;
use crate::cli::runtime;

/// `motorcade bench positions`
#[derive(Debug, Args)]
pub(crate) struct Positions {
    /// Terminals that report at once.
    #[arg(long, default_value_t = 200)]
    terminals: usize,
    /// Reports that a terminal sends before it waits for the first one's answer.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Rows of a batch of the plain inserts.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
}

/// A folder that goes with the run. Its path is short, for PostgreSQL's socket.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new().prefix("mcb").tempdir_in("/tmp").context("make a folder")?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Prints both rates, their ratio, and the acknowledgement times.
pub(crate) fn run(what: &Positions) -> Result<()> {
    runtime()?.block_on(async {
        let folder = scratch()?;
        let private = PrivateServer::start(PrivateSettings::new(folder.path().join("pg"))).await?;
        db::migrate(private.conninfo()).await?;
        let db = Db::connect(private.conninfo(), DbSettings::default()).await?;
        let measured = Box::pin(measure(what, &db, folder.path())).await;
        private.stop().await?;
        measured
    })
}

async fn measure(what: &Positions, db: &Db, folder: &std::path::Path) -> Result<()> {
    let events: Arc<dyn Events> = Arc::new(Bus::default());
    let settings = gateway::Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admission: Admission::Open,
        spool_dir: folder.join("spool"),
        ..gateway::Settings::default()
    };
    let key = AuthKey { id: 1, secret: rand::random() };
    let codes = AuthCodes::new(key, Vec::new());
    let deps = gateway::Deps { db: db.clone(), events, codes, trace: Trace::off() };
    let gateway = Box::pin(gateway::Gateway::start(settings, deps)).await.context("start the gateway")?;

    let (acknowledged, mut times_us) = report_for(what, gateway.addr()).await?;
    gateway.shutdown().await;
    let end_to_end = acknowledged as f64 / what.seconds as f64;

    let plain = plain_rate(db, what).await?;
    times_us.sort_unstable();
    let at = |share: f64| {
        let index = (times_us.len() as f64 * share) as usize;
        times_us.get(index.min(times_us.len().saturating_sub(1))).map_or(0.0, |us| *us as f64 / 1_000.0)
    };
    figure("terminals", what.terminals, "connections");
    figure("positions acknowledged after their commit", acknowledged, "positions");
    figure("durable positions, end to end", format!("{end_to_end:.0}"), "positions/s");
    figure("plain UNNEST … ON CONFLICT, same table", format!("{plain:.0}"), "rows/s");
    figure("ratio", format!("{:.2}", end_to_end / plain), "(aim: 0.5)");
    figure("acknowledgement, p50", format!("{:.1}", at(0.50)), "ms");
    figure("acknowledgement, p99", format!("{:.1}", at(0.99)), "ms");
    Ok(())
}

/// Every terminal keeps `window` reports in flight until the time is over.
async fn report_for(what: &Positions, gateway: SocketAddr) -> Result<(u64, Vec<u32>)> {
    let mut links = Vec::new();
    for number in 0..what.terminals {
        links.push(Link::open(gateway, number).await.with_context(|| format!("terminal {number}"))?);
    }
    let until = Instant::now() + Duration::from_secs(what.seconds);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut running = tokio::task::JoinSet::new();
    for link in links {
        running.spawn(link.report_until(until, what.window, Arc::clone(&acknowledged)));
    }
    let mut times_us = Vec::new();
    while let Some(done) = running.join_next().await {
        times_us.extend(done??);
    }
    Ok((acknowledged.load(Ordering::Relaxed), times_us))
}

/// One terminal's end, as lean as it gets: the gateway is to be measured, not this.
struct Link {
    socket: TcpStream,
    deframer: Deframer,
    input: BytesMut,
    phone: Phone,
    serial: u16,
    number: usize,
}

impl Link {
    async fn open(gateway: SocketAddr, number: usize) -> Result<Self> {
        let socket = TcpStream::connect(gateway).await?;
        socket.set_nodelay(true)?;
        let phone = Phone::short(&format!("{}", 13_700_000_000u64 + number as u64)).context("a SIM")?;
        let mut link = Self {
            socket,
            deframer: Deframer::new(FrameSettings::default()),
            input: BytesMut::with_capacity(16_384),
            phone,
            serial: 0,
            number,
        };
        let mut body = Vec::new();
        let registration = Registration {
            layout: Edition::V2013,
            province: 0,
            city: 0,
            maker: Text(b"BENCH"),
            model: Text(b"bench"),
            terminal_id: Text(b"0000000"),
            plate_colour: 1,
            plate: Text(b""),
        };
        registration.encode(&mut body, Edition::V2013);
        link.send(id::REGISTER, &body).await?;
        let answer = link.receive(id::REGISTER_ANSWER).await?;
        let answer = RegisterAnswer::decode(&answer, Edition::V2013)?;
        ensure!(answer.result.0 == 0, "registration refused with result {}", answer.result.0);
        body.clear();
        Authentication::code_only(answer.code.raw()).encode(&mut body, Edition::V2013);
        link.send(id::AUTHENTICATE, &body).await?;
        let reply = link.receive(id::PLATFORM_REPLY).await?;
        ensure!(GeneralReply::decode(&reply, Edition::V2013)?.result.0 == 0, "authentication refused");
        Ok(link)
    }

    async fn report_until(
        mut self,
        until: Instant,
        window: usize,
        acknowledged: Arc<AtomicU64>,
    ) -> Result<Vec<u32>> {
        let begin = Utc::now() - TimeDelta::hours(12);
        let mut sent_at = vec![None; 1 << 16];
        let (mut in_flight, mut sequence) = (0usize, 0i64);
        let (mut out, mut body, mut times_us) = (Vec::with_capacity(window * 80), Vec::new(), Vec::new());
        loop {
            out.clear();
            while in_flight < window {
                body.clear();
                self.report(begin, sequence, &mut body);
                self.frame(id::LOCATION_REPORT, &body, &mut out);
                sent_at[usize::from(self.serial.wrapping_sub(1))] = Some(Instant::now());
                in_flight += 1;
                sequence += 1;
            }
            self.socket.write_all(&out).await?;
            if self.socket.read_buf(&mut self.input).await? == 0 {
                bail!("the gateway closed the link");
            }
            let now = Instant::now();
            while let Some(frame) = self.deframer.next(&mut self.input) {
                let frame = frame?;
                if frame.header.id != id::PLATFORM_REPLY {
                    continue;
                }
                let reply = GeneralReply::decode(&frame.body, Edition::V2013)?;
                if let Some(sent) = sent_at[usize::from(reply.serial)].take() {
                    in_flight -= 1;
                    if now < until {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        times_us.push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
                    }
                }
            }
            if now >= until {
                return Ok(times_us);
            }
        }
    }

    /// Position `sequence` of a drive that began at `begin`, one a second.
    fn report(&self, begin: DateTime<Utc>, sequence: i64, body: &mut Vec<u8>) {
        let mut report = LocationReport {
            status: 0b11,
            speed_x10: 423,
            direction: 90,
            time: device_time(begin + TimeDelta::seconds(sequence)),
            // Mileage, and the fuel level.
            items: protocol::jt808::Items(&[0x01, 4, 0, 0, 1, 2, 0x02, 2, 0, 100]),
            ..LocationReport::default()
        };
        let step = i32::try_from(sequence % 100_000).unwrap_or(0);
        let lane = i32::try_from(self.number).unwrap_or(0);
        report.set_coordinates(31_000_000 + lane * 100, 121_000_000 + step * 10);
        report.encode(body, Edition::V2013);
    }

    fn frame(&mut self, message: u16, body: &[u8], out: &mut Vec<u8>) {
        frame::encode(&Header::new(message, Edition::V2013, self.phone, self.serial), body, out);
        self.serial = self.serial.wrapping_add(1);
    }

    async fn send(&mut self, message: u16, body: &[u8]) -> Result<()> {
        let mut out = Vec::new();
        self.frame(message, body, &mut out);
        self.socket.write_all(&out).await?;
        Ok(())
    }

    async fn receive(&mut self, message: u16) -> Result<bytes::Bytes> {
        loop {
            while let Some(frame) = self.deframer.next(&mut self.input) {
                let frame = frame?;
                if frame.header.id == message {
                    return Ok(frame.body);
                }
            }
            if self.socket.read_buf(&mut self.input).await? == 0 {
                bail!("the gateway closed the link");
            }
        }
    }
}

/// GMT+8, as terminals write it.
fn device_time(at: DateTime<Utc>) -> BcdTime {
    use chrono::{Datelike as _, Timelike as _};
    let at = at + TimeDelta::hours(8);
    let [year, month, day, hour, minute, second] = [
        u32::try_from(at.year() % 100).unwrap_or(0),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
    ]
    .map(|number| (((number / 10) << 4) | (number % 10)) as u8);
    BcdTime([year, month, day, hour, minute, second])
}

/// What the database alone does: the same rows, no edges, no latest positions, as many writers as the gateway.
async fn plain_rate(db: &Db, what: &Positions) -> Result<f64> {
    let writers = gateway::Settings::default().writers;
    let until = Instant::now() + Duration::from_secs(what.seconds.min(10));
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (db, batch) = (db.clone(), what.batch);
        running.spawn(async move {
            let begin = Utc::now() - TimeDelta::hours(12);
            let mut rows = 0usize;
            while Instant::now() < until {
                let reports: Vec<Report> =
                    (0..batch).map(|n| plain_report(begin, writer, rows + n)).collect();
                rows += db.insert_positions_only(reports).await?;
            }
            Ok::<_, db::DbError>(rows)
        });
    }
    let mut rows = 0;
    while let Some(done) = running.join_next().await {
        rows += done??;
    }
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

fn plain_report(begin: DateTime<Utc>, writer: usize, number: usize) -> Report {
    let at = begin + TimeDelta::seconds((number / 100) as i64);
    // Ids that no terminal has: the table does not ask.
    let terminal = TerminalId(1_000_000 + (writer * 100 + number % 100) as i64);
    let mut body = vec![0u8; 38];
    body[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let position = Position {
        latitude: 31.0,
        longitude: 121.0,
        speed_kmh: 42.3,
        direction_deg: 90,
        status: StatusSet(0b11),
        mileage_km: Some(25.8),
        fuel_l: Some(10.0),
        ..Position::blank(terminal, Some(at), Utc::now())
    };
    Report {
        position,
        body: body.into(),
        hash: (number as i64).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64),
    }
}
