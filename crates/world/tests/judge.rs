//! The judge against the stories that it should and should not accept.

use std::collections::BTreeMap;

use amortize_world::draw::Draw;
use amortize_world::grammar::Slot;
use amortize_world::story::Beginning;
use amortize_world::world::themes;
use amortize_world::{Split, Story, Tally, judge, story};
use proptest::prelude::*;

fn stories(seed: u64, count: usize) -> Vec<Story> {
    let mut draw = Draw::new(seed, "test");
    (0..count).map(|index| story(Split::Train, index % 7 == 0, &mut draw)).collect()
}

#[test]
fn every_story_fits_itself() {
    for story in stories(1, 20_000) {
        let verdict = judge(&story.x, &story.z, &story.y);
        assert!(verdict.parsed && verdict.beginning && verdict.end && verdict.both && verdict.ending, "{story:?}");
    }
}

#[test]
fn a_turning_of_another_theme_fits_neither_beginning_nor_end() {
    let stories = stories(2, 6_000);
    for pair in stories.windows(2).filter(|pair| pair[0].theme != pair[1].theme) {
        let verdict = judge(&pair[0].x, &pair[1].z, &pair[0].y);
        assert!(verdict.parsed && !verdict.beginning && !verdict.end && !verdict.both, "{pair:?}");
    }
}

#[test]
fn a_turning_that_leads_elsewhere_does_not_fit_the_end() {
    for story in stories(3, 3_000) {
        let world = themes().iter().find(|world| world.theme.name == story.theme).unwrap();
        let ending = world.theme.endings.iter().position(|ending| ending.name == story.ending).unwrap();
        for (turning, wordings) in
            world.turnings.iter().enumerate().filter(|(turning, _)| !world.fits(*turning, ending))
        {
            let facts = amortize_world::grammar::draw_facts(world, &mut Draw::new(turning as u64, "other"));
            for pattern in wordings.patterns() {
                assert!(!judge(&story.x, &pattern.render(&facts), &story.y).end, "{story:?} {pattern:?}");
            }
        }
    }
}

/// Verdicts on fourth sentences that are drawn for the beginning alone, by theme.
fn verdicts_by_chance() -> BTreeMap<String, Tally> {
    let (mut draw, mut tallies) = (Draw::new(4, "chance"), BTreeMap::<String, Tally>::new());
    for _ in 0..12_000 {
        let beginning = Beginning::draw(&mut draw);
        let told = beginning.tell(beginning.plot(&mut draw), &mut draw);
        let other = beginning.redraw(&mut draw);
        let z = other.tell(other.plot(&mut draw), &mut draw).z;
        tallies.entry(told.theme.clone()).or_default().add(judge(&told.x, &z, &told.y));
    }
    tallies
}

#[test]
fn a_turning_that_ignores_the_end_fits_it_at_the_intended_rate() {
    let tallies = verdicts_by_chance();
    for (theme, tally) in &tallies {
        assert_eq!(tally.counts["beginning"], tally.judged, "{theme}: it was drawn for this beginning");
        let share = tally.shares()["both"];
        assert!((0.07..0.3).contains(&share), "{theme}: {share}");
    }
    let both = tallies.values().map(|tally| tally.counts["both"]).sum::<u64>() as f64 / 12_000.0;
    assert!((0.15..0.22).contains(&both), "{both}");
    println!("by chance {both}");
}

/// An end that names a helper, a friend, a spot or a means can be told from the fourth sentence or the beginning.
#[test]
fn what_an_ending_mentions_was_told_before() {
    for world in themes() {
        let always = |texts: &amortize_world::world::Wordings, slot| {
            texts.patterns().all(|pattern| pattern.slots().any(|told| told == slot))
        };
        for (turning, wordings) in world.turnings.iter().enumerate() {
            for (ending, told) in world.endings.iter().enumerate().filter(|(ending, _)| world.fits(turning, *ending)) {
                for slot in [Slot::Helper, Slot::Pal, Slot::Thing, Slot::Place, Slot::Extra, Slot::Spot] {
                    let asked = told.patterns().any(|pattern| pattern.slots().any(|asked| asked == slot));
                    let known = always(wordings, slot) || world.opening.iter().any(|texts| always(texts, slot));
                    // When somebody arrives on a late trip is news.
                    let news = world.theme.name == "late" && slot == Slot::Spot;
                    assert!(
                        !asked || known || news,
                        "{} {} {}: {slot:?}",
                        world.theme.name,
                        world.theme.turnings[turning].name,
                        world.theme.endings[ending].name
                    );
                }
            }
        }
    }
}

