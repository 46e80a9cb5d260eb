//! A chart as inline SVG.
//!
//! The plot is as wide as there is room while its text keeps its size: curves are in an inner SVG that is stretched,
//! everything else is placed in percent.

use crate::html::{Escaped, number};
use crate::scale::{Scale, Tick};
use crate::series::{Point, Series};

/// The width and height of the inner SVG.
const SIDE: f64 = 1000.0;

/// Curves over the steps of a run.
#[derive(Debug)]
pub struct Chart {
    pub title: &'static str,
    /// Of the values; empty where the title says it.
    pub unit: &'static str,
    /// What it shows, and what a reader should look for.
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
    /// The chart over steps up to `last_step`; nothing if no record has such a figure.
    pub fn draw(&self, last_step: u64) -> Option<String> {
        let series: Vec<&Series> = self.series.iter().filter(|series| series.recorded).collect();
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
        let log = plot.as_ref().is_some_and(|plot| plot.y.log);
        let about = [self.unit, if log { "log scale" } else { "" }].map(|part| (!part.is_empty()).then_some(part));
        let about = about.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let about = if about.is_empty() { about } else { format!(" <small>{about}</small>") };
        let (title, note) = (self.title, self.note);
        let mut html = format!("<figure>\n<figcaption><h3>{title}{about}</h3><p>{note}</p></figcaption>\n");
        html += &legend(&series);
        html += &plot.map_or("<p class=\"empty\">No finite values.</p>\n".into(), |plot| plot.svg(title, &series));
        Some(html + "</figure>\n")
    }
}

/// The series with the look of their curves and their last values.
fn legend(series: &[&Series]) -> String {
    let item = |(index, series): (usize, &&Series)| {
        let line = r#"<line x2="100%" y1="50%" y2="50%"/>"#;
        let swatch = format!(r#"<svg class="swatch s{index}" aria-hidden="true">{line}</svg>"#);
        format!("<li>{swatch}{} <b>{}</b></li>\n", Escaped(&series.name), number(series.last()))
    };
    let items: String = series.iter().enumerate().map(item).collect();
    format!("<ul class=\"legend\">\n{items}</ul>\n")
}

struct Plot {
    x: Scale,
    y: Scale,
    look: Look,
}

impl Plot {
    fn svg(&self, title: &str, series: &[&Series]) -> String {
        let series = || series.iter().copied().enumerate();
        let words = describe(title, series().map(|(_, series)| series));
        let curves: String = series().map(|(index, series)| self.curve(index, series)).collect();
        let dots: String = match self.look {
            Look::Dots { best } => series().map(|(index, series)| self.dots(index, series, best)).collect(),
            Look::Smoothed | Look::Plain => String::new(),
        };
        let (last, axes) = (self.x.high(), self.axes());
        // From these the script knows where a value is.
        let (low, high, log) = (self.y.low(), self.y.high(), self.y.log);
        format!(
            r#"<svg class="plot" role="img" aria-label="{words}" data-last="{last}" data-low="{low}" data-high="{high}" data-log="{log}">
{axes}<svg viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none">
{curves}</svg>
{dots}</svg>
"#
        )
    }

    fn axes(&self) -> String {
        let mut svg = String::from("<g class=\"axes\" aria-hidden=\"true\">\n");
        for Tick { value, label } in &self.y.ticks {
            let y = 100.0 * (1.0 - self.y.place(*value));
            svg += &format!(r#"<line x2="100%" y1="{y:.2}%" y2="{y:.2}%"/>"#);
            svg += &format!("<text class=\"y\" x=\"-8\" y=\"{y:.2}%\">{label}</text>\n");
        }
        for Tick { value, label } in &self.x.ticks {
            let x = 100.0 * self.x.place(*value);
            svg += &format!(r#"<line x1="{x:.2}%" x2="{x:.2}%" y1="100%" y2="102%"/>"#);
            svg += &format!("<text class=\"x\" x=\"{x:.2}%\" y=\"100%\">{label}</text>\n");
        }
        svg + "<text class=\"name\" x=\"100%\" y=\"100%\">step</text>\n</g>\n"
    }

    /// A curve with its values, which the script shows.
    fn curve(&self, index: usize, series: &Series) -> String {
        let kept = series.kept();
        let raw: Vec<Point> = kept.iter().map(|index| series.points[*index]).collect();
        let smoothed = if self.look == Look::Smoothed { series.smoothed(&kept, self.y.log) } else { None };
        let name = Escaped(&series.name);
        let steps = list(raw.iter().map(|point| point.step.to_string()));
        let data = format!(r#"data-name="{name}" data-steps="{steps}" data-values="{}""#, values(&raw));
        let (data, paths) = match smoothed {
            None => (data, format!(r#"<path d="{}"/>"#, self.path(&raw))),
            Some(smoothed) => (
                format!(r#"{data} data-smoothed="{}""#, values(&smoothed)),
                format!(r#"<path class="raw" d="{}"/><path d="{}"/>"#, self.path(&raw), self.path(&smoothed)),
            ),
        };
        format!("<g class=\"s{index}\" {data}>{paths}</g>\n")
    }

    /// Lines between neighbours that both have a value; one alone is a dot.
    fn path(&self, points: &[Point]) -> String {
        let mut path = String::new();
        for stretch in points.split(|point| point.value.is_none()) {
            for (index, point) in stretch.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                let (x, y) = self.place(point);
                path += &format!("{command}{:.1} {:.1}", SIDE * x, SIDE * y);
            }
            if stretch.len() == 1 {
                path += "h0";
            }
        }
        path
    }

    fn dots(&self, index: usize, series: &Series, best: Option<u64>) -> String {
        let dot = |point: &Point| {
            let (x, y) = self.place(point);
            let (radius, class, word) = if best == Some(point.step) { (6, " best", ", best") } else { (3, "", "") };
            let (x, y, step) = (100.0 * x, 100.0 * y, point.step);
            let title = format!("step {step}{word}: {} {}", Escaped(&series.name), number(point.value));
            let place = format!(r#"cx="{x:.2}%" cy="{y:.2}%" r="{radius}""#);
            format!("<circle class=\"s{index}{class}\" {place}><title>{title}</title></circle>\n")
        };
        series.points.iter().filter(|point| point.value.is_some()).map(dot).collect()
    }

    /// From the left and from the top, between 0 and 1.
    fn place(&self, point: &Point) -> (f64, f64) {
        (self.x.place(point.step as f64), 1.0 - self.y.place(point.value.unwrap_or(f64::NAN)))
    }
}

/// The curves in words, for those who do not see them.
fn describe<'a>(title: &str, series: impl Iterator<Item = &'a Series>) -> String {
    let one = |series: &Series| {
        let values = || series.values();
        let [first, last] = [values().next(), series.last()].map(number);
        let [low, high] = [values().reduce(f64::min), values().reduce(f64::max)].map(number);
        format!(" {}: first {first}, last {last}, lowest {low}, highest {high}.", Escaped(&series.name))
    };
    format!("{title} by step.{}", series.map(one).collect::<String>())
}

fn values(points: &[Point]) -> String {
    list(points.iter().map(|point| number(point.value)))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}
