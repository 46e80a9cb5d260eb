//! What is asked: a prompt X and a target Y, and how the policy is told of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hash::stable_hash;

/// A prompt X and a target Y, as token ids; the latent Z between them is what the policy samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A stable hash of X and Y, which decide the rewards: the key of replay buffers and logs, equal between runs.
    pub id: u64,
    /// What the policy reads before Z: X, or a text that tells it of both X and Y (paper, section 3.3).
    pub prompt: Vec<u32>,
    /// The tokens before Z, as the reward reads them.
    pub x: Vec<u32>,
    /// The tokens after Z, as the reward reads them; empty where the task has no Y.
    pub y: Vec<u32>,
    /// The texts that it was made of, by name, for rewards that read texts.
    pub texts: Arc<BTreeMap<String, String>>,
}

impl Query {
    /// A query whose policy reads X, with its id computed from the tokens. The length of `x` is hashed too, so moving
    /// a token from X to Y makes another query.
    pub fn new(x: Vec<u32>, y: Vec<u32>) -> Self {
        let length = (x.len() as u64).to_le_bytes();
        let tokens = x.iter().chain(&y).flat_map(|token| token.to_le_bytes());
        let id = stable_hash(length.into_iter().chain(tokens));
        Self { id, prompt: x.clone(), x, y, texts: Arc::default() }
    }

    /// The same X and Y, told to the policy in these tokens.
    pub fn with_prompt(self, prompt: Vec<u32>) -> Self {
        Self { prompt, ..self }
    }

    /// The same with its texts. Those other than `"x"` and `"y"`, whose tokens the id has already, may decide rewards
    /// too, and make another query.
    pub fn with_texts(self, texts: BTreeMap<String, String>) -> Self {
        let others = texts.iter().filter(|(name, _)| !["x", "y"].contains(&name.as_str()));
        let id = others.fold(self.id, |id, (name, text)| {
            let lengths = [id, name.len() as u64, text.len() as u64];
            let bytes = lengths.into_iter().flat_map(u64::to_le_bytes);
            stable_hash(bytes.chain(name.bytes()).chain(text.bytes()))
        });
        Self { id, texts: Arc::new(texts), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_the_tokens_and_on_the_split_only() {
        let query = Query::new(vec![1, 2], vec![3]);
        assert_eq!(query.id, Query::new(vec![1, 2], vec![3]).id);
        assert_ne!(query.id, Query::new(vec![1], vec![2, 3]).id);
        assert_ne!(query.id, Query::new(vec![2, 1], vec![3]).id);
    }

    /// The prompt changes what the policy is told, and no reward.
    #[test]
    fn a_prompt_stands_for_x_alone() {
        let query = Query::new(vec![1, 2], vec![3]);
        assert_eq!(query.prompt, query.x);
        let prompted = query.clone().with_prompt(vec![9, 1, 2, 3, 9]);
        assert_eq!((prompted.id, &prompted.x, &prompted.y), (query.id, &query.x, &query.y));
        assert_eq!(prompted.prompt, [9, 1, 2, 3, 9]);
    }

    #[test]
    fn texts_that_tokens_do_not_tell_make_another_query() {
        let texts =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let query = Query::new(vec![1], vec![2]);
        let id = |pairs| query.clone().with_texts(texts(pairs)).id;
        assert_eq!(id(&[("x", "a"), ("y", "b")]), query.id);
        let ids = [id(&[("t", "ab")]), id(&[("ta", "b")]), id(&[("t", "ac")]), id(&[("a", ""), ("t", "ab")]), query.id];
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
    }

    /// Buffers on disk are keyed by this number: it must never change.
    #[test]
    fn ids_never_change() {
        assert_eq!(Query::new(vec![], vec![]).id, QUERY_EMPTY);
        assert_eq!(Query::new(vec![1, 2], vec![3]).id, QUERY_123);
    }

    const QUERY_EMPTY: u64 = 9_313_164_154_874_788_883;
    const QUERY_123: u64 = 16_812_120_002_584_778_702;
}
