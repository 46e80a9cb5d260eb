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
mod tests;
