//! `amortize metrics`.

use std::io::Write;
use std::path::Path;

use amortize_encoders::{Encoder, bert_scores, inverse_document_frequencies};
use amortize_metrics::{BertScore, bleu, gleu, mean, mean_pairwise_cosine_distance, tokenize_13a};
use amortize_raters::whole_story;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::MetricsArgs;
use crate::table::{Table, number};

/// A line of the file: what a system wrote for one input, and what it should have been.
#[derive(Deserialize)]
struct Line {
    text: Option<String>,
    texts: Option<Vec<String>>,
    reference: Option<String>,
    references: Option<Vec<String>>,
    x: Option<String>,
    y: Option<String>,
}

/// The same, read.
struct Outputs {
    texts: Vec<String>,
    references: Vec<String>,
    /// What stands before and after each text in the story that it is part of.
    around: [Option<String>; 2],
}

/// What was found; `null` where there was nothing to find it from.
#[derive(Serialize)]
struct Metrics {
    /// Lines.
    n: usize,
    /// Texts of all lines.
    n_texts: usize,
    /// BLEU-4 of all texts together, 0 to 100.
    bleu: Option<f64>,
    /// Mean of the texts' own BLEU-4, 0 to 100.
    bleu_sentence: Option<f64>,
    /// GLEU-4 of all texts together, 0 to 1.
    gleu: Option<f64>,
    /// Mean of the texts' own GLEU-4, 0 to 1.
    gleu_sentence: Option<f64>,
    /// Means over texts.
    bert_score: Option<Matched>,
    /// Mean over lines with several texts of the mean cosine distance between two of them.
    diversity: Option<f64>,
    /// Mean rating of the stories that a chat model rated, 1 to 5.
    coherence: Option<f64>,
    /// Stories that it gave no rating.
    unrated: Option<usize>,
}

#[derive(Serialize)]
struct Matched {
    precision: f64,
    recall: f64,
    f1: f64,
}

pub fn run(args: &MetricsArgs) -> Result<()> {
    crate::source::use_threads(args.threads)?;
    let lines = read(&args.file)?;
    let mut found = of_texts(&lines);
    if let Some(dir) = &args.encoder {
        found.diversity = diversity(&Encoder::load(dir, None)?, &lines)?;
        if found.bleu.is_some() {
            found.bert_score = Some(matched(&Encoder::load(dir, args.layer)?, &lines, args.idf)?);
        }
    }
    if let Some(rater) = args.rater.rater() {
        let ratings = rater.coherence(&stories(&lines))?;
        let rated: Vec<f64> = ratings.iter().flatten().copied().collect();
        (found.coherence, found.unrated) = (mean(&rated), Some(ratings.len() - rated.len()));
    }
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string(&found)?)?,
        false => write_table(&mut out, &found)?,
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Outputs>> {
    let file = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let numbered = file.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let mut lines = Vec::new();
    for (line, number) in numbered {
        let outputs = Outputs::parse(line).with_context(|| format!("{}:{number}", path.display()))?;
        if lines.first().is_some_and(|first: &Outputs| first.references.is_empty() != outputs.references.is_empty()) {
            bail!("{}:{number}: some lines have references and some have none; give all or none", path.display());
        }
        lines.push(outputs);
    }
    if lines.is_empty() {
        bail!("{}: there are no lines in it", path.display());
    }
    Ok(lines)
}

impl Outputs {
    fn parse(line: &str) -> Result<Self> {
        let Line { text, texts, reference, references, x, y } = serde_json::from_str(line)?;
        let texts = match (text, texts) {
            (Some(text), None) => vec![text],
            (None, Some(texts)) if !texts.is_empty() => texts,
            _ => bail!("either \"text\" or a list \"texts\" that is not empty is needed"),
        };
        let references = match (reference, references) {
            (Some(reference), None) => vec![reference],
            (None, references) => references.unwrap_or_default(),
            (Some(_), Some(_)) => bail!("\"reference\" and \"references\" exclude each other"),
        };
        Ok(Self { texts, references, around: [x, y] })
    }

    fn references(&self) -> Vec<&str> {
        self.references.iter().map(String::as_str).collect()
    }
}

