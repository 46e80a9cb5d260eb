//! A plot's place, its axes and where values are in it.

use amortize_report::html::Escaped;
use amortize_report::scale::{Scale, Tick};

/// Pixels from the left, from the top, and their extent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// A plot with two axes.
pub(crate) struct Panel<'a> {
    pub heading: &'a str,
    /// What the axes show; empty where the heading says it.
    pub x_name: &'a str,
    pub y_name: &'a str,
    pub place: Place,
    pub x: &'a Scale,
    pub y: &'a Scale,
}

impl Panel<'_> {
    /// Pixels from the left; values beyond the axis are at its end.
    pub fn x(&self, value: f64) -> f64 {
        self.place.left + self.place.width * self.x.place(value).clamp(0.0, 1.0)
    }

    /// Pixels from the top; values beyond the axis are at its end.
    pub fn y(&self, value: f64) -> f64 {
        self.place.top + self.place.height * (1.0 - self.y.place(value).clamp(0.0, 1.0))
    }

    /// Pixels from the top of the axis of x.
    pub fn bottom(&self) -> f64 {
        self.place.top + self.place.height
    }

    /// Heading, grid and the ticks of y.
    pub fn frame(&self) -> String {
        let Place { left, top, width, .. } = self.place;
        let right = left + width;
        let mut svg = format!(
            "<text class=\"heading\" x=\"{left:.1}\" y=\"{:.1}\">{}</text>\n",
            top - 12.0,
            Escaped(self.heading)
        );
        for Tick { value, label } in &self.y.ticks {
            let y = self.y(*value);
            svg += &format!(r#"<line class="grid" x1="{left:.1}" x2="{right:.1}" y1="{y:.1}" y2="{y:.1}"/>"#);
            svg += &format!(r#"<text class="tick end" x="{:.1}" y="{:.1}">{label}</text>"#, left - 6.0, y + 4.0);
            svg.push('\n');
        }
        if !self.y_name.is_empty() {
            let (x, y) = (left - 44.0, top + self.place.height / 2.0);
            let turn = format!("rotate(-90 {x:.1} {y:.1})");
            let name = Escaped(self.y_name);
            svg +=
                &format!("<text class=\"soft middle\" x=\"{x:.1}\" y=\"{y:.1}\" transform=\"{turn}\">{name}</text>\n");
        }
        svg
    }

    /// The ticks and the name of x.
    pub fn x_axis(&self) -> String {
        let bottom = self.bottom();
        let mut svg = String::new();
        for Tick { value, label } in &self.x.ticks {
            let x = self.x(*value);
            let (from, to) = (bottom, bottom + 4.0);
            svg += &format!(r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}"/>"#);
            svg += &format!("<text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>\n", bottom + 17.0);
        }
        let (x, y) = (self.place.left + self.place.width / 2.0, bottom + 34.0);
        svg + &format!("<text class=\"soft middle\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", Escaped(self.x_name))
    }
}
