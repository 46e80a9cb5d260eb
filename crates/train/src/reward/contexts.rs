//! The texts around Z that a likelihood reads.

use std::collections::BTreeSet;

use amortize_gfn::Query;
use amortize_lm::tokenizer::Tokenizer;
use amortize_lm::{LmError, ModelInfo};

use crate::config::{Classifier, Likelihood, Term, TermKind};
use crate::template::Template;

/// Where the texts come from.
#[derive(Clone, Debug)]
pub(super) enum Contexts {
    /// The query's own tokens: X before Z and, where it follows, Y after it.
    OfQuery { y_follows: bool },
    /// Texts that are made of the query's.
    OfTexts { before: Template, given: Template, afters: Vec<Template> },
}

/// What is read around a query's Z.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Before it.
    pub before: Vec<u32>,
    /// After it and its stop, without being scored.
    pub given: Vec<u32>,
    /// What is scored after that: alternatives, each on its own.
    pub afters: Vec<Vec<u32>>,
}

impl Contexts {
    pub fn of_likelihood(term: &Likelihood) -> Self {
        let (before, after) = (Template::new(&term.prefix), Template::new(&term.suffix));
        Self::OfTexts { before, given: Template::new(""), afters: vec![after] }
    }

    /// The label first, then its rivals.
    pub fn of_classifier(term: &Classifier) -> Self {
        let (before, given) = halves(term);
        let afters = [&term.label].into_iter().chain(&term.others).map(|text| Template::new(text)).collect();
        Self::OfTexts { before, given, afters }
    }

    pub fn of(&self, query: &Query, tokenizer: &Tokenizer) -> Result<Context, LmError> {
        let (before, given, afters) = match self {
            Self::OfQuery { y_follows } => {
                let y = if *y_follows { query.y.clone() } else { Vec::new() };
                return Ok(Context { before: query.x.clone(), given: Vec::new(), afters: vec![y] });
            }
            Self::OfTexts { before, given, afters } => (before, given, afters),
        };
        let completion = |template: &Template| tokenizer.encode_completion(&template.fill(&query.texts));
        Ok(Context {
            before: tokenizer.encode_prompt(&before.fill_prompt(&query.texts))?,
            given: completion(given)?,
            afters: afters.iter().map(completion).collect::<Result<_, _>>()?,
        })
    }
}

/// Whether the base model can read the longest text that the terms make of a query.
///
/// # Errors
/// If it is longer than the model's context; the message names the term by its number.
pub fn check_context(terms: &[Term], query: &Query, model: &ModelInfo, max_length: usize) -> Result<(), LmError> {
    for (number, term) in (1..).zip(terms) {
        let (contexts, stop) = match &term.kind {
            TermKind::Likelihood(term) => (Contexts::of_likelihood(term), usize::from(term.stop)),
            TermKind::Classifier(term) => (Contexts::of_classifier(term), 0),
            _ => continue,
        };
        let Context { before, given, afters } = contexts.of(query, &model.tokenizer)?;
        let after = given.len() + afters.iter().map(Vec::len).max().unwrap_or(0);
        // The last token is predicted and need not be read.
        let (longest, context) =
            (before.len() + max_length + (stop + after).saturating_sub(1), model.config.max_positions);
        if longest > context {
            return Err(LmError::Sequence(format!(
                "the text of reward term {number} with up to {max_length} tokens of Z exceeds the model's context of \
                 {context} by {}; shorten the texts or lower the maximum length",
                longest - context
            )));
        }
    }
    Ok(())
}

/// The texts before and after Z.
fn halves(term: &Classifier) -> (Template, Template) {
    let (before, given) = term.template.split_once("{z}").unwrap_or((&term.template, ""));
    (Template::new(before), Template::new(given))
}

/// The fields of the data that terms have places for.
pub fn field_names(terms: &[Term]) -> BTreeSet<String> {
    let templates = terms.iter().flat_map(|term| match &term.kind {
        TermKind::Likelihood(Likelihood { prefix, suffix, .. }) => vec![Template::new(prefix), Template::new(suffix)],
        TermKind::Classifier(term) => {
            let (before, given) = halves(term);
            let labels = term.others.iter().chain([&term.label]).map(|text| Template::new(text));
            [before, given].into_iter().chain(labels).collect()
        }
        _ => Vec::new(),
    });
    templates.flat_map(|template| template.fields().map(String::from).collect::<Vec<_>>()).collect()
}
