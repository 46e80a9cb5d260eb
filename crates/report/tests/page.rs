//! Pages of small runs that are written by hand.

use std::fs;
use std::path::Path;

use amortize_report::{render, write};
use amortize_runlog::RunDir;

const CONFIG: &str = "task = \"continuation\"\n\n[model]\npath = \"/models/<tiny>\"\n\n[objective]\nname = \"subtb\"\n\n\
                      [reward]\ntemperature_end = 0.8\n\n[train]\nsteps = 1000\n";

const METRICS: &str = r#"{"kind":"evaluate","step":0,"best":true,"n_queries":20,"n":320,"log_w_variance":49.5,"log_z_is":-6.0,"ess":0.178,"elbo":-11.2,"zero_reward_share":0.0,"mean_length":23.75,"forced_stop_share":0.097,"mean_log_p":-41.2,"kl_from_base":0.892,"distinct_1":0.63,"distinct_2":0.93,"distinct_3":0.98,"pairwise_edit_distance":0.93}
{"kind":"train","step":1,"loss":1.25,"gradient_norm":6.66,"learning_rate":0.0,"reward_temperature":1.0,"log_z":-0.05,"sources":{"on_policy":{"n":31,"mean_log_reward":-46.3,"zero_reward_share":0.0,"mean_length":26.5,"forced_stop_share":0.19},"tempered":{"n":33,"mean_log_reward":-60.8,"zero_reward_share":0.0,"mean_length":26.7,"forced_stop_share":0.21}},"on_policy":{"n_queries":8,"n":31,"log_w_variance":17.6,"ess":0.81,"elbo":-1.7},"buffer_items":64,"tokens":1703}
{"kind":"train","step":2,"loss":null,"gradient_norm":9.37,"learning_rate":0.0001,"reward_temperature":0.998,"log_z":null,"sources":{"replay":{"n":64,"mean_log_reward":null,"zero_reward_share":1.0,"mean_length":25.0,"forced_stop_share":0.2}},"on_policy":null,"buffer_items":128,"tokens":1627}
{"kind":"train","step":3,"loss":0.04,"gradient_norm":9.9,"learning_rate":0.0002,"reward_temperature":0.996,"log_z":-0.2,"sources":{"replay":{"n":64,"mean_log_reward":-39.5,"zero_reward_share":0.0,"mean_length":25.0,"forced_stop_share":0.2}},"on_policy":null,"buffer_items":128,"tokens":1600}
{"kind":"evaluate","step":3,"best":false,"n_queries":20,"n":320,"log_w_variance":null,"log_z_is":-6.2,"ess":0.2,"elbo":null,"zero_reward_share":0.1,"mean_length":20.0,"forced_stop_share":0.05,"mean_log_p":-35.0,"kl_from_base":1.5,"distinct_1":0.6,"distinct_2":0.9,"distinct_3":0.95,"pairwise_edit_distance":0.9}
"#;

const TIMING: &str = r#"{"step":1,"seconds":40.25,"tokens_per_second":6604.8}
{"step":2,"seconds":30.5,"tokens_per_second":8105.8}
{"step":3,"seconds":30.5,"tokens_per_second":7000.1}
"#;

const SAMPLES: &str = r#"{"step":1,"prompt":"Fred joined a gym.","text":" He fell.","log_q":-9.5,"log_reward":-10.25}
{"step":1,"prompt":"Ana & Bo met.","text":" \"Hi <you>.\"","log_q":-20.0,"log_reward":-21.0}
{"step":2,"prompt":"It rained.","text":"","log_q":null,"log_reward":null}
{"step":3,"prompt":"Fred joined a gym.","text":" He ran\nfar.","log_q":-8.0,"log_reward":null}
"#;

/// A run of these files in `root`.
fn run(root: &Path, files: &[(&str, &str)]) -> RunDir {
    let run = RunDir::create(&root.join("small"), |_| Ok::<(), amortize_runlog::Error>(())).unwrap();
    for (name, text) in files {
        fs::write(run.path().join(name), text).unwrap();
    }
    run
}

