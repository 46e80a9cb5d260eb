//! A chart as inline SVG.
//!
//! The plot is as wide as there is room while its text keeps its size: curves are in an inner SVG that is stretched,
//! everything else is placed in percent.

use std::fmt::Write;

use crate::html::{Escaped, number};
use crate::scale::Scale;
use crate::series::{Point, Series};

/// The width and height of the inner SVG.
const SIDE: f64 = 1000.0;

/// Curves over the steps of a run.
#[derive(Debug)]
pub struct Chart {
    pub title: &'static str,
    pub note: &'static str,
    pub series: Vec<Series>,
    pub axis: Axis,
    pub look: Look,
}

/// The axis of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Axis {
    /// Linear, as wide as the values.
    Linear,
    /// Linear, with 0.
    FromZero,
    /// Logarithmic where that shows more.
    Log,
}

/// How the points are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// Smoothed, over the values themselves.
    Smoothed,
    /// As they are.
    Plain,
    /// Each with a dot, and a ring at the step of the best evaluation.
    Dots { best: Option<u64> },
}

impl Chart {
    /// The chart over steps up to `last_step`; nothing if no series has a point.
    pub fn draw(&self, last_step: u64) -> Option<String> {
        let series: Vec<&Series> = self.series.iter().filter(|series| !series.points.is_empty()).collect();
        if series.is_empty() {
            return None;
        }
        let values = || series.iter().flat_map(|series| series.values());
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let plot = (low <= high).then(|| Plot {
            x: Scale::steps(last_step),
            y: match self.axis {
                Axis::Linear => Scale::linear(low, high, false),
                Axis::FromZero => Scale::linear(low, high, true),
                Axis::Log => Scale::log_if_useful(low, high),
            },
            look: self.look,
        });
        let scale = if plot.as_ref().is_some_and(|plot| plot.y.log) { ", log scale" } else { "" };
        let (title, note) = (self.title, self.note);
        let mut html = format!("<figure>\n<figcaption><h3>{title}</h3><p>{note}{scale}</p></figcaption>\n");
        html += &legend(&series);
        html += &plot.map_or("<p class=\"empty\">No finite values.</p>\n".into(), |plot| plot.svg(title, &series));
        html += "</figure>\n";
        Some(html)
    }
}

/// The series with the look of their curves and their last values.
fn legend(series: &[&Series]) -> String {
    let mut html = String::from("<ul class=\"legend\">\n");
    for (index, series) in series.iter().enumerate() {
        let (name, last) = (Escaped(&series.name), number(series.last()));
        html += &format!(
            "<li><svg class=\"swatch s{index}\" aria-hidden=\"true\"><line x2=\"100%\" y1=\"50%\" y2=\"50%\"/></svg>{name} <b>{last}</b></li>\n"
        );
    }
    html + "</ul>\n"
}

struct Plot {
    x: Scale,
    y: Scale,
    look: Look,
}

impl Plot {
    fn svg(&self, title: &str, series: &[&Series]) -> String {
        let last = self.x.high();
        let mut svg = format!(
            "<svg class=\"plot\" role=\"img\" aria-label=\"{}\" data-last=\"{last}\">\n",
            describe(title, series)
        );
        self.grid(&mut svg);
        let _ = writeln!(svg, "<svg viewBox=\"0 0 {SIDE} {SIDE}\" preserveAspectRatio=\"none\">");
        for (index, series) in series.iter().enumerate() {
            self.curve(&mut svg, index, series);
        }
        svg += "</svg>\n";
        if let Look::Dots { best } = self.look {
            for (index, series) in series.iter().enumerate() {
                self.dots(&mut svg, index, series, best);
            }
        }
        svg + "</svg>\n"
    }

    fn grid(&self, svg: &mut String) {
        *svg += "<g class=\"axes\" aria-hidden=\"true\">\n";
        for tick in &self.y.ticks {
            let (y, label) = (100.0 * (1.0 - self.y.place(tick.value)), &tick.label);
            let _ = writeln!(
                svg,
                "<line x2=\"100%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/><text class=\"y\" x=\"-8\" y=\"{y:.2}%\">{label}</text>"
            );
        }
        for tick in &self.x.ticks {
            let (x, label) = (100.0 * self.x.place(tick.value), &tick.label);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"100%\" y2=\"101.5%\"/><text class=\"x\" x=\"{x:.2}%\" y=\"100%\">{label}</text>"
            );
        }
        *svg += "<text class=\"name\" x=\"100%\" y=\"100%\">step</text>\n</g>\n";
    }

    fn curve(&self, svg: &mut String, index: usize, series: &Series) {
        let kept = series.kept();
        let raw: Vec<Point> = kept.iter().map(|index| series.points[*index]).collect();
        let smoothed = if self.look == Look::Smoothed { series.smoothed(&kept, self.y.log) } else { None };
        let steps = list(raw.iter().map(|point| point.step.to_string()));
        let values = list(raw.iter().map(|point| number(point.value)));
        let name = Escaped(&series.name);
        let _ =
            write!(svg, "<g class=\"s{index}\" data-name=\"{name}\" data-steps=\"{steps}\" data-values=\"{values}\"");
        if let Some(smoothed) = &smoothed {
            let values = list(smoothed.iter().map(|point| number(point.value)));
            let _ = write!(svg, " data-smoothed=\"{values}\"");
        }
        *svg += ">";
        if smoothed.is_some() {
            let _ = write!(svg, "<path class=\"raw\" d=\"{}\"/>", self.path(&raw));
        }
        let _ = writeln!(svg, "<path d=\"{}\"/></g>", self.path(smoothed.as_ref().unwrap_or(&raw)));
    }

    /// Lines between neighbours that both have a value; one alone is a dot.
    fn path(&self, points: &[Point]) -> String {
        let mut path = String::new();
        for stretch in points.split(|point| point.value.is_none()) {
            for (index, point) in stretch.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                let (x, y) = self.place(point);
                let _ = write!(path, "{command}{:.1} {:.1}", SIDE * x, SIDE * y);
            }
            if stretch.len() == 1 {
                path += "h0";
            }
        }
        path
    }

    fn dots(&self, svg: &mut String, index: usize, series: &Series, best: Option<u64>) {
        for point in series.points.iter().filter(|point| point.value.is_some()) {
            let (x, y) = self.place(point);
            let is_best = best == Some(point.step);
            let (radius, class, word) = if is_best { (6, " best", ", best") } else { (3, "", "") };
            let (name, value) = (Escaped(&series.name), number(point.value));
            let _ = writeln!(
                svg,
                "<circle class=\"s{index}{class}\" cx=\"{:.2}%\" cy=\"{:.2}%\" r=\"{radius}\"><title>step {}{word}: {name} {value}</title></circle>",
                100.0 * x,
                100.0 * y,
                point.step,
            );
        }
    }

    /// From the left and from the top.
    fn place(&self, point: &Point) -> (f64, f64) {
        (self.x.place(point.step as f64), 1.0 - self.y.place(point.value.unwrap_or(f64::NAN)))
    }
}

/// The curves in words, for those who do not see them.
fn describe(title: &str, series: &[&Series]) -> String {
    let mut text = format!("{title} by step.");
    for series in series {
        let values = || series.values();
        let number = |value: Option<f64>| number(value);
        let _ = write!(
            text,
            " {}: first {}, last {}, lowest {}, highest {}.",
            Escaped(&series.name),
            number(values().next()),
            number(series.last()),
            number(values().reduce(f64::min)),
            number(values().reduce(f64::max)),
        );
    }
    text
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}
