//! The floors of ARCHITECTURE.md: a crate may use any lower floor, never its own, never up.

use std::collections::BTreeMap;

/// Crate and floor, as ARCHITECTURE.md draws them.
const FLOORS: [(&str, u8); 12] = [
    ("motorcade-protocol", 0),
    ("motorcade-model", 1),
    ("motorcade-db", 2),
    ("motorcade-cluster", 3),
    ("motorcade-openapi", 3),
    ("motorcade-access", 3),
    ("motorcade-gateway", 4),
    ("motorcade-login", 4),
    ("motorcade-media", 4),
    ("motorcade-sim", 4),
    ("motorcade-api", 5),
    ("motorcade", 6),
];

fn metadata() -> cargo_metadata::Metadata {
    cargo_metadata::MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads this workspace")
}

#[test]
fn every_crate_uses_lower_floors_only() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.to_string();
        let Some(floor) = floors.get(name.as_str()) else {
            wrong.push(format!(
                "{name} stands on no floor: put it into the table here and in ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(below) = floors.get(dependency.name.as_str())
                && below >= floor
                && dependency.name != name
            {
                wrong.push(format!("{name} (floor {floor}) uses {} (floor {below})", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_floor_of_the_table_exists() {
    let metadata = metadata();
    let names: Vec<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    for (name, _) in FLOORS {
        assert!(names.iter().any(|n| n == name), "{name} is on a floor but not in the workspace");
    }
}

#[test]
fn protocol_and_model_know_no_sockets_no_sql_no_http() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        if !["motorcade-protocol", "motorcade-model"].contains(&package.name.as_str()) {
            continue;
        }
        for dependency in &package.dependencies {
            let kind = dependency.kind;
            let forbidden = ["tokio", "diesel", "hyper", "actix-web", "reqwest"];
            assert!(
                kind == cargo_metadata::DependencyKind::Development
                    || !forbidden.contains(&dependency.name.as_str()),
                "{} uses {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("the manifest is readable");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} lacks the workspace lints", package.name);
    }
}

/// CMSV6 words live where ARCHITECTURE.md says and nowhere else.
#[test]
fn cmsv6_words_stay_in_their_modules() {
    const HOMES: [&str; 6] =
        ["openapi/src/cmsv6", "api/src/cmsv6", "media/src/cmsv6", "login/src/cmsv6", "tests/", "/tests/"];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stack: Vec<_> = FLOORS
        .iter()
        .map(|(name, _)| {
            root.join(name.strip_prefix("motorcade-").unwrap_or("src")).join(if *name == "motorcade" {
                ""
            } else {
                "src"
            })
        })
        .collect();
    let mut wrong = Vec::new();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(
                std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()),
            );
            continue;
        }
        let shown = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "rs") || HOMES.iter().any(|home| shown.contains(home)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable").to_ascii_lowercase();
        if ["devidno", "vehiidno", "jsession"].iter().any(|word| text.contains(word)) {
            wrong.push(shown);
        }
    }
    assert!(wrong.is_empty(), "CMSV6 words outside their modules: {wrong:?}");
}