/// The page of a run of these files, after a look at whether its elements are closed.
fn page(files: &[(&str, &str)]) -> String {
    let root = tempfile::tempdir().unwrap();
    let html = render(&run(root.path(), files)).unwrap();
    check_elements(main(&html));
    html
}

fn small() -> String {
    let files =
        [("config.toml", CONFIG), ("metrics.jsonl", METRICS), ("timing.jsonl", TIMING), ("samples.jsonl", SAMPLES)];
    page(&files)
}

fn main(html: &str) -> &str {
    let (_, rest) = html.split_once("<main>\n").unwrap();
    rest.split_once("</main>").unwrap().0
}

/// Every element that is opened is closed, in order. (The page writes none that needs no end.)
fn check_elements(html: &str) {
    let mut open = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split_once('>').expect("a tag ends").0;
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.extend(tag.split(' ').next()),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn a_small_run() {
    insta::assert_snapshot!(main(&small()));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(small(), small());
}

#[test]
fn nothing_comes_from_elsewhere() {
    let html = small();
    for reference in ["http:", "https:", "//cdn", " src=", "url(", "@import", "fetch("] {
        assert!(!html.contains(reference), "{reference}");
    }
}

#[test]
fn a_run_that_has_just_begun() {
    let html = page(&[]);
    for text in ["no evaluations so far", "no finished steps so far", "no samples so far"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(html.contains("<dt>Steps done</dt><dd>0</dd>"));
    assert!(!html.contains("<figure>"));
}

#[test]
fn a_run_without_evaluations_or_samples() {
    let steps: String = METRICS.lines().filter(|line| line.contains("train")).map(|line| format!("{line}\n")).collect();
    let html = page(&[("metrics.jsonl", &steps)]);
    assert!(html.contains("no evaluations so far") && html.contains("no samples so far"));
    assert!(html.contains("<h3>Loss "));
}

#[test]
fn one_evaluation_is_no_change() {
    let first = METRICS.split_inclusive('\n').next().unwrap();
    let html = page(&[("metrics.jsonl", first)]);
    assert!(html.contains("<p>20 prompts, 320 draws: before training.</p>"));
    assert!(html.contains("<dd class=\"change\"><strong>49.50</strong></dd>"));
}

#[test]
fn whatever_is_in_the_run_is_text() {
    let attack = r#"</script></pre><script>alert(1)</script>\" onload='x'"#;
    let sample = format!(r#"{{"step":1,"prompt":"{attack}","text":"{attack}","log_q":-1.0,"log_reward":-1.0}}"#);
    let step = format!(r#"{{"kind":"train","step":1,"loss":1.0,"sources":{{"{attack}":{{"mean_log_reward":-1.0}}}}}}"#);
    let config = format!("task = \"{attack}\"\n[model]\npath = \"{attack}\"\n");
    let html = page(&[
        ("config.toml", &config),
        ("metrics.jsonl", &format!("{step}\n")),
        ("samples.jsonl", &format!("{sample}\n{}\n", sample.replace("\"step\":1", "\"step\":9"))),
    ]);
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("onload='") && !html.contains("\" onload"));
    assert!(html.matches("&lt;script&gt;alert(1)").count() >= 8);
}

#[test]
fn what_is_not_finite_leaves_gaps() {
    let steps: String = (1..=3).map(|step| format!("{{\"kind\":\"train\",\"step\":{step},\"loss\":null}}\n")).collect();
    let unknown = page(&[("metrics.jsonl", &steps)]);
    assert!(unknown.contains("Not one figure is finite so far.") && !unknown.contains("<figure>"));
    let huge = page(&[("metrics.jsonl", &steps.replace("null", "1e300"))]);
    assert_eq!(huge.matches("<figure>").count(), 1);
    assert_eq!(huge.matches("No finite values.").count(), 1);
    for html in [unknown, small(), huge] {
        assert!(["NaN", "inf%", "null"].iter().all(|word| !main(&html).contains(word)));
    }
}

#[test]
fn torn_lines_and_unknown_records_are_passed_over() {
    let files = |metrics| [("metrics.jsonl", metrics), ("samples.jsonl", SAMPLES)];
    let torn = format!("{METRICS}{{\"kind\":\"weather\",\"step\":\"two\"}}\n{{\"kind\":\"train\",\"st");
    assert_eq!(page(&files(&torn)), page(&files(METRICS)));
}

#[test]
fn a_damaged_line_is_named() {
    let root = tempfile::tempdir().unwrap();
    let run = run(root.path(), &[("metrics.jsonl", "{\"kind\":\"train\",\"step\":1}\n{\"kind\":\"train\"}\n")]);
    assert!(render(&run).unwrap_err().to_string().contains("metrics.jsonl:2: missing field `step`"));
}

#[test]
fn the_page_lies_in_the_run() {
    let root = tempfile::tempdir().unwrap();
    let run = run(root.path(), &[("metrics.jsonl", METRICS)]);
    let path = write(&run).unwrap();
    assert_eq!(path, run.path().join("report.html"));
    assert_eq!(fs::read_to_string(&path).unwrap(), render(&run).unwrap());
    assert_eq!(write(&run).unwrap(), path);
}

#[test]
fn long_runs_have_pages_of_bounded_size() {
    let steps = |n: u32| {
        let line = |step| format!("{{\"kind\":\"train\",\"step\":{step},\"loss\":{}}}\n", 1.0 / f64::from(step));
        (1..=n).map(line).collect::<String>()
    };
    let [short, long] = [1_000, 20_000].map(|n| page(&[("metrics.jsonl", &steps(n))]).len());
    assert!(long < 2 * short, "{long} {short}");
}

/// The value of an attribute in the first tag of `html`.
fn attribute<'a>(html: &'a str, name: &str) -> &'a str {
    let tag = html.split_once('>').unwrap().0;
    tag.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{name} in {tag}")).1.split_once('"').unwrap().0
}

/// The chart of a title.
fn figure<'a>(html: &'a str, title: &str) -> &'a str {
    let figure = html.split("<figure>").find(|figure| figure.contains(&format!("<h3>{title}")));
    figure.unwrap_or_else(|| panic!("there is a chart {title}"))
}

