//! What the CMSV6 face says of a fleet: every key with its type and every code, over what simulated terminals
//! reported through a real gateway.

use crate::support::cmsv6::{PAGINATION, STATUS, assert_shape, call, session};
use crate::support::drive::Drive;
use crate::support::{Server, Tenant, wait_for};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use db::ROOT_COMPANY;
use model::Permission;
use serde_json::{Value, json};

/// A server with two companies whose terminals drive, and a session of the first.
struct Stage {
    server: Server,
    ours: Tenant,
    theirs: Tenant,
    drive: Drive,
    session: String,
}

impl Stage {
    async fn new() -> Self {
        let server = Server::start().await;
        let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
        let drive = Drive::start(&server, &[&ours, &theirs]).await;
        // The table meets them with the first that happens to them, or at its next reading.
        server.account(ROOT_COMPANY, "root", &Permission::ALL).await;
        let all = session(&server, "root").await;
        wait_for("both in the table", async || {
            let reply = call(&server, "getDeviceOlStatus", &format!("jsession={all}")).await;
            (reply["onlines"].as_array()?.len() == 2).then_some(())
        })
        .await;
        let session = session(&server, &ours.name).await;
        Self { server, ours, theirs, drive, session }
    }

    async fn ask(&self, action: &str, query: &str) -> Value {
        call(&self.server, action, &format!("jsession={}&{query}", self.session)).await
    }

    /// The only row of the list `list` that `query` brings.
    async fn one(&self, action: &str, list: &str, query: &str) -> Value {
        let reply = self.ask(action, query).await;
        assert_eq!(reply["result"], 0, "{query}: {reply}");
        assert_shape(&reply, &[("int", "result"), ("list", list)]);
        let [row] = reply[list].as_array().expect("a list").as_slice() else { panic!("{query}: {reply}") };
        row.clone()
    }

    async fn fails(&self, action: &str, query: &str, result: u8) {
        let reply = self.ask(action, query).await;
        assert_eq!(reply, json!({"result": result, "message": reply["message"]}), "{action} {query}");
        assert!(reply["message"].is_string());
    }

    /// Waits until our terminal has reported this many positions; gives the whole track.
    async fn driven(&self, positions: usize) -> Value {
        wait_for("positions", async || {
            let reply = self.ask("queryTrackDetail", &self.today("")).await;
            (reply["tracks"].as_array()?.len() >= positions).then_some(reply)
        })
        .await
    }

    /// The query of our terminal's track of the hours around now.
    fn today(&self, more: &str) -> String {
        let now = Utc::now();
        format!(
            "devIdno={}&{}{more}",
            self.ours.device_no,
            span(now - TimeDelta::hours(1), now + TimeDelta::hours(1))
        )
    }

    async fn stop(self) {
        self.drive.stop().await;
        self.server.stop().await;
    }
}

/// `begintime` and `endtime`, in the zone of the face.
fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let zone = FixedOffset::east_opt(8 * 3600).expect("a zone");
    let text = |time: DateTime<Utc>| time.with_timezone(&zone).format("%Y-%m-%d+%H:%M:%S").to_string();
    format!("begintime={}&endtime={}", text(from), text(to))
}

#[tokio::test]
async fn query_user_vehicle_has_the_keys_and_types_of_the_reference() {
    let stage = Stage::new().await;
    let reply = stage.ask("queryUserVehicle", "language=zh").await;
    assert_shape(&reply, &[("int", "result"), ("list", "vehicles companys")]);
    let [vehicle] = reply["vehicles"].as_array().expect("vehicles").as_slice() else { panic!("{reply}") };
    let vehicle_shape = [
        ("int", "id ic pid vehicleType"),
        ("text", "nm pnm pt vehiType vehiColor vehiBand ownerName engineNum frameNum"),
        ("list", "dl"),
        ("null", "abbr adt desc djb dn dt etm linesOperation phone pvg st vtp"),
    ];
    assert_shape(vehicle, &vehicle_shape);
    assert_eq!((&vehicle["nm"], &vehicle["pnm"]), (&json!(stage.ours.plate), &json!("ours")));
    let device = &vehicle["dl"][0];
    let device_shape = [
        ("int", "pid ic cc tc md nflt did dId isb us payEnd"),
        ("text", "id io cn tn sim ist"),
        ("null", "sdc st vt"),
    ];
    assert_shape(device, &device_shape);
    assert_eq!(device["id"], stage.ours.device_no.as_str());
    assert_eq!(device["sim"], stage.ours.sim.to_string());
    assert_eq!((&device["did"], &device["dId"]), (&json!(stage.ours.terminal), &json!(stage.ours.terminal)));
    let names = device["cn"].as_str().expect("names").split(',').count();
    assert_eq!(device["cc"], names);
    let [company] = reply["companys"].as_array().expect("companies").as_slice() else { panic!("{reply}") };
    assert_shape(company, &[("int", "id pid pId"), ("text", "nm")]);
    assert_eq!((&company["pid"], &company["pId"]), (&json!(0), &json!(0)), "the top of what is seen");
    stage.stop().await;
}

