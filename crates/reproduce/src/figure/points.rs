//! A point for each method, by two figures.

use amortize_report::html::{Escaped, number};
use amortize_report::scale::Scale;

use super::labels::{self, Area, Spot};
use super::{Panel, Place, Svg, color};

/// Pixels of the figure.
const SIZE: (f64, f64) = (780.0, 470.0);
/// Where labels may stand.
const SHEET: Area = Area { left: 74.0, top: 32.0, right: SIZE.0, bottom: 418.0 };
const PLACE: Place = Place { left: 70.0, top: 40.0, width: 620.0, height: 380.0 };

/// Pixels of a label that hang below its letters.
const BELOW: f64 = 3.0;

/// The points of a star, from the top.
const STAR_POINTS: usize = 5;

/// How a point is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Star,
    Dot,
    /// A line from side to side: it has no place on the axis of x.
    Level,
}

/// A method.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Written beside it.
    pub label: String,
    /// Those of one family have one colour, and a line through them.
    pub family: usize,
    pub mark: Mark,
    pub x: f64,
    pub y: f64,
}

/// The plot.
pub(crate) fn points(title: &str, (x_name, y_name): (&str, &str), all: &[Point]) -> Svg {
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low <= high { Scale::linear(low, high, false) } else { Scale::linear(0.0, 1.0, true) }
    };
    let x = range(&mut all.iter().filter(|point| point.mark != Mark::Level).map(|point| point.x));
    let y = range(&mut all.iter().map(|point| point.y));
    let panel = Panel { heading: title, x_name, y_name, place: PLACE, x: &x, y: &y };
    let lines = families(all).into_iter().map(|family| line(&panel, &family));
    let places: Vec<((f64, f64), &str)> = all.iter().map(|point| (place(&panel, point), &*point.label)).collect();
    let marks = all.iter().zip(labels::place(&places, SHEET)).map(|(point, spot)| mark(&panel, point, spot));
    let body = [panel.frame(), panel.x_axis()].into_iter().chain(lines).chain(marks).collect();
    Svg { width: SIZE.0, height: SIZE.1, title: Escaped(title).to_string(), body }
}

/// Points with a place of every family, in order.
fn families(all: &[Point]) -> Vec<Vec<&Point>> {
    let last = all.iter().map(|point| point.family).max().map_or(0, |last| last + 1);
    let of = |family| all.iter().filter(|point| point.family == family && point.mark != Mark::Level).collect();
    (0..last).map(of).collect()
}

fn line(panel: &Panel, family: &[&Point]) -> String {
    let Some(first) = family.first().filter(|_| family.len() > 1) else { return String::new() };
    let place = |point: &&Point| format!("{:.1},{:.1}", panel.x(point.x), panel.y(point.y));
    let places: Vec<String> = family.iter().map(place).collect();
    format!("<polyline class=\"{} line dashed\" points=\"{}\"/>\n", color(first.family), places.join(" "))
}

/// Where a point is drawn; a level's is its left end.
fn place(panel: &Panel, point: &Point) -> (f64, f64) {
    let x = if point.mark == Mark::Level { PLACE.left } else { panel.x(point.x) };
    (x, panel.y(point.y))
}

fn mark(panel: &Panel, point: &Point, spot: Spot) -> String {
    let ((x, y), class) = (place(panel, point), color(point.family));
    let label = Escaped(&point.label);
    let title = format!("<title>{label}: {}, {}</title>", number(Some(point.x)), number(Some(point.y)));
    let shape = match point.mark {
        Mark::Level => {
            let right = PLACE.left + PLACE.width;
            format!("<line class=\"{class} line dashed\" x1=\"{x:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")
        }
        Mark::Dot => format!("<circle class=\"{class} fill\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\">{title}</circle>"),
        Mark::Star => format!("<polygon class=\"{class} fill\" points=\"{}\">{title}</polygon>", star(x, y)),
    };
    let leader = spot.leader.map(|(to_x, to_y)| {
        format!("<line class=\"grid\" x1=\"{x:.1}\" x2=\"{to_x:.1}\" y1=\"{y:.1}\" y2=\"{to_y:.1}\"/>\n")
    });
    let (left, baseline) = (spot.area.left, spot.area.bottom - BELOW);
    format!(
        "{}{shape}\n<text class=\"tick\" x=\"{left:.1}\" y=\"{baseline:.1}\">{label}</text>\n",
        leader.unwrap_or_default()
    )
}

fn star(x: f64, y: f64) -> String {
    let corner = |number: usize| {
        let radius = if number.is_multiple_of(2) { 9.0 } else { 3.8 };
        let angle = std::f64::consts::PI * number as f64 / STAR_POINTS as f64;
        format!("{:.1},{:.1}", x + radius * angle.sin(), y - radius * angle.cos())
    };
    (0..2 * STAR_POINTS).map(corner).collect::<Vec<_>>().join(" ")
}
