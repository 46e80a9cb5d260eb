//! A self-contained HTML page, light or dark as the reader has it.

use crate::html::Escaped;

/// The colours of pages and figures, as CSS variables.
pub const COLORS: &str = include_str!("colors.css");

const STYLE: &str = include_str!("style.css");

/// No network, whatever a text in the page may say.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// What a page is made of. All but the title is HTML.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// What it is about, a text.
    pub title: &'a str,
    /// What is in it.
    pub body: &'a str,
    /// How it came about.
    pub footer: &'a str,
    /// JavaScript, or nothing.
    pub script: &'a str,
}

impl Document<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let Self { title, body, footer, script } = self;
        let title = Escaped(title);
        format!(
            r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title} · amortize</title>
<style>
{COLORS}{STYLE}</style>
</head>
<body>
<main>
{body}</main>
<footer>{footer}</footer>
<script>
{script}</script>
</body>
</html>
"#
        )
    }
}

/// A part of a page under a heading; both are HTML.
pub fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
}
