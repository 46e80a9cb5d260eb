//! Short descriptions: each scene has sentences that open it and sentences that go on with it.

/// A scene. Its sentences use the slots of stories.
#[derive(Debug)]
pub struct Scene {
    /// Words of `{thing}`.
    pub things: &'static [&'static str],
    /// Words of `{place}`.
    pub places: &'static [&'static str],
    /// Words of `{extra}`.
    pub extras: &'static [&'static str],
    /// First sentences.
    pub openings: &'static [&'static str],
    /// Sentences that can follow, in any order.
    pub follows: &'static [&'static str],
}

/// All scenes.
pub const SCENES: [&Scene; 10] = [&MARKET, &SCHOOL, &GARDEN, &SEA, &KITCHEN, &FOREST, &STATION, &FARM, &CITY, &EVENING];

const MARKET: Scene = Scene {
    things: &["apples", "flowers", "eggs", "hats", "cookies", "candles", "lemons", "baskets"],
    places: &["square", "bridge", "church", "station", "park"],
    extras: &["bread", "fish", "cheese", "honey", "tea", "soup"],
    openings: &[
        "[On Saturday|Every Friday|In the morning] there is a market near the {place}.",
        "{name} [went|walked|ran] to the market to buy {thing}.",
        "{name} sells {thing} at the market near the {place}.",
    ],
    follows: &[
        "The smell of {extra} [was in the air|came from every corner|made everyone hungry].",
        "{He} [saw|met] {pal}, who was [carrying|selling|looking at] [a box of|some|two bags of] {thing}.",
        "[A tall|A young|An old|A kind] woman [sang|laughed|called out] [behind the table|next to the door|in a loud voice].",
        "The {thing} were [cheap|fresh|red|very good] [that day|this time|as always].",
        "[Many|A lot of|Some] people [stood|waited] in line for {extra}.",
        "{He} [paid|counted] the coins [and smiled|with care|and put the rest away].",
        "A [small|brown|hungry] dog [slept|sat|waited] [under a table|by the wall|in the sun].",
        "At noon the [bells|bells of the church] rang, and [the sellers|many people] went home.",
        "{pal} [said|told {him}] that the {extra} [tasted good|was too expensive|was from a farm].",
    ],
};

const SCHOOL: Scene = Scene {
    things: &["math", "history", "science", "art", "music", "reading"],
    places: &["hall", "yard", "library", "gym"],
    extras: &["book", "pen", "map", "globe", "drum"],
    openings: &[
        "The first lesson [of the day|on Monday] was {thing}.",
        "{name} [liked|loved] {thing} more than anything else at school.",
        "It was [quiet|loud|warm|cold] in the school {place}.",
    ],
    follows: &[
        "The teacher [showed|gave] them a [new|big|strange] {extra}.",
        "{name} [sat|was] next to {pal} [in the first row|by the window|at the back].",
        "[Some|Many|All] of the children [listened|wrote|laughed|asked questions].",
        "{He} [had forgotten|could not find|was looking for] {his} {extra}.",
        "After the lesson they [played|ran|ate] [in the yard|in the hall|under the trees].",
        "{pal} [knew|did not know] the answer [to every question|to the last question].",
        "[Outside|In the yard], [the rain fell|the sun was shining|it began to snow].",
        "{He} [wrote|drew|read] [a page|a story|a poem] about [the sea|a horse|a king|the moon].",
        "The [bell rang|clock stopped], and everyone [looked up|went out|was glad].",
    ],
};

const GARDEN: Scene = Scene {
    things: &["roses", "tulips", "beans", "tomatoes", "lilies", "pumpkins"],
    places: &["wall", "gate", "fence", "well", "shed"],
    extras: &["birds", "bees", "ants", "snails", "mice"],
    openings: &[
        "There is a [small|big|quiet|lovely] garden behind the {place}.",
        "{name} [worked|sat|slept] in the garden [all day|after lunch|in the morning].",
        "In [spring|summer|May] the garden is full of {thing}.",
    ],
    follows: &[
        "The {thing} [grow|stand] [near the {place}|in long rows|in the sun].",
        "[Some|A few|Many] {extra} [live|hide|rest] [in the grass|under the leaves|by the {place}].",
        "{name} [waters|counts|looks at] the {thing} [every evening|twice a day|with love].",
        "{His} {helper} [built|painted|repaired] the [old|green|wooden] {place} [last year|alone|in a week].",
        "The [soft|warm|cold] wind [moves|shakes] the [leaves|trees|young plants].",
        "A [white|black|lazy] cat [sleeps|waits|sits] [on the roof|in the shade|on a warm stone].",
        "[Sometimes|Often|On Sundays] {pal} comes [for tea|to help|to see the {thing}].",
        "At night you can hear [the rain|an owl|the river|a dog far away].",
        "{He} [gives|sells] the best {thing} to {his} {helper}.",
    ],
};