#[test]
fn every_event_is_told_and_every_ending_is_reached() {
    for world in themes() {
        for ending in 0..world.endings.len() {
            assert!(
                (0..world.turnings.len()).any(|turning| world.fits(turning, ending)),
                "{} {ending}",
                world.theme.name
            );
        }
    }
}

#[test]
fn facts_must_agree() {
    let x = "Anna loved her red ball very much. One day she took it to the park. On the way home, she saw that the ball was gone.";
    let y = "Anna thanked her aunt for finding the ball.";
    let say = |z: &str| judge(x, z, y);
    assert!(say("Her aunt helped her search and found the ball.").both);
    for (z, beginning, end) in [
        ("Her uncle helped her search and found the ball.", true, false),
        ("His aunt helped him search and found the ball.", false, false),
        ("Her aunt helped him search and found the ball.", false, false),
        ("Her aunt helped her search and found the key.", false, false),
        ("Then her aunt came to the school and found the ball.", false, true),
        ("Then her aunt came to the park and found the ball.", true, true),
        ("Ben went back and found the ball under a bench.", false, false),
        ("Anna took all her money and paid for another ball.", true, false),
        ("Anna had seen it at the park and came running with it.", false, false),
    ] {
        let verdict = say(z);
        assert_eq!((verdict.beginning, verdict.end), (beginning, end), "{z}");
        assert!(!verdict.both || (beginning && end), "{z}");
    }
    assert!(!say("Her aunt helped her search and found a ball.").parsed);
    assert!(!say("Her aunt helped her search and found the ball. Her aunt").parsed);
}

proptest! {
    #[test]
    fn any_text_is_judged(x in ".*", z in ".*", y in ".*") {
        prop_assert_eq!(judge(&x, &z, &y), Default::default());
    }

    #[test]
    fn damaged_stories_are_judged(seed in any::<u64>(), cut in 0usize..400, junk in ".{0,3}") {
        let story = story(Split::Test, false, &mut Draw::new(seed, "damage"));
        let damage = |text: &str| {
            let mut characters: Vec<char> = text.chars().collect();
            let at = cut % characters.len();
            characters.splice(at..at + 1, junk.chars());
            characters.into_iter().collect::<String>()
        };
        judge(&damage(&story.x), &damage(&story.z), &damage(&story.y));
    }
}

#[test]
fn no_text_for_training_has_a_held_out_combination() {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let mut draw = Draw::new(9, "held out");
    for _ in 0..20_000 {
        let (kind, text) = amortize_world::documents::document(Split::Train, &mut draw);
        if kind == amortize_world::documents::Kind::Infilling {
            let parts: Vec<_> = text.split('\n').map(|line| line.split_once(": ").unwrap().1).collect();
            let [x, y, z] = parts[..] else { panic!("{text}") };
            let verdict = judge(x, z, y);
            assert!(verdict.beginning && verdict.ending, "{text}");
            for (name, fits) in [("all", true), ("both", verdict.both)] {
                *found.entry(name).or_default() += usize::from(fits);
            }
        }
    }
    let share = found["both"] as f64 / found["all"] as f64;
    assert!((0.36..0.52).contains(&share), "30 % heed the end, others fit it by chance: {share}");
    for seed in 0..3_000 {
        let story = story(Split::Train, false, &mut Draw::new(seed, "seen"));
        let world = themes().iter().find(|world| world.theme.name == story.theme).unwrap();
        let (turning, ending) = world.held_out;
        let pair = (world.theme.turnings[turning].name, world.theme.endings[ending].name);
        assert_ne!((story.turning.as_str(), story.ending.as_str()), pair);
    }
}