/// What needs no encoder.
fn of_texts(lines: &[Outputs]) -> Metrics {
    let (mut bleus, mut bleu_sentence, mut gleus, mut gleu_sentence) = (vec![], vec![], vec![], vec![]);
    for line in lines.iter().filter(|line| !line.references.is_empty()) {
        let reference_tokens: Vec<Vec<String>> = line.references.iter().map(|text| tokenize_13a(text)).collect();
        for text in &line.texts {
            let tokens = tokenize_13a(text);
            bleus.push(bleu::Statistics::of(text, &line.references()));
            bleu_sentence.push(bleu::sentence(text, &line.references()));
            gleus.push(gleu::Statistics::of(&tokens, &reference_tokens));
            gleu_sentence.push(gleu::sentence(&tokens, &reference_tokens));
        }
    }
    let any = !bleus.is_empty();
    Metrics {
        n: lines.len(),
        n_texts: lines.iter().map(|line| line.texts.len()).sum(),
        bleu: any.then(|| bleu::corpus(bleus)),
        bleu_sentence: mean(&bleu_sentence),
        gleu: any.then(|| gleu::corpus(gleus)),
        gleu_sentence: mean(&gleu_sentence),
        bert_score: None,
        diversity: None,
        coherence: None,
        unrated: None,
    }
}

fn diversity(encoder: &Encoder, lines: &[Outputs]) -> Result<Option<f64>> {
    let mut distances = Vec::new();
    for line in lines.iter().filter(|line| line.texts.len() > 1) {
        distances.extend(mean_pairwise_cosine_distance(&encoder.embed(&line.texts)?));
    }
    Ok(mean(&distances))
}

/// Means of BERTScore over all texts.
fn matched(encoder: &Encoder, lines: &[Outputs], idf: bool) -> Result<Matched> {
    // A reference counts once for every text that is held against it, as `bert-score` has it.
    let per_text = lines.iter().flat_map(|line| std::iter::repeat_n(&line.references, line.texts.len()));
    let references: Vec<&String> = per_text.flatten().collect();
    let idf = idf.then(|| inverse_document_frequencies(encoder, &references)).transpose()?;
    let mut scores: Vec<BertScore> = Vec::new();
    for line in lines {
        scores.extend(bert_scores(encoder, &line.texts, &line.references, idf.as_ref())?);
    }
    let mean = |field: fn(&BertScore) -> f64| mean(&scores.iter().map(field).collect::<Vec<_>>()).unwrap_or(0.0);
    Ok(Matched { precision: mean(|s| s.precision), recall: mean(|s| s.recall), f1: mean(|s| s.f1) })
}

/// Every text in its place in its line's story.
fn stories(lines: &[Outputs]) -> Vec<String> {
    let of = |line: &Outputs| {
        let [x, y] = line.around.each_ref().map(|part| part.as_deref().unwrap_or_default());
        line.texts.iter().map(|text| whole_story(x, text, y)).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of).collect()
}

fn write_table(out: &mut impl Write, found: &Metrics) -> Result<()> {
    writeln!(out, "{} lines, {} texts", found.n, found.n_texts)?;
    let of = |field: fn(&Matched) -> f64| found.bert_score.as_ref().map(field);
    let rows = [
        ("BLEU-4 of the corpus, of 100", found.bleu),
        ("BLEU-4, mean over texts", found.bleu_sentence),
        ("GLEU-4 of the corpus, of 1", found.gleu),
        ("GLEU-4, mean over texts", found.gleu_sentence),
        ("BERTScore, precision", of(|s| s.precision)),
        ("BERTScore, recall", of(|s| s.recall)),
        ("BERTScore, F1", of(|s| s.f1)),
        ("diversity: cosine distance between a line's texts", found.diversity),
        ("coherence of stories, of 1 to 5", found.coherence),
        ("stories without a rating", found.unrated.filter(|unrated| *unrated > 0).map(|unrated| unrated as f64)),
    ];
    let mut table = Table::new(&["value", ""]);
    for (name, value) in rows.into_iter().filter(|(_, value)| value.is_some()) {
        table.push(vec![number(value), name.into()]);
    }
    Ok(table.write(out)?)
}
