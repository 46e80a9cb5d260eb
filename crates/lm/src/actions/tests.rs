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
