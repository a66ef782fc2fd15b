//! What an operator may set of the HTTP face. Knows no file and no environment.

use std::path::PathBuf;

use cluster::Listener;

/// Settings of the HTTP face.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub web: Listener,
    /// Whether `/docs` and `/openapi.json` need no log-in.
    pub public_docs: bool,
    /// The built console; None: no console is served.
    pub console_dir: Option<PathBuf>,
    /// Threads that serve HTTP; None: as many as there are processors.
    pub workers: Option<usize>,
    /// Minutes east of UTC of the times in the CMSV6 face, which carries no zone (default GMT+8).
    pub cmsv6_time_offset_min: i32,
    /// The map of the console.
    pub map: Map,
}

/// Where the console's map comes from.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// Raster tiles, `https://…/{z}/{x}/{y}.png`; None keeps the map offline.
    pub tile_url: Option<String>,
    /// Whose tiles they are, shown on the map.
    pub attribution: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            web: Listener::on_port(8080),
            public_docs: false,
            console_dir: None,
            workers: None,
            cmsv6_time_offset_min: 480,
            map: Map::default(),
        }
    }
}