#[test]
fn charts_carry_the_steps_and_values_of_all_their_series() {
    let html = small();
    let series = |title| {
        let curves = figure(&html, title).split("<g class=\"s").skip(1);
        curves.map(|curve| ["data-name", "data-steps", "data-values"].map(|name| attribute(curve, name)))
    };
    let sources: Vec<_> = series("Mean log R by source").collect();
    let expected = [["on policy", "1", "−46.30"], ["tempered", "1", "−60.80"], ["replay", "2 3", "– −39.50"]];
    assert_eq!(sources, expected);
    let bounds: Vec<_> = series("log Z and its lower bound").collect();
    assert_eq!(bounds, [["log Z", "0 3", "−6.000 −6.200"], ["ELBO", "0 3", "−11.20 –"]]);
    // The dots under the pointer are placed by the ends of the axis.
    let plot = figure(&html, "Loss").split("<svg class=\"plot\"").nth(1).unwrap();
    assert_eq!(attribute(plot, "data-last"), "3");
    assert_eq!(attribute(plot, "data-log"), "true");
    let [low, high] = ["data-low", "data-high"].map(|name| attribute(plot, name).parse::<f64>().unwrap());
    assert!(low < 0.04 && 0.03 < low && 1.25 < high && high < 1.5, "{low} {high}");
}

