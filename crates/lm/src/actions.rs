//! The action space of a policy over text: which tokens may follow a prefix, and what ends it.
//!
//! A [`StopRule`] says which tokens end a sequence. Any of them does: the policy's probability of
//! stopping is the sum of theirs. An [`ActionSpace`] adds which tokens may be drawn at all and how long
//! a sequence may be, and works out every mask beforehand, so that each prefix that can be drawn also
//! can be ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use regex::Regex;

use crate::error::{LmError, Result};
use crate::tokenizer::Tokenizer;

/// The longest sequence an action space may have; the masks of every length are tabulated.
const LONGEST: usize = 1 << 16;

/// A set of tokens; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenMask {
    vocab_size: usize,
    words: Arc<[u64]>,
}

impl TokenMask {
    /// Every token below `vocab_size`.
    pub fn all(vocab_size: usize) -> Self {
        Self::from_fn(vocab_size, |_| true)
    }

    /// The tokens for which `keep` holds.
    pub fn from_fn(vocab_size: usize, keep: impl Fn(u32) -> bool) -> Self {
        let mut words = vec![0; vocab_size.div_ceil(64)];
        for token in (0..vocab_size).filter(|&token| keep(token as u32)) {
            words[token / 64] |= 1 << (token % 64);
        }
        Self { vocab_size, words: words.into() }
    }

    /// These tokens less `ids`.
    pub fn without(&self, ids: &[u32]) -> Self {
        let removed: BTreeSet<_> = ids.iter().collect();
        Self::from_fn(self.vocab_size, |token| self.allowed(token) && !removed.contains(&token))
    }

    /// Those of these tokens that are in `ids`.
    pub fn only(&self, ids: &[u32]) -> Self {
        let kept: BTreeSet<_> = ids.iter().collect();
        Self::from_fn(self.vocab_size, |token| self.allowed(token) && kept.contains(&token))
    }

    /// Whether the token is in the set.
    pub fn allowed(&self, token: u32) -> bool {
        let word = self.words.get(token as usize / 64);
        word.is_some_and(|word| word >> (token % 64) & 1 == 1)
    }

    /// How many tokens are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many tokens there are, in the set or not.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The set as bits: token t is bit t % 64 of word t / 64. Bits past the vocabulary are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

/// The tokens whose text the expression matches somewhere; write `^...$` for the whole text. Special
/// tokens count with their visible text.
pub fn tokens_matching(tokenizer: &Tokenizer, regex: &Regex) -> Vec<u32> {
    let all = 0..tokenizer.vocab_size() as u32;
    all.filter(|&token| regex.is_match(tokenizer.token_text(token))).collect()
}

/// What ends a sequence: certain tokens, or a text that the sequence together with its last token ends
/// in.
///
/// What the text so far means for the next stop is kept as a state: the longest end of it that begins
/// a stop string. Stop tokens need one state only.
#[derive(Debug, Clone)]
pub struct StopRule {
    states: Vec<State>,
    /// `next[state * vocab + token]`; empty where there is one state.
    next: Vec<u16>,
    vocab: usize,
}

/// The tokens that end a sequence in this state, sorted.
#[derive(Debug, Clone, Default)]
struct State {
    enders: Vec<u32>,
    /// Those of the enders that are nothing but a piece of the stop.
    pure: Vec<u32>,
}

impl StopRule {
    /// Each of these tokens ends a sequence.
    pub fn tokens(ids: &[u32]) -> Self {
        let mut enders = ids.to_vec();
        enders.sort_unstable();
        enders.dedup();
        let pure = enders.clone();
        Self { states: vec![State { enders, pure }], next: vec![], vocab: 0 }
    }

    /// A token ends a sequence if the sequence's text with that token ends in one of these strings. So
    /// does "dog." for ".", but not ".com"; and for "\n\n" a "\n" does after a token that ends in "\n".
    pub fn strings(strings: &[&str], tokenizer: &Tokenizer) -> Result<Self> {
        let texts: Vec<&[u8]> = (0..tokenizer.vocab_size() as u32).map(|token| tokenizer.token_bytes(token)).collect();
        Self::endings(strings, &texts)
    }

