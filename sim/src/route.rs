//! The roads that simulated vehicles drive along: polylines of our own making.

use std::sync::LazyLock;

use serde::Deserialize;

/// Metres of one degree of latitude.
const METRES_PER_DEGREE: f64 = 111_320.0;

/// One road.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// City and kind of road.
    pub name: String,
    /// Whether its end is its beginning; otherwise vehicles turn around there.
    #[serde(rename = "loop")]
    pub is_loop: bool,
    /// Usual speed, km/h.
    pub limit_kmh: f64,
    /// Latitude and longitude, degrees.
    points: Vec<[f64; 2]>,
}

/// A place on a road.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// Degrees from north, clockwise, 0 to 359.
    pub direction_deg: u16,
}

impl Route {
    /// All roads, in a fixed order.
    pub fn all() -> &'static [Route] {
        static ALL: LazyLock<Vec<Route>> = LazyLock::new(|| {
            serde_json::from_str(include_str!("../data/routes.json")).expect("the committed routes parse")
        });
        &ALL
    }

    /// The place `metres` after the start, turning around at the ends or going round.
    pub fn place_at(&self, metres: f64) -> Place {
        let legs: Vec<Leg> = self.legs().collect();
        let length: f64 = legs.iter().map(|leg| leg.metres).sum();
        let there_and_back = if self.is_loop { length } else { 2.0 * length };
        let along = metres.rem_euclid(there_and_back);
        let back = along > length;
        let mut left = if back { there_and_back - along } else { along };
        let last = legs.len() - 1;
        for (index, leg) in legs.iter().enumerate() {
            if left <= leg.metres || index == last {
                return leg.place_at(left.min(leg.metres), back);
            }
            left -= leg.metres;
        }
        unreachable!("the last leg returns")
    }

    fn legs(&self) -> impl Iterator<Item = Leg> + '_ {
        let closing = self.is_loop.then(|| [self.points[self.points.len() - 1], self.points[0]]);
        let pairs = self.points.windows(2).map(|pair| [pair[0], pair[1]]);
        pairs.chain(closing).map(|[from, to]| Leg::new(from, to))
    }
}

struct Leg {
    from: [f64; 2],
    to: [f64; 2],
    metres: f64,
    direction_deg: f64,
}

impl Leg {
    fn new(from: [f64; 2], to: [f64; 2]) -> Self {
        let north = (to[0] - from[0]) * METRES_PER_DEGREE;
        let east = (to[1] - from[1]) * METRES_PER_DEGREE * from[0].to_radians().cos();
        let direction_deg = east.atan2(north).to_degrees().rem_euclid(360.0);
        Self { from, to, metres: north.hypot(east), direction_deg }
    }

    fn place_at(&self, metres: f64, back: bool) -> Place {
        let part = if self.metres > 0.0 { metres / self.metres } else { 0.0 };
        let between = |axis: usize| self.from[axis] + (self.to[axis] - self.from[axis]) * part;
        let direction = if back { self.direction_deg + 180.0 } else { self.direction_deg };
        Place {
            latitude: between(0),
            longitude: between(1),
            direction_deg: direction.rem_euclid(360.0) as u16 % 360,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_can_be_driven_without_a_jump() {
        assert!(Route::all().len() >= 24);
        for route in Route::all() {
            let mut before = route.place_at(0.0);
            for step in 1..3_000 {
                let place = route.place_at(f64::from(step) * 20.0);
                let moved =
                    Leg::new([before.latitude, before.longitude], [place.latitude, place.longitude]).metres;
                assert!(moved < 21.0, "{} jumps {moved} m", route.name);
                assert!(place.direction_deg < 360);
                before = place;
            }
        }
    }

    #[test]
    fn a_road_that_is_no_loop_turns_around() {
        let route = Route {
            name: String::new(),
            is_loop: false,
            limit_kmh: 50.0,
            points: vec![[30.0, 120.0], [30.01, 120.0]],
        };
        let length = 0.01 * METRES_PER_DEGREE;
        assert_eq!(route.place_at(10.0).direction_deg, 0);
        assert_eq!(route.place_at(length + 10.0).direction_deg, 180);
        assert!((route.place_at(length * 2.0).latitude - 30.0).abs() < 1e-9);
    }
}