const SEA: Scene = Scene {
    things: &["boat", "ship", "ferry", "raft", "canoe"],
    places: &["beach", "island", "harbor", "bay"],
    extras: &["shells", "stones", "fish", "crabs", "birds"],
    openings: &[
        "{name} [lived|grew up|stayed] in a small house by the sea.",
        "The sea was [calm|wild|gray|dark] [that morning|that day|at night].",
        "{name} and {pal} walked along the {place}.",
    ],
    follows: &[
        "A [red|white|small|big] {thing} [came|could be seen] [from the south|near the {place}|far away].",
        "The waves [were high|broke on the rocks|came up to {his} feet|made a soft sound].",
        "{He} [found|collected|counted] {extra} [for {his} {helper}|and put them in a bag|in the sand].",
        "{pal} [wanted|hoped|was afraid] to swim [in the cold water|out to the {thing}|before dark].",
        "The [wind|air] [was cold|smelled of salt|grew stronger].",
        "[An old man|A woman|A child] [repaired|painted|pushed] the {thing} [on the sand|with care|in silence].",
        "Above them, [the clouds|two birds|many birds] [moved|flew] [over the water|to the north|in a circle].",
        "In the evening they [made a fire|sat in the sand|ate fish|told stories].",
        "The light [on the rocks|of the {place}] [went on|shone] [in the dark|all night].",
    ],
};

const KITCHEN: Scene = Scene {
    things: &["cake", "pie", "stew", "soup", "pizza", "pudding"],
    places: &["table", "oven", "shelf", "window"],
    extras: &["eggs", "onions", "carrots", "nuts", "lemons", "mushrooms"],
    openings: &[
        "{name} was making {a thing} [for dinner|for the family|for {his} {helper}].",
        "It was [warm|loud|busy] in the kitchen.",
        "A [big|fresh|hot] {thing} stood on the {place}.",
    ],
    follows: &[
        "{He} [washed|cut|needed] [some|a few|five] {extra}.",
        "The {thing} [smelled|looked] [very good|strange|better than the last one].",
        "{His} {helper} [sat|stood] by the {place} and [told a story|read the news|drank tea].",
        "[Steam|Warm air] [rose to the roof|came out of the pot|filled the room].",
        "{pal} [took|stole|wanted] a [small|big] piece [when nobody looked|before dinner].",
        "[Then|Soon|After an hour] {he} [put the plates|put the glasses|placed a candle] on the table.",
        "The recipe was [from {his} {helper}|very old|easy|from a thick book].",
        "[Outside|In the street] it was [dark|cold|raining], but [here|inside] [it was warm|they were happy].",
        "After the meal, they [washed the dishes|sang a song|sat and talked].",
    ],
};

const FOREST: Scene = Scene {
    things: &["owl", "rabbit", "wolf", "bear", "deer"],
    places: &["river", "hill", "cave", "path", "lake"],
    extras: &["berries", "mushrooms", "nuts", "leaves", "herbs"],
    openings: &[
        "{name} went [deep|far] into the forest.",
        "A [young|gray|clever|hungry] {thing} lived near the {place}.",
        "[In winter|In autumn|At dawn] the forest is [quiet|white|cold|dark].",
    ],
    follows: &[
        "The trees were [tall|old|black|wet], and [the path was narrow|little light came through].",
        "{name} [looked for|found] {extra} [under the trees|beside the {place}|and put them in a basket].",
        "[Suddenly|Then] {he} [heard|saw] {a thing} [near the {place}|behind a tree|in the snow].",
        "The {thing} [ran away|stood still|looked at {him}|was not afraid].",
        "{He} [followed|crossed|knew] the {place} [without fear|until noon|from earlier trips].",
        "[A branch|Something] [broke|moved] in the dark, and {he} [stopped|held {his} breath|ran].",
        "{pal} had told {him} [about the {thing}|never to go there|to stay on the path].",
        "[Snow|Rain|Fog] [fell|came] [over the hills|without a sound|in the night].",
        "In the end, {he} [reached|saw] [the old house|a small light|the road].",
    ],
};