    fn endings(strings: &[&str], texts: &[&[u8]]) -> Result<Self> {
        let automaton = Automaton::new(strings)?;
        let mut rule = Self { states: vec![], next: vec![], vocab: texts.len() };
        for (number, read) in automaton.prefixes.iter().enumerate() {
            let mut state = State::default();
            for (token, text) in (0..).zip(texts) {
                let next = automaton.after(number as u16, text);
                rule.next.push(next);
                if automaton.ended[next as usize] && !text.is_empty() {
                    state.enders.push(token);
                    if is_piece_of_stop(read, text, strings) {
                        state.pure.push(token);
                    }
                }
            }
            rule.states.push(state);
        }
        if rule.states.iter().all(|state| state.enders.is_empty()) {
            return Err(LmError::Actions(format!("no token can complete any of the stop strings {strings:?}")));
        }
        Ok(rule)
    }

    fn after(&self, state: usize, token: u32) -> usize {
        let token = token as usize;
        if token < self.vocab { self.next[state * self.vocab + token] as usize } else { state }
    }
}

/// Whether `text`, which completes a stop string after `read`, lies within that string.
fn is_piece_of_stop(read: &[u8], text: &[u8], strings: &[&str]) -> bool {
    let whole = [read, text].concat();
    strings.iter().map(|stop| stop.as_bytes()).any(|stop| whole.ends_with(stop) && stop.ends_with(text))
}

/// Recognises strings at the end of a text read byte by byte (Aho and Corasick's machine).
struct Automaton {
    /// Every prefix of every string; the first is empty.
    prefixes: Vec<Vec<u8>>,
    /// The state after one more byte.
    step: Vec<[u16; 256]>,
    /// Whether a text in this state ends in one of the strings.
    ended: Vec<bool>,
}

impl Automaton {
    fn new(strings: &[&str]) -> Result<Self> {
        if strings.iter().any(|stop| stop.is_empty()) {
            return Err(LmError::Actions("an empty stop string would end every text".into()));
        }
        let of_string = |stop: &&str| -> Vec<Vec<u8>> {
            let bytes = stop.as_bytes();
            (0..=bytes.len()).map(|len| bytes[..len].to_vec()).collect()
        };
        let prefixes: BTreeSet<Vec<u8>> = strings.iter().flat_map(of_string).collect();
        if prefixes.len() > usize::from(u16::MAX) {
            return Err(LmError::Actions("the stop strings are too long".into()));
        }
        let number: BTreeMap<&[u8], u16> = prefixes.iter().map(Vec::as_slice).zip(0..).collect();
        let longest_end = |text: &[u8]| (0..text.len()).find_map(|start| number.get(&text[start..])).map_or(0, |&n| n);
        let step_of =
            |prefix: &Vec<u8>| std::array::from_fn(|byte| longest_end(&[prefix.as_slice(), &[byte as u8]].concat()));
        let ends = |prefix: &Vec<u8>| strings.iter().any(|stop| prefix.ends_with(stop.as_bytes()));
        Ok(Self {
            step: prefixes.iter().map(step_of).collect(),
            ended: prefixes.iter().map(ends).collect(),
            prefixes: prefixes.into_iter().collect(),
        })
    }

    fn after(&self, state: u16, text: &[u8]) -> u16 {
        text.iter().fold(state, |state, &byte| self.step[state as usize][byte as usize])
    }
}

/// Names one of an action space's distinct masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaskId(u32);

impl MaskId {
    /// The mask's position in [`ActionSpace::masks`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The tokens that end a sequence here, sorted; empty where it may not end.
pub type StopActions = Arc<[u32]>;

/// What may happen after a prefix.
#[derive(Debug, Clone)]
pub struct Step {
    /// The tokens that may be drawn, stop actions included.
    pub mask: MaskId,
    /// Those of them that end the sequence.
    pub stop: StopActions,
    /// Whether the prefix has the greatest length: the mask holds stop actions only.
    pub forced: bool,
}

/// The sequences a policy may draw, each a z of `min_length` to `max_length` ordinary tokens and then
/// one stop action, which is not counted.
#[derive(Debug, Clone)]
pub struct ActionSpace {
    /// Fewest tokens before the stop.
    pub min_length: usize,
    /// Most tokens before the stop.
    pub max_length: usize,
    rule: StopRule,
    /// The stop actions in each state of the rule, where stopping is allowed.
    stops: Vec<StopActions>,
    nowhere: StopActions,
    /// The mask at each length in each state.
    table: Vec<Vec<MaskId>>,
    masks: Vec<TokenMask>,
}

impl ActionSpace {
    /// The sequences of `allowed` tokens that `stop` ends.
    ///
    /// Stop tokens and tokens that are nothing but a piece of a stop string need not be in `allowed`;
    /// one that ends in a stop string but begins with other text ("dog.") must be, to be a stop action.
    /// A token after which the text could no longer be ended in time is masked: with the stop "\n\n" and
    /// no such token, the last of `max_length` tokens has to end in "\n". Fails if nothing can be drawn.
    pub fn new(
        vocab_size: usize,
        allowed: TokenMask,
        stop: StopRule,
        min_length: usize,
        max_length: usize,
    ) -> Result<Self> {
        validate(vocab_size, &allowed, &stop, min_length, max_length)?;
        let may_end = |state: &State, token: u32| allowed.allowed(token) || state.pure.binary_search(&token).is_ok();
        let stops = stop.states.iter().map(|state| {
            let enders = state.enders.iter().copied();
            enders.filter(|&token| may_end(state, token)).collect()
        });
        let mut space = Self {
            min_length,
            max_length,
            stops: stops.collect(),
            rule: stop,
            nowhere: [].into(),
            table: vec![],
            masks: vec![],
        };
        space.tabulate(&allowed);
        if space.masks[space.table[0][0].index()].count() == 0 {
            return Err(LmError::Actions(format!(
                "no sequence of {min_length} to {max_length} allowed tokens can be followed by a stop; allow more \
                 tokens, other stops or other lengths"
            )));
        }
        Ok(space)
    }

