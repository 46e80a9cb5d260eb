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
    assert!(html.contains("<h3>Loss</h3>"));
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
    let html = page(&[("metrics.jsonl", &steps)]);
    assert_eq!(html.matches("No finite values.").count(), html.matches("<figure>").count());
    for html in [html, small(), page(&[("metrics.jsonl", &steps.replace("null", "1e300"))])] {
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
