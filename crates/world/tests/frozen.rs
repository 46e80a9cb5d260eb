//! The corpus and the judge are frozen: experiments rest on them. A change of these hashes is a new version of the
//! world, with a new corpus, new hashes in docs/corpus.md, and results of its own.

use amortize_world::arithmetic::Question;
use amortize_world::documents::{Kind, document_of};
use amortize_world::draw::{Draw, text_hash};
use amortize_world::texts::{Review, continuation_prompt};
use amortize_world::{Split, judge, story};

/// The hash of texts, in their order.
fn hash(texts: impl Iterator<Item = String>) -> u64 {
    text_hash(&texts.collect::<Vec<_>>().join("\n"))
}

#[test]
fn documents_of_every_kind_are_those_of_version_1() {
    let found = Kind::SHARES.map(|(kind, _)| {
        let mut draw = Draw::new(1, &kind.to_string());
        hash((0..500).map(|_| document_of(kind, Split::Train, &mut draw)))
    });
    let expected = [
        0x4410_7788_724f_3947,
        0x9c56_032b_f938_735c,
        0xea32_59d7_4872_e79d,
        0x9383_a508_459f_7690,
        0xf931_7e1f_88a2_447e,
        0x9371_2253_5003_87bf,
        0xe30b_3584_3b05_58c5,
    ];
    assert_eq!(found, expected, "{found:#x?}");
}

#[test]
fn task_records_are_those_of_version_1() {
    let mut draw = Draw::new(1, "tasks");
    let found = hash((0..200).map(|index| {
        let story = story(Split::Test, index % 2 == 0, &mut draw);
        let review = Review::of(Split::Test, &mut draw);
        let question = Question::of(Split::Test, 5, &mut draw);
        format!("{story:?} {review:?} {question:?} {}", continuation_prompt(Split::Test, &mut draw))
    }));
    assert_eq!(found, 0x25ac_ddc9_2250_ffd7, "{found:#x}");
}

#[test]
fn verdicts_are_those_of_version_1() {
    let mut draw = Draw::new(1, "verdicts");
    let stories: Vec<_> = (0..300).map(|index| story(Split::Test, index % 3 == 0, &mut draw)).collect();
    let pairs = stories.iter().flat_map(|story| stories.iter().map(move |other| (story, other)));
    let same = pairs.filter(|(story, other)| story.theme == other.theme || story.turning == other.turning);
    let found = hash(same.map(|(story, other)| {
        let verdict = judge(&story.x, &other.z, &story.y);
        let named = judge(&other.x, &story.z, &other.y.replace("mother", "aunt"));
        format!("{verdict:?} {named:?}")
    }));
    assert_eq!(found, 0x6b26_5255_9b21_bb27, "{found:#x}");
}