    /// What may happen after `z`. If `z` itself can't be drawn (see [`check`](Self::check)) the mask may
    /// be empty.
    pub fn at(&self, z: &[u32]) -> Step {
        let state = z.iter().fold(0, |state, &token| self.rule.after(state, token));
        let length = z.len().min(self.max_length);
        let may_stop = length >= self.min_length;
        Step {
            mask: self.table[length][state],
            stop: if may_stop { &self.stops[state] } else { &self.nowhere }.clone(),
            forced: length == self.max_length,
        }
    }

    /// The mask of that name.
    pub fn mask(&self, id: MaskId) -> &TokenMask {
        &self.masks[id.index()]
    }

    /// All distinct masks, in the order of their names.
    pub fn masks(&self) -> &[TokenMask] {
        &self.masks
    }

    /// Whether `z` and then `stop_token` can be drawn, that is, has positive probability; if not, says
    /// which token or length is at fault. Without a stop token: whether `z` can be drawn and may stop.
    pub fn check(&self, z: &[u32], stop_token: Option<u32>) -> std::result::Result<(), String> {
        if z.len() > self.max_length {
            return Err(format!("z has {} tokens, more than max_length = {}", z.len(), self.max_length));
        }
        for (i, &token) in z.iter().enumerate() {
            self.check_ordinary(&z[..i], token).map_err(|fault| format!("token {token} at position {i} {fault}"))?;
        }
        if z.len() < self.min_length {
            return Err(format!("z has {} tokens, fewer than min_length = {}", z.len(), self.min_length));
        }
        let stop = self.at(z).stop;
        match stop_token {
            Some(token) if !stop.contains(&token) => Err(format!("token {token} does not stop the sequence after z")),
            None if stop.is_empty() => Err("no token stops the sequence after z".into()),
            _ => Ok(()),
        }
    }

    fn check_ordinary(&self, before: &[u32], token: u32) -> std::result::Result<(), &'static str> {
        let state = before.iter().fold(0, |state, &token| self.rule.after(state, token));
        if self.rule.states[state].enders.binary_search(&token).is_ok() {
            return Err("completes a stop, after which z can't go on");
        }
        if !self.mask(self.at(before).mask).allowed(token) {
            return Err("is masked: it is not allowed, or leaves no way to stop in time");
        }
        Ok(())
    }

    /// Fills the table of masks from the greatest length backwards: a token may be drawn if the state it
    /// leads to has something to draw in its turn.
    fn tabulate(&mut self, allowed: &TokenMask) {
        let mut by_content: HashMap<TokenMask, MaskId> = HashMap::new();
        let mut by_cause: HashMap<(usize, bool, Option<Vec<bool>>), MaskId> = HashMap::new();
        let mut alive_next: Option<Vec<bool>> = None;
        for length in (0..=self.max_length).rev() {
            let may_stop = length >= self.min_length;
            let mut row = Vec::with_capacity(self.stops.len());
            for state in 0..self.stops.len() {
                let id = *by_cause.entry((state, may_stop, alive_next.clone())).or_insert_with(|| {
                    let mask = self.mask_in(state, may_stop, alive_next.as_deref(), allowed);
                    *by_content.entry(mask).or_insert_with_key(|mask| {
                        self.masks.push(mask.clone());
                        MaskId(self.masks.len() as u32 - 1)
                    })
                });
                row.push(id);
            }
            alive_next = Some(row.iter().map(|id| self.masks[id.index()].count() > 0).collect());
            self.table.push(row);
        }
        self.table.reverse();
    }

