//! Camera control: rotation (0x9301) and the two-byte switches (0x9302-0x9306).

use super::SignallingError;
use super::field::{body, code, record_field};
use crate::reader::Reader;

code! {
    /// Where a camera turns; there are no diagonals.
    pub struct PtzDirection {
        /// Stop turning.
        STOP = 0,
        /// Up.
        UP = 1,
        /// Down.
        DOWN = 2,
        /// Left.
        LEFT = 3,
        /// Right.
        RIGHT = 4,
    }
}

body! {
    /// 0x9301 →T: turn a camera.
    #[derive(Copy)]
    pub struct PtzRotate = 0x9301 {
        /// Logical channel.
        channel: u8,
        /// Where to.
        direction: PtzDirection,
        /// How fast, 0-255.
        speed: u8,
    }
}

/// The body that 0x9302 to 0x9306 →T share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtzSwitch {
    /// Logical channel.
    pub channel: u8,
    /// Focus and iris: 0 up, 1 down. Wiper and infrared light: 0 stop, 1 start. Zoom: 0 in, 1 out.
    pub value: u8,
}

record_field!(PtzSwitch { channel, value });

impl PtzSwitch {
    /// Focus.
    pub const FOCUS_ID: u16 = 0x9302;
    /// Iris.
    pub const IRIS_ID: u16 = 0x9303;
    /// Wiper.
    pub const WIPER_ID: u16 = 0x9304;
    /// Infrared light.
    pub const INFRARED_ID: u16 = 0x9305;
    /// Zoom.
    pub const ZOOM_ID: u16 = 0x9306;

    /// Reads the body; bytes behind its last field are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, SignallingError> {
        super::field::Field::read(&mut Reader::new(bytes))
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        super::field::Field::write(self, out);
    }
}
