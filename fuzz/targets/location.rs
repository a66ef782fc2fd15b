//! Location bodies: what is decoded is written again as the same bytes, item by item too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::jt808::{Edition, LocationReport};

fuzz_target!(|body: &[u8]| {
    for edition in [Edition::V2011, Edition::V2013, Edition::V2019] {
        let Ok(report) = LocationReport::decode(body, edition) else {
            assert!(body.len() < 28);
            return;
        };
        let mut again = Vec::new();
        report.encode(&mut again, edition);
        assert_eq!(again, body);
        let _ = (report.latitude_e6(), report.longitude_e6(), report.altitude_m(), report.time.fields());
        let mut items = Vec::new();
        for item in report.items.iter() {
            let _ = item.read();
            assert_eq!(report.items.find(item.id).map(|first| first.id), Some(item.id));
            item.encode(&mut items);
        }
        items.extend_from_slice(report.items.truncated());
        assert_eq!(items, report.items.as_bytes());
    }
});
