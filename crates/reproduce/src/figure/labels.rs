//! Where the labels of a plot's points stand, so that none hides another or a point.

/// Pixels of a label's line, and of one of its letters, about.
const HEIGHT: f64 = 13.0;
const LETTER: f64 = 6.4;
/// What is kept free around a point.
const POINT: f64 = 6.0;
/// Distances from the point that are tried, nearest first, and directions at each.
const DISTANCES: [f64; 9] = [9.0, 18.0, 30.0, 44.0, 60.0, 78.0, 98.0, 120.0, 145.0];
const DIRECTIONS: usize = 16;
/// A label that is farther off needs a line to its point.
const NEAR: f64 = 12.0;

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// Where a label stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spot {
    pub area: Area,
    /// The end, at the label, of a line from the point; none where the label is beside it.
    pub leader: Option<(f64, f64)>,
}

impl Area {
    fn overlaps(&self, other: &Area) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn contains(&self, other: &Area) -> bool {
        self.left <= other.left && other.right <= self.right && self.top <= other.top && other.bottom <= self.bottom
    }

    fn around((x, y): (f64, f64), reach: f64) -> Self {
        Self { left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }
    }
}

/// A place for the label of every point, in their order. Where a sheet is so full that there is none, labels lie beside their points.
pub(super) fn place(points: &[((f64, f64), &str)], sheet: Area) -> Vec<Spot> {
    let mut taken: Vec<Area> = points.iter().map(|(point, _)| Area::around(*point, POINT)).collect();
    let mut spots = Vec::with_capacity(points.len());
    for (number, (point, label)) in points.iter().enumerate() {
        // Its own point may touch a label: the nearest places begin at its edge.
        let free = |area: &Area| {
            let hidden = taken.iter().enumerate().any(|(other, taken)| other != number && taken.overlaps(area));
            sheet.contains(area) && !hidden
        };
        let spot = candidates(*point, label).find(|spot| free(&spot.area));
        let spot = spot.unwrap_or_else(|| spot_at(*point, label, DISTANCES[0], 1));
        taken.push(spot.area);
        spots.push(spot);
    }
    spots
}

/// Places for a label, the nearest first and at each distance those up and to the right.
fn candidates(point: (f64, f64), label: &str) -> impl Iterator<Item = Spot> {
    DISTANCES.into_iter().flat_map(move |distance| {
        // 1, 0, 2, -1, 3, ...: away from up and to the right.
        let turns = (0..DIRECTIONS as i32).map(|i| 1 + if i % 2 == 1 { -(i + 1) / 2 } else { i / 2 });
        turns.map(move |turn| spot_at(point, label, distance, turn))
    })
}

/// A label at a distance from its point: its nearest edge lies in the direction of `turn` sixteenths from the right.
fn spot_at((x, y): (f64, f64), label: &str, distance: f64, turn: i32) -> Spot {
    let angle = std::f64::consts::TAU * f64::from(turn) / DIRECTIONS as f64;
    let (right, down) = (angle.cos(), -angle.sin());
    let at = (x + distance * right, y + distance * down);
    let width = LETTER * label.chars().count() as f64;
    // The edge that faces the point touches the place, in between the middle does.
    let (left, top) = (at.0 - width * (1.0 - right) / 2.0, at.1 - HEIGHT * (1.0 - down) / 2.0);
    let area = Area { left, top, right: left + width, bottom: top + HEIGHT };
    Spot { area, leader: (distance > NEAR).then_some(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEET: Area = Area { left: 0.0, top: 0.0, right: 700.0, bottom: 400.0 };

    #[test]
    fn labels_of_crowded_points_hide_nothing() {
        let points: Vec<(f64, f64)> =
            (0..15).map(|i| (400.0 + 7.0 * f64::from(i % 5), 200.0 + 5.0 * f64::from(i / 5))).collect();
        let labelled: Vec<((f64, f64), &str)> = points.iter().map(|point| (*point, "gflownet T=0.875")).collect();
        let spots = place(&labelled, SHEET);
        for (i, spot) in spots.iter().enumerate() {
            assert!(SHEET.contains(&spot.area));
            assert!(spots[..i].iter().all(|other| !other.area.overlaps(&spot.area)), "{i}");
            let others = points.iter().enumerate().filter(|(other, _)| *other != i);
            assert!(others.into_iter().all(|(_, point)| !Area::around(*point, POINT).overlaps(&spot.area)), "{i}");
        }
    }

    #[test]
    fn a_point_alone_has_its_label_beside_it() {
        let [spot] = place(&[((100.0, 100.0), "beam")], SHEET)[..] else { panic!("one") };
        assert_eq!(spot.leader, None);
        assert!(spot.area.left > 100.0 && spot.area.top < 100.0 && spot.area.bottom > 85.0);
    }
}
