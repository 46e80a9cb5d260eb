//! Figures as SVG: with colours of their own in a file, with those of the page around them in a page.

mod bars;
mod labels;
mod panel;
mod points;

use amortize_report::document::COLORS;

pub(crate) use bars::{Bar, Group, bars};
pub(crate) use panel::{Panel, Place};
pub(crate) use points::{Mark, Point, points};

const STYLE: &str = include_str!("figure.css");

/// A figure of this size in pixels.
#[derive(Debug)]
pub(crate) struct Svg {
    pub width: f64,
    pub height: f64,
    /// In words, HTML.
    pub title: String,
    /// Its elements.
    pub body: String,
}

impl Svg {
    /// A file of its own.
    pub fn standalone(&self) -> String {
        let Self { width, height, .. } = self;
        let size = format!(r#"xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}""#);
        let sheet = format!("<rect class=\"sheet\" width=\"{width}\" height=\"{height}\"/>\n");
        self.element(&size, &format!("<style>\n{COLORS}{STYLE}</style>\n{sheet}"))
    }

    /// For a page.
    pub fn inline(&self) -> String {
        self.element("", &format!("<style>\n{STYLE}</style>\n"))
    }

    fn element(&self, attributes: &str, before: &str) -> String {
        let Self { width, height, title, body } = self;
        format!(
            "<svg class=\"figure\" viewBox=\"0 0 {width} {height}\" role=\"img\" {attributes}>\n<title>{title}</title>\n\
             {before}{body}</svg>\n"
        )
    }
}

/// The class of a colour: there are so many, and then they come again.
pub(crate) fn color(number: usize) -> String {
    format!("s{}", number % 4)
}