#[tokio::test]
async fn get_device_ol_status_says_who_is_online() {
    let mut stage = Stage::new().await;
    let (device, plate) = (stage.ours.device_no.clone(), stage.ours.plate.clone());
    let online = wait_for("the terminal online", async || {
        let row = stage.one("getDeviceOlStatus", "onlines", "").await;
        (row["online"] == 1).then_some(row)
    })
    .await;
    assert_shape(&online, &[("text", "did"), ("text|null", "vid"), ("int", "online")]);
    assert_eq!(online, json!({"did": device, "vid": plate, "online": 1}));
    let by = async |query: String| stage.one("getDeviceOlStatus", "onlines", &query).await;
    assert_eq!(by(format!("vehiIdno={plate}")).await["vid"], plate.as_str());
    assert_eq!(
        by(format!("devIdno={device},{device},9")).await,
        json!({"did": device, "vid": null, "online": 1})
    );
    assert_eq!(
        by(format!("devIdno={device}&vehiIdno=nothing")).await["did"],
        device.as_str(),
        "devIdno goes first"
    );
    assert_eq!(by("status=1".into()).await["online"], 1);
    assert_eq!(stage.ask("getDeviceOlStatus", "status=0").await, json!({"result": 0, "onlines": []}));

    stage.drive.park().await;
    wait_for("the terminal offline", async || {
        let row = stage.one("getDeviceOlStatus", "onlines", "").await;
        (row["online"] == 0).then_some(())
    })
    .await;
    assert_eq!(stage.one("getDeviceOlStatus", "onlines", "status=0").await["did"], device.as_str());
    stage.fails("getDeviceOlStatus", "devIdno=nothing", 19).await;
    stage.fails("getDeviceOlStatus", "vehiIdno=nothing", 18).await;
    stage.fails("getDeviceOlStatus", "status=x", 7).await;
    stage.stop().await;
}

