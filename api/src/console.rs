//! The web console's files.
//!
//! Read into memory once, when the server starts: a request names an entry of a table, never a path.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderValue, IF_NONE_MATCH,
};
use actix_web::web::Data;
use bytes::Bytes;
use serde_json::json;
use tracing::warn;

use crate::settings::Map;

/// Most bytes of console files: a build has a few MB, its map data included.
const BYTES_MAX: u64 = 64 << 20;
/// Most files.
const FILES_MAX: usize = 4_000;
/// Deepest folder below the console's.
const DEPTH_MAX: usize = 8;

/// The console, ready to be served.
#[derive(Default)]
pub(crate) struct Console {
    files: HashMap<String, File>,
    policy: String,
    settings: String,
}

struct File {
    kind: &'static str,
    bytes: Bytes,
    tag: HeaderValue,
}

impl Console {
    /// Reads the build in `dir`; None, or a folder that is not there, is a console without files.
    ///
    /// # Errors
    /// When a file cannot be read or there is more than a console has.
    pub(crate) fn read(dir: Option<&Path>, map: &Map) -> io::Result<Self> {
        let mut console =
            Self { files: HashMap::new(), policy: policy(map), settings: settings(map).to_string() };
        match dir {
            Some(dir) if dir.is_dir() => {
                let mut bytes = 0;
                console.read_folder(dir, "", 0, &mut bytes)?;
            }
            Some(dir) => warn!("no console in {}: only the API is served", dir.display()),
            None => {}
        }
        Ok(console)
    }

    fn read_folder(&mut self, dir: &Path, prefix: &str, depth: usize, total: &mut u64) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(ToOwned::to_owned) else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH_MAX {
                self.read_folder(&entry.path(), &format!("{path}/"), depth + 1, total)?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path())?;
                *total += bytes.len() as u64;
                if *total > BYTES_MAX || self.files.len() >= FILES_MAX {
                    return Err(io::Error::other("more files than a console has"));
                }
                let tag = HeaderValue::from_str(&tag(&bytes)).map_err(io::Error::other)?;
                self.files.insert(path, File { kind: content_type(&name), bytes: bytes.into(), tag });
            }
        }
        Ok(())
    }

    /// The reply to a GET of `path`, if the console has one: a file, or for a page that only the console
    /// knows, its entry page.
    pub(crate) fn reply(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let path = request.path().trim_start_matches('/');
        if path == "console-settings.json" {
            return Some(HttpResponse::Ok().content_type("application/json").body(self.settings.clone()));
        }
        if let Some(file) = self.files.get(path) {
            return Some(self.serve(request, path, file));
        }
        let page = path.is_empty() || wants_page(request) && !path.starts_with("api/") && !path.contains('.');
        let entry = self.files.get("index.html").filter(|_| page)?;
        Some(self.serve(request, "index.html", entry))
    }

    fn serve(&self, request: &HttpRequest, path: &str, file: &File) -> HttpResponse {
        // The build names its assets by their content.
        let cache = match path.starts_with("assets/") {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        };
        let mut response = if request.headers().get(IF_NONE_MATCH) == Some(&file.tag) {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response.insert_header((CACHE_CONTROL, cache)).insert_header((ETAG, file.tag.clone()));
        if file.kind.starts_with("text/html") {
            response.insert_header((CONTENT_SECURITY_POLICY, self.policy.as_str()));
        }
        response.content_type(file.kind).body(file.bytes.clone())
    }
}

/// Serves what no route took.
pub(crate) fn reply(console: &Data<Console>, request: &HttpRequest) -> Option<HttpResponse> {
    let read =
        request.method() == actix_web::http::Method::GET || request.method() == actix_web::http::Method::HEAD;
    read.then(|| console.reply(request)).flatten()
}

fn wants_page(request: &HttpRequest) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn tag(bytes: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn settings(map: &Map) -> serde_json::Value {
    match &map.tile_url {
        Some(url) => json!({"tiles": {"url": url, "attribution": map.attribution}}),
        None => json!({}),
    }
}

/// Video comes from media servers on other ports and hosts, hence the open connect-src; the map draws in
/// a worker from a blob.
fn policy(map: &Map) -> String {
    let tiles = map.tile_url.as_deref().and_then(origin).unwrap_or_default();
    format!(
        "default-src 'self'; script-src 'self'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob: {tiles}; connect-src 'self' http: https: ws: wss:; \
         media-src 'self' blob: http: https:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'self'"
    )
}

/// `https://host:port` of a URL, where it is plainly one.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'*');
    (matches!(scheme, "http" | "https") && !host.is_empty() && host.bytes().all(plain))
        .then(|| format!("{scheme}://{host}"))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "geojson" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "pbf" => "application/x-protobuf",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn console() -> Console {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("index.html"), "<html>").expect("written");
        fs::create_dir(dir.path().join("assets")).expect("made");
        fs::write(dir.path().join("assets/a.js"), "1").expect("written");
        Console::read(Some(dir.path()), &Map::default()).expect("read")
    }

    fn reply(path: &str, accept: &str) -> Option<(u16, String)> {
        let request = TestRequest::with_uri(path).insert_header((ACCEPT, accept)).to_http_request();
        let response = console().reply(&request)?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("");
        Some((response.status().as_u16(), kind.to_owned()))
    }

    #[test]
    fn files_have_their_types_and_pages_fall_back_to_the_entry() {
        let html = Some((200, "text/html; charset=utf-8".to_owned()));
        assert_eq!(reply("/", "*/*"), html);
        assert_eq!(reply("/vehicles/7", "text/html"), html);
        assert_eq!(reply("/assets/a.js", "*/*"), Some((200, "text/javascript; charset=utf-8".into())));
        assert_eq!(reply("/assets/b.js", "text/html"), None);
        assert_eq!(reply("/vehicles/7", "application/json"), None);
        assert_eq!(reply("/api/v1/x", "text/html"), None);
    }

    #[test]
    fn a_path_reaches_nothing_but_the_table() {
        for path in [
            "/../Cargo.toml",
            "/assets/../index.html",
            "/%2e%2e/Cargo.toml",
            "//etc/passwd",
            "/assets/..%2findex.html",
        ] {
            assert_eq!(reply(path, "*/*"), None, "{path}");
        }
    }

    #[test]
    fn the_policy_names_the_tile_server_only_where_it_is_plainly_one() {
        assert_eq!(origin("https://tiles.example/{z}"), Some("https://tiles.example".into()));
        assert_eq!(origin("https://a b; script-src *"), None);
        assert_eq!(origin("javascript:x"), None);
    }
}
