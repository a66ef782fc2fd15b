//! The message ids of JT/T 808, JT/T 1078 and T/JSATL12, each once, with its name. Knows no bodies.

macro_rules! messages {
    ($($id:literal $constant:ident $name:literal;)*) => {
        $(#[doc = concat!("`", stringify!($id), "`: ", $name, ".")] pub const $constant: u16 = $id;)*

        /// What the message of `id` is called; `None` where no standard that we read names it.
        pub fn name(id: u16) -> Option<&'static str> {
            match id {
                $($id => Some($name),)*
                _ => None,
            }
        }
    };
}

messages! {
    0x0001 TERMINAL_REPLY "terminal general reply";
    0x0002 HEARTBEAT "heartbeat";
    0x0003 UNREGISTER "unregister";
    0x0004 ASK_TIME "ask server time";
    0x0005 TERMINAL_RETRANSMISSION "ask for missing packages (terminal)";
    0x0100 REGISTER "register";
    0x0102 AUTHENTICATE "authenticate";
    0x0104 PARAMETERS "parameters";
    0x0107 PROPERTIES "terminal properties";
    0x0108 UPGRADE_RESULT "upgrade result";
    0x0200 LOCATION_REPORT "location report";
    0x0201 LOCATION_ANSWER "location answer";
    0x0301 EVENT_REPORT "event report";
    0x0302 QUESTION_ANSWER "question answer";
    0x0303 INFO_SUBSCRIPTION "information subscription";
    0x0500 VEHICLE_CONTROL_ANSWER "vehicle control answer";
    0x0608 AREAS "areas and routes";
    0x0700 RECORDER_DATA "driving recorder data";
    0x0701 WAYBILL "waybill";
    0x0702 DRIVER_IDENTITY "driver identity";
    0x0704 LOCATION_BATCH "location batch";
    0x0705 CAN_DATA "can bus data";
    0x0800 MEDIA_EVENT "multimedia event";
    0x0801 MEDIA_DATA "multimedia data";
    0x0802 MEDIA_LIST "stored multimedia list";
    0x0805 SHOT_RESULT "camera shot result";
    0x0900 PASS_THROUGH_UP "pass-through (terminal)";
    0x0901 COMPRESSED_UP "compressed data";
    0x0a00 TERMINAL_KEY "terminal rsa key";
    0x1003 AV_ATTRIBUTES "audio and video attributes";
    0x1005 PASSENGER_FLOW "passenger flow";
    0x1205 RESOURCE_LIST "stored audio and video list";
    0x1206 UPLOAD_DONE "file upload done";
    0x1210 ALARM_ATTACHMENTS "alarm attachment list";
    0x1211 FILE_INFO "attachment file";
    0x1212 FILE_DONE "attachment file done";
    0x8001 PLATFORM_REPLY "platform general reply";
    0x8003 PLATFORM_RETRANSMISSION "ask for missing packages (platform)";
    0x8004 SERVER_TIME "server time";
    0x8100 REGISTER_ANSWER "register answer";
    0x8103 SET_PARAMETERS "set parameters";
    0x8104 QUERY_ALL_PARAMETERS "query all parameters";
    0x8105 TERMINAL_CONTROL "terminal control";
    0x8106 QUERY_PARAMETERS "query parameters";
    0x8107 QUERY_PROPERTIES "query terminal properties";
    0x8108 UPGRADE_PACKAGE "upgrade package";
    0x8201 QUERY_LOCATION "query location";
    0x8202 TRACK "temporary tracking";
    0x8203 CONFIRM_ALARM "confirm alarm";
    0x8204 LINK_CHECK "link check";
    0x8300 SEND_TEXT "send text";
    0x8301 SET_EVENTS "set events";
    0x8302 ASK_QUESTION "ask question";
    0x8303 SET_INFO_MENU "set information menu";
    0x8304 SEND_INFO "send information";
    0x8400 CALL_BACK "call back";
    0x8401 SET_PHONE_BOOK "set phone book";
    0x8500 CONTROL_VEHICLE "control vehicle";
    0x8600 SET_CIRCLES "set circles";
    0x8601 DELETE_CIRCLES "delete circles";
    0x8602 SET_RECTANGLES "set rectangles";
    0x8603 DELETE_RECTANGLES "delete rectangles";
    0x8604 SET_POLYGON "set polygon";
    0x8605 DELETE_POLYGONS "delete polygons";
    0x8606 SET_ROUTE "set route";
    0x8607 DELETE_ROUTES "delete routes";
    0x8608 QUERY_AREAS "query areas and routes";
    0x8700 COLLECT_RECORDER "collect driving recorder data";
    0x8701 SET_RECORDER "set driving recorder";
    0x8702 ASK_DRIVER "ask driver identity";
    0x8800 MEDIA_ANSWER "multimedia data answer";
    0x8801 SHOOT "camera shot";
    0x8802 SEARCH_MEDIA "search stored multimedia";
    0x8803 UPLOAD_MEDIA "upload stored multimedia";
    0x8804 RECORD_SOUND "record sound";
    0x8805 UPLOAD_ONE_MEDIA "upload one stored multimedia";
    0x8900 PASS_THROUGH_DOWN "pass-through (platform)";
    0x8a00 PLATFORM_KEY "platform rsa key";
    0x9003 QUERY_AV_ATTRIBUTES "query audio and video attributes";
    0x9101 START_LIVE "start live stream";
    0x9102 CONTROL_LIVE "control live stream";
    0x9105 LIVE_STATUS "live stream status";
    0x9201 START_PLAYBACK "start playback";
    0x9202 CONTROL_PLAYBACK "control playback";
    0x9205 QUERY_RESOURCES "query stored audio and video";
    0x9206 UPLOAD_FILE "upload file";
    0x9207 CONTROL_UPLOAD "control file upload";
    0x9208 UPLOAD_ATTACHMENTS "upload alarm attachments";
    0x9212 FILE_DONE_ANSWER "attachment file done answer";
    0x9301 PTZ_ROTATE "rotate camera";
    0x9302 PTZ_FOCUS "focus camera";
    0x9303 PTZ_APERTURE "camera aperture";
    0x9304 PTZ_WIPER "camera wiper";
    0x9305 PTZ_INFRARED "camera infrared light";
    0x9306 PTZ_ZOOM "zoom camera";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_name() {
        assert_eq!(name(LOCATION_REPORT), Some("location report"));
        assert_eq!(name(0x5501), None);
    }
}