#[tokio::test]
async fn get_device_status_has_every_key_with_its_type() {
    let stage = Stage::new().await;
    let status = async |query: &str| stage.one("getDeviceStatus", "status", query).await;
    let row = wait_for("a position", async || {
        let row = status("").await;
        (row["ol"] == 1 && row["gt"] != "").then_some(row)
    })
    .await;
    assert_shape(&row, &STATUS);
    assert_eq!((&row["id"], &row["vid"]), (&json!(stage.ours.device_no), &json!(stage.ours.plate)));
    let gt = row["gt"].as_str().expect("text").strip_suffix(".0").expect("tenths of a second");
    assert!(chrono::NaiveDateTime::parse_from_str(gt, "%Y-%m-%d %H:%M:%S").is_ok(), "{gt}");
    // The simulated roads lie in China, where the maps are shifted.
    let degrees = |row: &Value, key: &str| row[key].as_str().expect("text").parse::<f64>().expect("degrees");
    assert_eq!(row["mlng"], format!("{:.6}", row["lng"].as_i64().expect("a number") as f64 / 1e6));
    assert_eq!(row["mlat"], format!("{:.6}", row["lat"].as_i64().expect("a number") as f64 / 1e6));
    assert_eq!(
        row["ps"],
        format!("{},{}", row["mlng"].as_str().expect("text"), row["mlat"].as_str().expect("text"))
    );
    let device = &stage.ours.device_no;
    for (map, least, most) in [(1, 1e-4, 0.02), (2, 1e-3, 0.03)] {
        let shifted = status(&format!("devIdno={device}&toMap={map}")).await;
        assert_eq!(shifted["vid"], Value::Null, "asked by device");
        let shift = degrees(&shifted, "mlng") - shifted["lng"].as_i64().expect("a number") as f64 / 1e6;
        assert!((least..most).contains(&shift.abs()), "{map}: {shift}");
    }
    // Ignition on, a fix, driving: bits 0 and 1 of s1 are set, bit 13 (still) is not.
    assert_eq!(row["s1"].as_i64().expect("a number") & (1 << 13 | 3), 3);
    assert!((1..2_000).contains(&row["sp"].as_i64().expect("a number")), "tenths of km/h: {}", row["sp"]);
    assert!((0..360).contains(&row["hx"].as_i64().expect("a number")));
    assert!(row["lc"].as_i64().expect("a number") > 0 && row["sn"] == 14);
    assert_eq!((&row["pt"], &row["fdt"], &row["gw"]), (&json!(6), &json!(3), &json!("G1")));

    // It goes on moving without anybody reading the database.
    wait_for("another place", async || {
        let now = status(&format!("devIdno={device}")).await;
        (now["gt"] != row["gt"] && (&now["lng"], &now["lat"]) != (&row["lng"], &row["lat"])).then_some(())
    })
    .await;
    stage.fails("getDeviceStatus", "devIdno=nothing", 19).await;
    stage.fails("getDeviceStatus", "vehiIdno=nothing", 18).await;
    stage.fails("getDeviceStatus", "toMap=google", 7).await;
    stage.stop().await;
}

