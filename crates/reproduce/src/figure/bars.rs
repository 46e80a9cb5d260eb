//! A plot for each figure, with a bar for each method.

use amortize_report::html::{Escaped, number};
use amortize_report::scale::Scale;

use super::{Panel, Place, Svg, color};

/// Pixels.
const PANEL: f64 = 190.0;
const HEIGHT: f64 = 170.0;
const GAP: f64 = 66.0;
const TOP: f64 = 46.0;
const ROW: f64 = 250.0;
const IN_A_ROW: usize = 4;

/// A method's figure.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub name: String,
    pub value: f64,
    pub spread: Option<f64>,
    /// What the paper has there, drawn across the bar.
    pub paper: Option<f64>,
}

/// A figure of several methods, in the same order in all groups.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub heading: String,
    pub bars: Vec<Bar>,
}

/// The plots side by side.
pub(crate) fn bars(title: &str, groups: &[Group]) -> Svg {
    let columns = groups.len().clamp(1, IN_A_ROW);
    let rows = groups.len().div_ceil(IN_A_ROW).max(1);
    let body: String = groups.iter().enumerate().map(|(number, group)| plot(number, group)).collect();
    Svg {
        width: columns as f64 * (PANEL + GAP) + 10.0,
        height: rows as f64 * ROW,
        title: Escaped(title).to_string(),
        body,
    }
}

fn plot(number: usize, group: &Group) -> String {
    let (row, column) = (number / IN_A_ROW, number % IN_A_ROW);
    let place = Place {
        left: GAP - 10.0 + column as f64 * (PANEL + GAP),
        top: TOP + row as f64 * ROW,
        width: PANEL,
        height: HEIGHT,
    };
    let ends = group.bars.iter().flat_map(|bar| {
        let spread = bar.spread.unwrap_or(0.0);
        [bar.value - spread, bar.value + spread, bar.paper.unwrap_or(bar.value)]
    });
    let (low, high) = ends.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let (x, y) = (Scale::steps(1), Scale::linear(low, high, true));
    let panel = Panel { heading: &group.heading, x_name: "", y_name: "", place, x: &x, y: &y };
    let width = PANEL / group.bars.len().max(1) as f64;
    let bars = group.bars.iter().enumerate().map(|(at, bar)| one(&panel, bar, at, width));
    panel.frame() + &bars.collect::<String>()
}

fn one(panel: &Panel, bar: &Bar, at: usize, width: f64) -> String {
    let left = panel.place.left + at as f64 * width + 0.14 * width;
    let (width, middle) = (0.72 * width, left + 0.36 * width);
    let (zero, value) = (panel.y(0.0), panel.y(bar.value));
    let (top, height) = (zero.min(value), (zero - value).abs());
    let class = color(at);
    let words = format!("{}: {}", Escaped(&bar.name), number(Some(bar.value)));
    let mut svg = format!(
        "<rect class=\"{class} fill\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
         <title>{words}</title></rect>\n"
    );
    if let Some(spread) = bar.spread {
        let (from, to) = (panel.y(bar.value - spread), panel.y(bar.value + spread));
        svg += &format!(
            "<line class=\"whisker\" x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\"/>\n"
        );
    }
    if let Some(paper) = bar.paper {
        let (y, right) = (panel.y(paper), left + width);
        svg += &format!(
            "<line class=\"paper\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\">\
             <title>paper: {}</title></line>\n",
            number(Some(paper))
        );
    }
    let name = Escaped(&bar.name);
    svg + &format!("<text class=\"tick middle\" x=\"{middle:.1}\" y=\"{:.1}\">{name}</text>\n", panel.bottom() + 16.0)
}