const STATION: Scene = Scene {
    things: &["train", "bus", "taxi"],
    places: &["sea", "city", "mountains", "castle"],
    extras: &["bag", "ticket", "map", "newspaper", "letter"],
    openings: &[
        "{name} waited for the {thing} to the {place}.",
        "The {thing} to the {place} was [late|full|almost empty|fast].",
        "{name} had a [long|difficult|short] trip to the {place} before {him}.",
    ],
    follows: &[
        "{He} [held|lost|looked at|opened] {his} {extra} [again and again|for a while|with cold hands].",
        "[A child|A man|An old woman] [slept|cried|read|ate an apple] [on the next seat|by the door].",
        "{pal} [waved|called|ran] [from the street|at the last moment|until the {thing} was gone].",
        "The [fields|houses|trees|hills] [went by|grew small|lay in the rain].",
        "{He} thought of {his} {helper}, who [lived|waited|worked] [there|far away|near the {place}].",
        "[Somebody|A woman] asked {him} [for the time|about the weather|where {he} was going].",
        "The driver [told a joke|did not say a word|turned on the radio].",
        "It would take [two|three|five|ten] hours to get to the {place}.",
        "At the next stop, {pal} [got in|sat down] with a [big|heavy|red] {extra}.",
    ],
};

const FARM: Scene = Scene {
    things: &["cow", "horse", "goat", "pig", "duck", "goose"],
    places: &["barn", "stable", "shed", "mill"],
    extras: &["corn", "milk", "hay", "cheese", "wool"],
    openings: &[
        "{name} has a farm [on a hill|near the river|in the valley].",
        "There was a [brown|white|lazy|strong] {thing} in the {place}.",
        "The day on a farm begins [early|before dawn|with work].",
    ],
    follows: &[
        "The {thing} [slept|stood|ate] [in the {place}|all day|behind the {place}].",
        "{name} [carried|took|brought] the {extra} [to the market|into the {place}|with {his} {helper}].",
        "{pal} [came|helped] to [feed|wash|catch] the {thing}.",
        "[This year|Last year] there was [a lot of|not much|enough] {extra}.",
        "The old {place} [needed|got] [a new roof|a new door|some paint].",
        "[Every morning|At six], {he} [looks after|talks to|feeds] the {thing}.",
        "[Two|Three] [children|dogs|cats] [played|ran|slept] [in the hay|in the grass|by the {place}].",
        "The work was [hard|long|never done], but {name} [liked it|was happy|did not complain].",
        "When the sun [went down|came up], the {place} was [red|golden|quiet].",
    ],
};

const CITY: Scene = Scene {
    things: &["cafe", "shop", "museum", "hotel", "theater", "bakery"],
    places: &["bridge", "square", "river", "park", "tower"],
    extras: &["cars", "people", "lights", "children", "birds"],
    openings: &[
        "{name} worked in {a thing} near the {place}.",
        "The city was [loud|full of {extra}|never quiet].",
        "There is [a new|a famous|a small|an old] {thing} by the {place}.",
    ],
    follows: &[
        "From the {place} you could see [the whole city|the {thing}|many {extra}].",
        "The streets were full of {extra} [at noon|in the evening|even at night].",
        "{name} [met|saw|waited for] {pal} [in front of|in|next to] the {thing}.",
        "[A man|A girl|An artist] [played the flute|sold flowers|drew pictures] [at the corner|near the {place}].",
        "{His} {helper} [had never liked|loved|was afraid of] the [noise|crowd|city].",
        "The {thing} [opened|closed] [at nine|at ten|late|on Mondays].",
        "{He} [drank tea|read a book|looked out of the window] [in the {thing}|for an hour].",
        "[Then|Later|In the afternoon] [it rained|the sun came out|snow fell] on the {place}.",
        "{pal} [said|thought] that [life was better here|the {thing} was too expensive|it was time to go].",
    ],
};

const EVENING: Scene = Scene {
    things: &["book", "letter", "novel", "poem", "newspaper"],
    places: &["sofa", "window", "door", "fire", "stairs"],
    extras: &["stars", "clouds", "lamps", "bells", "shadows"],
    openings: &[
        "In the evening {name} [sat|stood|waited] by the {place}.",
        "It was a [quiet|cold|long|dark] night, and {name} could not sleep.",
        "{name} and {his} {helper} spent the evening with {a thing}.",
    ],
    follows: &[
        "The {extra} [were bright|could be seen through the window|made {him} think of home].",
        "{He} [had|found] a new {thing}, but {he} was [tired|too tired|sad].",
        "{His} {helper} [came in|stood by the {place}] and [asked what was wrong|said good night|smiled].",
        "[Somewhere|In the next house] [a dog barked|a child cried|a door closed|somebody sang].",
        "The {thing} was [about|from] [a king|{pal}|a far country|the war].",
        "{He} thought [about|of] {pal}, who [was far away|had gone to the sea|never wrote].",
        "The clock [struck|showed] [nine|ten|eleven], and the [house|street] was [still|dark|quiet].",
        "[At last|After a while] {he} [closed {his} eyes|put the {thing} away|fell asleep].",
        "[Tomorrow|In the morning] {he} would [get up early|write to {pal}|tell {his} {helper} everything].",
    ],
};