#[tokio::test]
async fn query_track_detail_has_every_key_and_its_pages_make_the_whole() {
    let mut stage = Stage::new().await;
    stage.driven(25).await;
    stage.drive.park().await;
    let whole = stage.driven(25).await;
    assert_shape(&whole, &[("int", "result"), ("list", "tracks"), ("object", "pagination")]);
    assert_shape(&whole["pagination"], &PAGINATION);
    let tracks = whole["tracks"].as_array().expect("a list");
    for row in tracks {
        assert_shape(row, &STATUS);
        assert_eq!((&row["ol"], &row["vid"]), (&Value::Null, &Value::Null));
        assert!(
            chrono::NaiveDateTime::parse_from_str(row["gt"].as_str().expect("text"), "%Y-%m-%d %H:%M:%S")
                .is_ok()
        );
    }
    let times: Vec<&str> = tracks.iter().filter_map(|row| row["gt"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let total = tracks.len();
    let pages = &whole["pagination"];
    assert_eq!(
        (&pages["totalRecords"], &pages["totalPages"], &pages["currentPage"]),
        (&json!(total), &json!(1), &json!(1))
    );
    for unpaged in ["&currentPage=2", "&pageRecords=10", "&currentPage=0&pageRecords=0"] {
        assert_eq!(
            stage.ask("queryTrackDetail", &stage.today(unpaged)).await["tracks"],
            whole["tracks"],
            "{unpaged}"
        );
    }

    let (mut paged, mut number) = (Vec::new(), 1);
    loop {
        let page = stage
            .ask("queryTrackDetail", &stage.today(&format!("&currentPage={number}&pageRecords=10")))
            .await;
        assert_shape(&page["pagination"], &PAGINATION);
        let rows = page["tracks"].as_array().expect("a list");
        paged.extend(rows.iter().cloned());
        let pages = &page["pagination"];
        assert_eq!((&pages["totalRecords"], &pages["currentPage"]), (&json!(total), &json!(number)));
        assert_eq!(
            (&pages["startRecord"], &pages["endRecord"]),
            (&json!(10 * (number - 1)), &json!(paged.len()))
        );
        assert_eq!(pages["totalPages"], total.div_ceil(10));
        if pages["hasNextPage"] == false {
            break;
        }
        number += 1;
    }
    assert_eq!(&paged, tracks);
    let beyond =
        stage.ask("queryTrackDetail", &stage.today("&currentPage=4000000000&pageRecords=4000000000")).await;
    assert_eq!((&beyond["result"], &beyond["tracks"]), (&json!(0), &json!([])));

    // Thinned: one of a thousand kilometres is the first; nobody stood, so nobody stood for a second.
    let thinned = async |filter: &str| stage.ask("queryTrackDetail", &stage.today(filter)).await;
    assert_eq!(thinned("&distance=1000").await["tracks"], json!([tracks[0]]));
    let some = thinned("&distance=0.01&currentPage=1&pageRecords=2").await;
    let kept = some["pagination"]["totalRecords"].as_u64().expect("a number");
    assert!((2..total as u64).contains(&kept), "{kept} of {total}");
    assert_eq!(thinned("&parkTime=1").await["tracks"], json!([]));
    assert_eq!(thinned("&distance=0&parkTime=0").await["tracks"], whole["tracks"]);
    stage.stop().await;
}

#[tokio::test]
async fn query_track_detail_says_what_is_wrong() {
    let stage = Stage::new().await;
    let device = format!("devIdno={}", stage.ours.device_no);
    let fails = async |query: String, result| stage.fails("queryTrackDetail", &query, result).await;
    let (from, days) = (Utc::now() - TimeDelta::days(40), TimeDelta::days(31));
    fails(span(from, from), 7).await;
    fails(device.clone(), 7).await;
    for (begin, end) in [
        ("yesterday", "2026-01-01"),
        ("2026-01-01", "%2B262142-12-31"),
        ("%2B262142-12-31+23:59:59", "%2B262142-12-31+23:59:59"),
        ("-4800-01-01", "2026-01-01"),
    ] {
        fails(format!("{device}&begintime={begin}&endtime={end}"), 7).await;
    }
    for wrong in [
        "distance=-1",
        "distance=far",
        "distance=NaN",
        "distance=inf",
        "distance=1e999",
        "distance=5e-324",
        "distance=0.0009",
        "distance=10001",
        "parkTime=NaN",
        "currentPage=x&pageRecords=1",
        "toMap=-1",
    ] {
        fails(format!("{device}&{}&{wrong}", span(from, from + days)), 7).await;
    }
    fails(format!("{device}&{}", span(from, from - TimeDelta::seconds(1))), 9).await;
    fails(format!("{device}&{}", span(from, from + days + TimeDelta::seconds(1))), 10).await;
    for fits in [span(from, from + days), span(from, from), "begintime=2018-3-25&endtime=2018-4-25".into()] {
        let reply = stage.ask("queryTrackDetail", &format!("{device}&{fits}")).await;
        assert_eq!((&reply["result"], &reply["tracks"]), (&json!(0), &json!([])), "{fits}: {reply}");
    }
    fails(format!("devIdno=nothing&{}", span(from, from)), 19).await;
    stage.stop().await;
}

#[tokio::test]
async fn another_companys_device_is_as_one_that_does_not_exist() {
    let stage = Stage::new().await;
    let (device, plate) = (&stage.theirs.device_no, &stage.theirs.plate);
    for action in ["getDeviceOlStatus", "getDeviceStatus"] {
        stage.fails(action, &format!("devIdno={device}"), 19).await;
        stage.fails(action, &format!("vehiIdno={plate}"), 18).await;
        let reply = stage.ask(action, &format!("devIdno={device},{}", stage.ours.device_no)).await;
        assert!(!reply.to_string().contains(device.as_str()), "{reply}");
        let reply = stage.ask(action, "").await;
        assert!(
            reply.to_string().contains(&stage.ours.device_no) && !reply.to_string().contains(device.as_str())
        );
    }
    let now = Utc::now();
    stage
        .fails("queryTrackDetail", &format!("devIdno={device}&{}", span(now - TimeDelta::hours(1), now)), 19)
        .await;
    let reply = stage.ask("queryUserVehicle", "").await.to_string();
    assert!(
        reply.contains(&stage.ours.plate)
            && !reply.contains(plate.as_str())
            && !reply.contains(device.as_str())
    );
    stage.stop().await;
}
