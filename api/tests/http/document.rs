//! The committed OpenAPI document is the program's own, so that a change of the API is seen in review.

use serde_json::Value;

#[test]
fn the_committed_document_is_this_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi/v1.json");
    let committed = std::fs::read_to_string(file).expect("openapi/v1.json is committed");
    let committed: Value = serde_json::from_str(&committed).expect("openapi/v1.json is JSON");
    let document = serde_json::to_value(api::document()).expect("serialises");
    assert!(
        committed == document,
        "openapi/v1.json is not the document of this program; regenerate it by\n    \
         cargo run --quiet -- openapi > openapi/v1.json"
    );
}