    /// The mask in a state of the rule; `alive_next` tells which states the next token may lead to, none
    /// where only a stop may follow.
    fn mask_in(&self, state: usize, may_stop: bool, alive_next: Option<&[bool]>, allowed: &TokenMask) -> TokenMask {
        TokenMask::from_fn(allowed.vocab_size, |token| {
            if self.rule.states[state].enders.binary_search(&token).is_ok() {
                return may_stop && self.stops[state].binary_search(&token).is_ok();
            }
            let goes_on = |alive: &[bool]| alive[self.rule.after(state, token)];
            allowed.allowed(token) && alive_next.is_some_and(goes_on)
        })
    }
}

fn validate(
    vocab_size: usize,
    allowed: &TokenMask,
    stop: &StopRule,
    min_length: usize,
    max_length: usize,
) -> Result<()> {
    let refuse = |problem: String| Err(LmError::Actions(problem));
    if allowed.vocab_size != vocab_size {
        return refuse(format!("the mask is over {} tokens, the model has {vocab_size}", allowed.vocab_size));
    }
    if max_length == 0 || max_length > LONGEST {
        return refuse(format!("max_length must be from 1 to {LONGEST}, not {max_length}"));
    }
    if min_length > max_length {
        return refuse(format!("min_length = {min_length} is more than max_length = {max_length}"));
    }
    let mut enders = stop.states.iter().flat_map(|state| &state.enders);
    if let Some(token) = enders.find(|&&token| token as usize >= vocab_size) {
        return refuse(format!("stop token {token} is not below the vocabulary size {vocab_size}"));
    }
    if stop.states.iter().all(|state| state.enders.is_empty()) {
        return refuse("there is no stop token".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn space(texts: &[&str], stops: &[&str], allowed: TokenMask, lengths: [usize; 2]) -> Result<ActionSpace> {
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let rule = StopRule::endings(stops, &bytes)?;
        ActionSpace::new(texts.len(), allowed, rule, lengths[0], lengths[1])
    }

    fn drawable(space: &ActionSpace, z: &[u32]) -> Vec<u32> {
        let mask = space.mask(space.at(z).mask);
        (0..mask.vocab_size() as u32).filter(|&token| mask.allowed(token)).collect()
    }

    #[test]
    fn masks_are_sets() {
        let mask = TokenMask::all(70).without(&[0, 69, 500]);
        assert_eq!((mask.count(), mask.vocab_size(), mask.words().len()), (68, 70, 2));
        assert!(mask.allowed(64) && !mask.allowed(69) && !mask.allowed(70) && !mask.allowed(500));
        let few = mask.only(&[0, 3, 65, 500]);
        assert_eq!(few.words(), [1 << 3, 1 << 1]);
        assert_eq!(TokenMask::all(70).words()[1], (1 << 6) - 1);
    }

    #[test]
    fn stop_tokens_are_masked_below_the_minimum_and_forced_at_the_maximum() {
        let space = ActionSpace::new(6, TokenMask::all(6).only(&[1, 2, 4]), StopRule::tokens(&[5, 4]), 1, 2).unwrap();
        assert_eq!(drawable(&space, &[]), [1, 2]);
        assert!(space.at(&[]).stop.is_empty());
        assert_eq!(drawable(&space, &[1]), [1, 2, 4, 5]);
        assert_eq!(space.at(&[1]).stop[..], [4, 5]);
        assert_eq!(drawable(&space, &[1, 2]), [4, 5]);
        assert_eq!([&[1][..], &[1, 2]].map(|z| space.at(z).forced), [false, true]);
        assert_eq!(space.masks().len(), 3);
    }

    #[test]
    fn a_stop_string_ends_a_text_and_not_a_token_that_contains_it() {
        let texts = ["dog", ".", "dog.", ".com", "!", ""];
        let space = space(&texts, &[".", "!"], TokenMask::all(6), [0, 3]).unwrap();
        assert_eq!(space.at(&[]).stop[..], [1, 2, 4]);
        assert_eq!(drawable(&space, &[3]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(drawable(&space, &[3, 5, 0]), [1, 2, 4]);
    }

    #[test]
    fn a_stop_string_may_be_completed_by_a_later_token() {
        let texts = ["a", "\n", "a\n", "\n\n"];
        let with_whole = space(&texts, &["\n\n"], TokenMask::all(4), [0, 5]).unwrap();
        assert_eq!(with_whole.at(&[]).stop[..], [3]);
        assert_eq!(with_whole.at(&[2]).stop[..], [1, 3]);
        assert_eq!(with_whole.at(&[1, 0]).stop[..], [3]);

        let without = space(&texts[..3], &["\n\n"], TokenMask::all(3), [0, 2]).unwrap();
        assert!(without.at(&[0]).stop.is_empty());
        assert_eq!(drawable(&without, &[0]), [1, 2], "the last token has to end in a newline");
        assert_eq!(drawable(&without, &[0, 2]), [1]);
        assert!(without.at(&[0, 2]).forced);
    }

    #[test]
    fn a_disallowed_token_stops_only_if_it_is_nothing_but_the_stop() {
        let texts = ["a", ".", "3.", " ."];
        let space = space(&texts, &["."], TokenMask::all(4).only(&[0, 3]), [0, 3]).unwrap();
        assert_eq!(space.at(&[0]).stop[..], [1, 3]);
        assert_eq!(drawable(&space, &[0]), [0, 1, 3]);
    }

    #[test]
    fn a_space_without_sequences_is_refused() {
        let refusal = |result: Result<ActionSpace>| result.unwrap_err().to_string();
        let all = TokenMask::all(2);
        let stop = || StopRule::tokens(&[1]);
        for (result, words) in [
            (ActionSpace::new(2, all.clone(), stop(), 3, 2), "min_length = 3"),
            (ActionSpace::new(2, all.clone(), stop(), 0, 0), "max_length"),
            (ActionSpace::new(2, all.clone(), stop(), 0, usize::MAX), "max_length"),
            (ActionSpace::new(3, all.clone(), stop(), 0, 2), "over 2 tokens"),
            (ActionSpace::new(2, all.clone(), StopRule::tokens(&[2]), 0, 2), "stop token 2"),
            (ActionSpace::new(2, all.clone(), StopRule::tokens(&[]), 0, 2), "no stop token"),
            (ActionSpace::new(2, all.without(&[0]), stop(), 1, 2), "1 to 2 allowed tokens"),
            (space(&["a", ""], &["c"], all.clone(), [0, 2]), "[\"c\"]"),
            (space(&["a", "b"], &["a", ""], all.clone(), [0, 2]), "empty stop string"),
            (space(&["a", "."], &[".."], all, [0, 0]), "max_length"),
        ] {
            let message = refusal(result);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn check_names_what_makes_a_trajectory_impossible() {
        let space = ActionSpace::new(4, TokenMask::all(4).without(&[2]), StopRule::tokens(&[3]), 1, 2).unwrap();
        assert_eq!(space.check(&[0, 1], Some(3)), Ok(()));
        assert_eq!(space.check(&[0], None), Ok(()));
        for (z, stop, words) in [
            (&[0, 0, 0][..], Some(3), "3 tokens, more than max_length = 2"),
            (&[], Some(3), "0 tokens, fewer than min_length = 1"),
            (&[0, 2], Some(3), "token 2 at position 1 is masked"),
            (&[3, 0], Some(3), "token 3 at position 0 completes a stop"),
            (&[0, 9], Some(3), "token 9 at position 1"),
            (&[0], Some(1), "token 1 does not stop"),
        ] {
            let fault = space.check(z, stop).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
        let texts = ["a", "."];
        let dots = super::tests::space(&texts, &[".."], TokenMask::all(2), [0, 3]).unwrap();
        assert!(dots.check(&[0], None).unwrap_err().contains("no token stops"));
        assert_eq!(dots.check(&[0, 1], None), Ok(()));
    }

    #[test]
    fn tokens_are_selected_by_their_text() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama-tiny");
        let config = crate::config::ModelConfig::read(&dir).unwrap();
        let tokenizer = Tokenizer::read(&dir, &config).unwrap();
        let digits = tokens_matching(&tokenizer, &Regex::new("^ ?[0-9]$").unwrap());
        let expected: Vec<u32> = (0..tokenizer.vocab_size() as u32)
            .filter(|&token| {
                let text = tokenizer.decode(&[0, token])["<unk>".len()..].to_string();
                text.trim_start_matches(' ').parse::<u8>().is_ok_and(|digit| digit < 10) && text.len() <= 2
            })
            .collect();
        assert!(digits.len() >= 10, "bytes 0 to 9 at least");
        assert_eq!(digits, expected);

        let rule = StopRule::strings(&["."], &tokenizer).unwrap();
        let space = ActionSpace::new(config.vocab_size, TokenMask::all(config.vocab_size), rule, 0, 8).unwrap();
        let ending: Vec<u32> =
            (0..tokenizer.vocab_size() as u32).filter(|&token| tokenizer.decode(&[0, token]).ends_with('.')).collect();
        assert_eq!(space.at(&[]).stop[..], ending);
    }

    /// The definition of an action space, word for word, on texts.
    struct Definition<'a> {
        texts: &'a [String],
        stops: &'a [String],
        allowed: &'a [bool],
        lengths: [usize; 2],
    }

    impl Definition<'_> {
        fn ended_by(&self, z: &[u32], token: u32) -> Option<&String> {
            let text = &self.texts[token as usize];
            let whole: String = z.iter().map(|&t| self.texts[t as usize].as_str()).chain([text.as_str()]).collect();
            let ends = |stop: &&String| !text.is_empty() && whole.ends_with(stop.as_str());
            // Of several stops that end here, one that the token is a piece of.
            let mut found: Vec<_> = self.stops.iter().filter(ends).collect();
            found.sort_by_key(|stop| !stop.ends_with(text.as_str()));
            found.first().copied()
        }

        fn stops_at(&self, z: &[u32]) -> Vec<u32> {
            let stops = |&token: &u32| {
                let allowed = self.allowed[token as usize];
                self.ended_by(z, token).is_some_and(|stop| allowed || stop.ends_with(&self.texts[token as usize]))
            };
            let tokens = 0..self.texts.len() as u32;
            if z.len() < self.lengths[0] { vec![] } else { tokens.filter(stops).collect() }
        }

        fn continuations(&self, z: &[u32]) -> Vec<u32> {
            let goes_on = |&token: &u32| {
                let next = [z, &[token]].concat();
                self.allowed[token as usize] && self.ended_by(z, token).is_none() && self.can_end(&next)
            };
            let tokens = 0..self.texts.len() as u32;
            if z.len() == self.lengths[1] { vec![] } else { tokens.filter(goes_on).collect() }
        }

        fn can_end(&self, z: &[u32]) -> bool {
            !self.stops_at(z).is_empty() || !self.continuations(z).is_empty()
        }

        /// Compares every sequence that can be drawn from `z` on, and what `check` says of its neighbours.
        fn compare(&self, space: &ActionSpace, z: &[u32]) {
            let (stops, continuations) = (self.stops_at(z), self.continuations(z));
            let step = space.at(z);
            assert_eq!(step.stop[..], stops, "stops after {z:?}");
            assert_eq!(step.forced, z.len() == self.lengths[1]);
            let mut mask = [&stops[..], &continuations].concat();
            mask.sort();
            assert_eq!(drawable(space, z), mask, "mask after {z:?}");
            for token in 0..self.texts.len() as u32 {
                assert_eq!(space.check(z, Some(token)).is_ok(), stops.contains(&token), "{z:?} then {token}");
                let next = [z, &[token]].concat();
                if continuations.contains(&token) {
                    self.compare(space, &next);
                } else {
                    assert!(space.check(&next, None).is_err(), "{next:?} can't be drawn");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_step_is_what_the_texts_say(
            texts in prop::collection::vec("[ab.]{0,3}", 1..5),
            stops in prop::collection::vec("[b.]{1,3}", 1..3),
            allowed in prop::collection::vec(any::<bool>(), 5),
            min_length in 0usize..3,
            more in 0usize..3,
        ) {
            let lengths = [min_length, (min_length + more).max(1)];
            let definition = Definition { texts: &texts, stops: &stops, allowed: &allowed, lengths };
            let mask = TokenMask::from_fn(texts.len(), |token| allowed[token as usize]);
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let stop_strings: Vec<&str> = stops.iter().map(String::as_str).collect();
            match space(&borrowed, &stop_strings, mask, lengths) {
                Ok(space) => definition.compare(&space, &[]),
                Err(error) => prop_assert!(!definition.can_end(&[]), "refused: {error}"),
            }
        }
    }
}
