//! A client of the CMSV6 face, and how the shapes of its replies are compared with the reference.

use reqwest::Method;
use serde_json::Value;

use super::{PASSWORD, Server};

/// Calls an action; the reply is JSON with HTTP 200 whatever its result.
pub async fn call(server: &Server, action: &str, query: &str) -> Value {
    let path = format!("/StandardApiAction_{action}.action?{query}");
    let reply = server.request(Method::GET, &path).send().await.expect("a reply");
    assert_eq!(reply.status(), 200, "{path}");
    assert_eq!(reply.headers()["content-type"], "application/json;charset=utf-8");
    reply.json().await.expect("JSON")
}

/// The password of every account as a query has it.
pub fn password() -> String {
    form_urlencoded::byte_serialize(PASSWORD.as_bytes()).collect()
}

/// A new session of `account`.
pub async fn session(server: &Server, account: &str) -> String {
    let login = call(server, "login", &format!("account={account}&password={}", password())).await;
    assert_eq!(login["result"], 0, "{login}");
    login["jsession"].as_str().expect("a session").to_owned()
}

/// Fails unless `object` has exactly these keys, each with its type: `int`, `text`, `bool`, `null`, `list`,
/// `object`, or two of them between `|`.
pub fn assert_shape(object: &Value, shape: &[(&str, &str)]) {
    let fields = object.as_object().unwrap_or_else(|| panic!("no object: {object}"));
    for (types, keys) in shape {
        for key in keys.split_whitespace() {
            let value = fields.get(key).unwrap_or_else(|| panic!("no key {key}: {object}"));
            let is = match value {
                Value::Number(number) if number.is_i64() => "int",
                Value::Number(_) => "fraction",
                Value::String(_) => "text",
                Value::Bool(_) => "bool",
                Value::Null => "null",
                Value::Array(_) => "list",
                Value::Object(_) => "object",
            };
            assert!(types.split('|').any(|allowed| allowed == is), "{key} is {is}, not {types}: {value}");
        }
    }
    let known: Vec<&str> = shape.iter().flat_map(|(_, keys)| keys.split_whitespace()).collect();
    let others: Vec<&String> = fields.keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(others.is_empty(), "keys that the reference has not: {others:?}");
}

/// A row of `getDeviceStatus` and of `queryTrackDetail` (reference 3.4).
pub const STATUS: [(&str, &str); 6] = [
    ("text", "id mlng mlat gt gw ps tp"),
    ("int", "lng lat sp hx pt ft fdt dt ac net s1 s2 s3 s4 t1 t2 t3 t4 pk lc yl viceYl tsp lt ust sn"),
    ("int", "ls ct ios es aq adas1 adas2 dsm1 dsm2 bsd1 bsd2 fvs dst rfd dvt rft fl yn cet wc"),
    ("int", "p1 p2 p3 p4 p5 p6 p7 p8 p9 p10"),
    ("int|null", "ol lg ef or os ov ojt ost ojm lid drid dct sfg snm sst driSw"),
    ("text|null", "vid abbr glng glat rt pss dn jn dinfo driJn driSwStr sv hv imei imsi po"),
];

/// `pagination` (reference 1.1).
pub const PAGINATION: [(&str, &str); 3] = [
    ("int", "totalPages currentPage pageRecords totalRecords nextPage previousPage startRecord endRecord"),
    ("bool", "hasNextPage hasPreviousPage directQuery"),
    ("text|null", "sortParams primaryKey"),
];