#[test]
fn a_smoothed_curve_carries_both_its_values() {
    let line = |step: u32| format!("{{\"kind\":\"train\",\"step\":{step},\"loss\":{}}}\n", 1 + step % 2);
    let html = page(&[("metrics.jsonl", &(1..=40).map(line).collect::<String>())]);
    let curve = figure(&html, "Loss").split("<g class=\"s0\"").nth(1).unwrap();
    let [values, smoothed] = ["data-values", "data-smoothed"].map(|name| attribute(curve, name));
    assert!(values.starts_with("2.000 1.000 2.000"), "{values}");
    let smoothed: Vec<f64> = smoothed.split(' ').map(|value| value.parse().unwrap()).collect();
    assert!(smoothed.len() == 40 && smoothed.iter().all(|value| (1.2..1.8).contains(value)), "{smoothed:?}");
}

/// A run that learns held-out text rather than to sample a target.
const LIKELIHOOD: &str = r#"{"kind":"evaluate","step":0,"best":true,"validation_loss":8.0,"tokens":900}
{"kind":"train","step":1,"loss":7.5,"learning_rate":0.001,"gradient_norm":2.0,"tokens":4096}
{"kind":"train","step":2,"loss":4.5,"learning_rate":0.002,"gradient_norm":1.0,"tokens":4096}
{"kind":"evaluate","step":2,"best":true,"validation_loss":4.0,"tokens":900}
"#;

#[test]
fn a_run_of_likelihood_alone_shows_what_it_has() {
    // The loss of an evaluation may have either name.
    for metrics in [LIKELIHOOD.into(), LIKELIHOOD.replace("validation_loss", "loss")] {
        let html = page(&[("metrics.jsonl", &metrics), ("timing.jsonl", TIMING)]);
        let titles = html.split("<h3>").skip(1).map(|rest| rest.split_once('<').unwrap().0.trim());
        let expected = ["Validation loss", "Loss", "Gradient norm", "Learning rate", "Speed"];
        assert_eq!(titles.collect::<Vec<_>>(), expected);
        let tiles = html.split("<div><dt>").filter(|tile| tile.contains("class=\"change\""));
        let tiles = tiles.map(|tile| tile.split_once('<').unwrap().0);
        assert_eq!(tiles.collect::<Vec<_>>(), ["Validation loss", "Perplexity"]);
        let verdict = "As far as the held-out text reaches, the model is better at predicting it: loss went from 8.000 to \
                       4.000 nats a token.";
        assert!(html.contains(verdict));
        assert!(["log w", "ESS", "Posterior", "Samples"].iter().all(|word| !main(&html).contains(word)));
    }
}

