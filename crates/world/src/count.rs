//! How many stories the world can tell.
//!
//! A story is a theme, three opening wordings, a turning with its wording, an ending with its wording, and a word for
//! every slot that one of these mentions. Each such choice gives a text of its own, since every slot mentioned is read
//! back from the text.

use std::collections::HashMap;

use crate::grammar::{Lexicon, Pattern, Slot};
use crate::tables::words::NAMES;
use crate::world::{Compiled, Wordings, themes};

/// Distinct stories of five sentences.
pub fn stories() -> u128 {
    themes().iter().map(stories_of).sum()
}

/// Distinct beginnings of three sentences.
pub fn beginnings() -> u128 {
    let of =
        |world: &Compiled| opening(world).iter().map(|(slots, times)| times * fillings(world, *slots)).sum::<u128>();
    themes().iter().map(of).sum()
}

/// Patterns by the set of slots that they mention, as bits.
type BySlots = HashMap<u32, u128>;

fn stories_of(world: &Compiled) -> u128 {
    let opening = opening(world);
    let mut total = 0;
    for (turning, wordings) in world.turnings.iter().enumerate() {
        let with_turning = join(&opening, &by_slots(wordings));
        let endings = world.endings.iter().enumerate().filter(|(ending, _)| world.fits(turning, *ending));
        for (_, wordings) in endings {
            let told = join(&with_turning, &by_slots(wordings));
            total += told.iter().map(|(slots, times)| times * fillings(world, *slots)).sum::<u128>();
        }
    }
    total
}

fn opening(world: &Compiled) -> BySlots {
    world.opening.iter().map(by_slots).fold(BySlots::from([(0, 1)]), |all, more| join(&all, &more))
}

fn by_slots(wordings: &Wordings) -> BySlots {
    let mut found = BySlots::new();
    for pattern in wordings.patterns() {
        *found.entry(bits(pattern)).or_default() += 1;
    }
    found
}

fn bits(pattern: &Pattern) -> u32 {
    pattern.slots().fold(0, |bits, slot| bits | 1 << slot as u32)
}

fn join(a: &BySlots, b: &BySlots) -> BySlots {
    let mut both = BySlots::new();
    for (slots, times) in a {
        for (others, more) in b {
            *both.entry(slots | others).or_default() += times * more;
        }
    }
    both
}

/// In how many ways a set of slots can be filled. A gender follows from the name, which every beginning tells; a pal
/// is anybody else.
fn fillings(world: &Compiled, slots: u32) -> u128 {
    let told = |slot: Slot| slots >> slot as u32 & 1 == 1;
    let rest = [Slot::Helper, Slot::Look, Slot::Thing, Slot::Place, Slot::Spot, Slot::Extra, Slot::Glad, Slot::Sad];
    let names = NAMES.len() as u128 * if told(Slot::Pal) { NAMES.len() as u128 - 1 } else { 1 };
    rest.into_iter().filter(|slot| told(*slot)).fold(names, |ways, slot| ways * world.words(slot).len() as u128)
}
