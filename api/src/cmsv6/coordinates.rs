//! The maps that `toMap` asks for: GCJ-02 (as Google's and Gaode's maps of China) and BD-09 (Baidu's).
//!
//! The first shifts coordinates inside China by some hundred metres and leaves others; the second adds a shift of
//! its own, everywhere. The conversion is the public approximation that everybody uses.

use std::f64::consts::PI;

/// Which map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// As the satellites say.
    Wgs84,
    /// `toMap=1`.
    Gcj02,
    /// `toMap=2`.
    Bd09,
}

impl Map {
    pub(super) fn of(to_map: Option<u32>) -> Self {
        match to_map {
            Some(1) => Self::Gcj02,
            Some(2) => Self::Bd09,
            _ => Self::Wgs84,
        }
    }

    /// Longitude and latitude, degrees, on this map.
    pub(super) fn place(self, longitude: f64, latitude: f64) -> (f64, f64) {
        match self {
            Self::Wgs84 => (longitude, latitude),
            Self::Gcj02 => gcj02(longitude, latitude),
            Self::Bd09 => {
                let (x, y) = gcj02(longitude, latitude);
                bd09(x, y)
            }
        }
    }
}

/// Krasovsky 1940: major axis in metres and squared eccentricity.
const AXIS_M: f64 = 6_378_245.0;
const ECCENTRICITY_2: f64 = 0.006_693_421_622_965_943;

fn gcj02(longitude: f64, latitude: f64) -> (f64, f64) {
    let in_china = (72.004..=137.8347).contains(&longitude) && (0.8293..=55.8271).contains(&latitude);
    if !in_china {
        return (longitude, latitude);
    }
    let (x, y) = (longitude - 105.0, latitude - 35.0);
    let waves = (20.0 * (6.0 * x * PI).sin() + 20.0 * (2.0 * x * PI).sin()) * 2.0 / 3.0;
    let north = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + waves
        + (20.0 * (y * PI).sin() + 40.0 * (y / 3.0 * PI).sin()) * 2.0 / 3.0
        + (160.0 * (y / 12.0 * PI).sin() + 320.0 * (y * PI / 30.0).sin()) * 2.0 / 3.0;
    let east = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + waves
        + (20.0 * (x * PI).sin() + 40.0 * (x / 3.0 * PI).sin()) * 2.0 / 3.0
        + (150.0 * (x / 12.0 * PI).sin() + 300.0 * (x / 30.0 * PI).sin()) * 2.0 / 3.0;
    let radians = latitude / 180.0 * PI;
    let magic = 1.0 - ECCENTRICITY_2 * radians.sin().powi(2);
    let north = north * 180.0 / (AXIS_M * (1.0 - ECCENTRICITY_2) / (magic * magic.sqrt()) * PI);
    let east = east * 180.0 / (AXIS_M / magic.sqrt() * radians.cos() * PI);
    (longitude + east, latitude + north)
}

fn bd09(longitude: f64, latitude: f64) -> (f64, f64) {
    let turn = PI * 3000.0 / 180.0;
    let z = longitude.hypot(latitude) + 0.000_02 * (latitude * turn).sin();
    let theta = latitude.atan2(longitude) + 0.000_003 * (longitude * turn).cos();
    (z * theta.cos() + 0.0065, z * theta.sin() + 0.006)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_china_are_shifted_and_others_are_not() {
        // Published with the eviltransform library (googollee/eviltransform, its tests): Shanghai, Shenzhen,
        // Beijing; longitude and latitude before, then after.
        let published = [
            ((121.527_210_6, 31.177_427_6), (121.531_541_859_215, 31.175_303_983_645_97)),
            ((113.912_316, 22.543_847), (113.917_176_480_836_3, 22.540_796_131_694_766)),
            ((116.377_817, 39.911_954), (116.384_047_224_556_57, 39.913_345_455_360_69)),
        ];
        for ((longitude, latitude), (x, y)) in published {
            let place = Map::Gcj02.place(longitude, latitude);
            assert!((place.0 - x).abs() < 1e-9 && (place.1 - y).abs() < 1e-9, "{place:?}");
        }
        // And with coordtransform (wandergis/coordtransform, its tests).
        let (x, y) = bd09(116.404, 39.915);
        assert!((x - 116.410_369_493_710_29).abs() < 1e-9 && (y - 39.921_336_993_510_21).abs() < 1e-9);
        // Samples of the CMSV6 interface itself: millionths of a degree in, six decimals out.
        let (x, y) = Map::of(Some(1)).place(113.921_858, 22.568_745);
        assert!((x - 113.926_720).abs() < 2e-6 && (y - 22.565_703).abs() < 2e-6, "{x} {y}");
        let (x, y) = Map::of(Some(2)).place(113.850_504, 22.628_389);
        assert!((x - 113.861_938).abs() < 2e-6 && (y - 22.631_491).abs() < 2e-6, "{x} {y}");
        assert_eq!(Map::Gcj02.place(30.0, -10.0), (30.0, -10.0));
        assert_eq!(Map::of(None).place(116.0, 39.0), (116.0, 39.0));
    }
}