#[test]
fn the_verdict_follows_the_figures() {
    let verdict = |last: &str| {
        let line = |step, figures: &str| format!("{{\"kind\":\"evaluate\",\"step\":{step},{figures}}}\n");
        let first = line(0, r#""log_w_variance":20.0,"pairwise_edit_distance":0.9"#);
        let html = page(&[("metrics.jsonl", &(first + &line(9, last)))]);
        let words =
            html.split_once("<p class=\"verdict\">").map(|(_, rest)| rest.split_once('<').unwrap().0.to_string());
        words.unwrap_or_default()
    };
    let closer = verdict(r#""log_w_variance":2.0,"pairwise_edit_distance":0.8"#);
    assert!(closer.starts_with("As far as these draws reach, training brought the policy closer"), "{closer}");
    assert!(closer.contains("from 20.00 to 2.000 nats²") && closer.ends_with("its draws stay diverse."), "{closer}");
    let collapsed = verdict(r#""log_w_variance":2.0,"pairwise_edit_distance":0.1"#);
    assert!(collapsed.contains("look for a collapse"), "{collapsed}");
    assert!(verdict(r#""log_w_variance":20.1"#).contains("about as far from its target"));
    assert!(verdict(r#""log_w_variance":40.0"#).contains("took the policy away from its target"));
    assert_eq!(verdict(r#""log_w_variance":null"#), "");
}

const COMPARED: &str = r#"{"step":0,"kind":"before","prompt":"It rained.","text":" A.","log_p":-20.0,"log_q":-20.0,"log_reward":-20.0,"log_weight":-5.0}
{"step":0,"kind":"before","prompt":"It rained.","text":" B.","log_p":-30.0,"log_q":-30.0,"log_reward":-30.0,"log_weight":-7.0}
{"step":5,"kind":"after","prompt":"It rained.","text":" Halfway.","log_p":-15.0,"log_q":-9.0,"log_reward":-15.0,"log_weight":-9.75}
{"step":9,"kind":"train","prompt":"Fred ran.","text":" In training.","log_q":-9.0,"log_reward":-15.0}
{"step":9,"kind":"after","prompt":"It rained.","text":" Worse.","log_p":-25.0,"log_q":-24.0,"log_reward":-25.0,"log_weight":-7.25}
{"step":9,"kind":"after","prompt":"It rained.","text":" Better.","log_p":-10.0,"log_q":-8.0,"log_reward":-10.0,"log_weight":-4.5}
"#;

#[test]
fn samples_before_and_after_stand_side_by_side_with_the_better_ones_marked() {
    let html = page(&[("samples.jsonl", COMPARED)]);
    let compared = html.split_once("<article class=\"samples\">").unwrap().1.split_once("</article>").unwrap().0;
    assert!(compared.contains("<h3 dir=\"auto\">It rained.</h3>") && !compared.contains("Halfway"));
    let sides: Vec<&str> = compared.split("<table").skip(1).collect();
    assert!(sides[0].contains("<b>Before</b> the base model") && sides[1].contains("<b>After</b> step 9"));
    assert!(sides[0].contains("mean log p <b>−25.00</b>, log w varies by ± <b>1.41</b>"), "{}", sides[0]);
    let rows = |side: &str| side.split("<tr").skip(2).map(String::from).collect::<Vec<_>>();
    let [before, after] = [rows(sides[0]), rows(sides[1])];
    assert!(before[0].contains("A.<span class=\"bar\" style=\"width:52%\">") && before[1].contains("width:4%"));
    assert!(after[0].starts_with(" class=\"better\"") && after[0].contains("Better. <span class=\"mark\""));
    assert!(after[1].starts_with("><td") && after[1].contains("Worse.<span"));
    let numbers = [("log p", "−10.00"), ("log q", "−8.00"), ("log w", "−4.50")];
    assert!(numbers.iter().all(|(name, value)| after[0].contains(&format!("<td data-name=\"{name}\">{value}</td>"))));
    assert!(!compared.contains("log R"), "the reward is p itself");
    assert!(html.contains("<summary>Samples of training steps</summary>") && html.contains("In training."));
}

#[test]
fn a_reward_that_is_not_p_and_a_reward_of_zero_are_shown() {
    let infilling =
        COMPARED.replace("\"log_reward\":-10.0,\"log_weight\":-4.5", "\"log_reward\":null,\"log_weight\":null");
    let html = page(&[("samples.jsonl", &infilling)]);
    assert!(html.contains("<th scope=\"col\">log R</th>"));
    let zero = html.split("<tr>").find(|row| row.contains("Better.")).unwrap();
    assert_eq!(zero.matches("−∞").count(), 2);
    assert!(!zero.contains("class=\"bar\""));
}

#[test]
fn samples_of_different_prompts_stand_side_by_side() {
    let line = |step| {
        format!(
            "{{\"step\":{step},\"prompt\":\"Prompt {step}.\",\"text\":\" Text {step}.\",\"log_q\":-1,\"log_reward\":-2}}\n"
        )
    };
    let html = page(&[("samples.jsonl", &(1..=30).map(line).collect::<String>())]);
    assert!(html.contains("Early: steps 1 to 8") && html.contains("Late: steps 23 to 30"));
    assert!(html.contains("<span class=\"prompt\">Prompt 23.</span> Text 23."));
    let html = page(&[("samples.jsonl", &line(1))]);
    assert!(html.contains("Early: step 1<") && !html.contains("Late"));
}
