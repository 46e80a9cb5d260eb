use super::terms::tests::EVERY_TERM;
use super::*;

/// The shortest config there is.
pub(super) const MINIMAL: &str = "task = \"continuation\"
[model]
path = \"gpt2\"
[data]
path = \"prompts.txt\"
[train]
steps = 10
seed = 7
";

pub(super) fn read(text: &str, sets: &[&str]) -> Result<Config, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    Config::from_toml(text, "continuation.toml", &sets)
}

pub(super) fn with(sets: &[&str]) -> Config {
    read(MINIMAL, sets).unwrap()
}

pub(super) fn refusal(text: &str, sets: &[&str]) -> String {
    read(text, sets).unwrap_err().to_string()
}

#[test]
fn a_minimal_config_has_the_defaults() {
    let config = with(&[]);
    assert_eq!(config.train.steps, 10);
    assert_eq!(config.model.adapter, None);
    assert_eq!(config.adapter.target_modules, TargetModules::Pattern("all-linear".into()));
    assert_eq!(config.policy.stop_strings, ["."]);
    assert_eq!(config.optimizer.learning_rate, 1e-4);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one_and_its_line() {
    let text = MINIMAL.replace("steps", "step");
    let expected = "continuation.toml:7: unknown key \"train.step\"; did you mean \"train.steps\"?";
    assert_eq!(refusal(&text, &[]), expected);
    let expected = "--set train.step=3: unknown key \"train.step\"; did you mean \"train.steps\"?";
    assert_eq!(refusal(MINIMAL, &["train.step=3"]), expected);
}

#[test]
fn a_key_of_another_section_or_of_none_finds_its_own() {
    let suggestions = [
        ("train.lambda", "objective.lambda"),
        ("steps", "train.steps"),
        ("trian.seed", "train.seed"),
        ("evaluate.sed", "evaluate.seed"),
        ("optimiser.beta1", "optimizer.beta1"),
        ("model.pth", "model.path"),
        ("learning_rate", "optimizer.learning_rate"),
        ("adapter.rnk", "adapter.rank"),
        ("train.learning_rate", "optimizer.learning_rate"),
        ("taks.kind", "task.kind"),
        ("templat", "task.template"),
    ];
    for (key, nearest) in suggestions {
        let expected = format!("--set {key}=1: unknown key \"{key}\"; did you mean \"{nearest}\"?");
        assert_eq!(refusal(MINIMAL, &[&format!("{key}=1")]), expected);
    }
}

#[test]
fn a_key_like_no_other_gets_a_list_to_choose_from() {
    let sections = "the sections are task, model, data, adapter, policy, reward, objective, ppo, explore, buffer, \
                    optimizer, train, evaluate";
    let hints = [
        ("buffer.size", "[buffer] has capacity, similarity_tolerance, sampling, seed_from_data"),
        ("verbosity", sections),
        ("taks", sections),
    ];
    for (key, hint) in hints {
        let expected = format!("--set {key}=1: unknown key \"{key}\"; {hint}");
        assert_eq!(refusal(MINIMAL, &[&format!("{key}=1")]), expected);
    }
    let text = format!("{MINIMAL}[wandb]\nproject = 1\nentity = 2\n");
    assert_eq!(refusal(&text, &[]), format!("continuation.toml:10: unknown section [wandb]; {sections}"));
}

#[test]
fn every_problem_is_told() {
    let text = format!("{MINIMAL}[buffer]\ncapcity = 3\n[adapter]\nrang = 3\n");
    let expected = "continuation.toml:10: unknown key \"buffer.capcity\"; did you mean \"buffer.capacity\"?\n\
                    continuation.toml:12: unknown key \"adapter.rang\"; did you mean \"adapter.rank\"?";
    assert_eq!(refusal(&text, &[]), expected);
    let expected = "--set train.steps=0: expected a whole number, 1 or more\n\
                    --set train.threads=-1: expected a whole number, 0 or more";
    assert_eq!(refusal(MINIMAL, &["train.threads=-1", "train.steps=0"]), expected);
}

#[test]
fn a_missing_key_is_named_and_may_come_from_the_command_line() {
    let text = MINIMAL.replace("steps = 10\n", "");
    let expected = "continuation.toml: train.steps is missing: expected a whole number, 1 or more; \
                    add it, or use --set train.steps=...";
    assert_eq!(refusal(&text, &[]), expected);
    assert_eq!(read(&text, &["train.steps=10"]).unwrap(), with(&[]));
    assert_eq!(read("", &[]).unwrap_err().problems.len(), 4);
}

#[test]
fn a_set_is_toml_or_else_a_text() {
    let config = with(&[
        "model.path=models/gpt2 xl",
        "data.path=\"quoted\"",
        "adapter.target_modules=[\"c_attn\"]",
        "policy.forbid=[0-9]",
        "optimizer.clip_norm=1",
        "train.seed=3",
        "train.seed=4",
    ]);
    assert_eq!(config.model.path, Path::new("models/gpt2 xl"));
    assert_eq!(config.data.path, Path::new("quoted"));
    assert_eq!(config.adapter.target_modules, TargetModules::Names(vec!["c_attn".into()]));
    assert_eq!(config.policy.forbid.as_deref(), Some("[0-9]"));
    assert_eq!(config.optimizer.clip_norm, Some(1.0));
    assert_eq!(config.train.seed, 4);
    let expected = "--set train.steps: expected key=value, such as train.steps=100";
    assert_eq!(refusal(MINIMAL, &["train.steps"]), expected);
}

#[test]
fn a_text_with_line_breaks_is_one_value() {
    let config = with(&["model.path=1\ntrain.steps = 3"]);
    assert_eq!(config.model.path, Path::new("1\ntrain.steps = 3"));
    assert_eq!(config.train.steps, 10);
}

#[test]
fn an_empty_text_unsets_an_optional_key_and_no_other() {
    let text = format!("{MINIMAL}[policy]\nforbid = \"x\"\n[optimizer]\nclip_norm = 1.0\n");
    assert_eq!(read(&text, &["policy.forbid=", "optimizer.clip_norm="]).unwrap(), with(&[]));
    assert_eq!(refusal(MINIMAL, &["model.path="]), "--set model.path=: expected a path");
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let error = refusal("task = \"continuation\"\n[train\nsteps = 1\n", &[]);
    assert!(error.starts_with("continuation.toml:2: "), "{error}");
    let error = refusal("task = 1\ntask = 2\n", &[]);
    assert_eq!(error, "continuation.toml:2: duplicate key");
    let error = refusal("task = \"continuation\"\n[train]\nseed = 99999999999999999999\n", &[]);
    assert!(error.starts_with("continuation.toml:3: "), "{error}");
}

#[test]
fn a_section_that_is_none_is_refused() {
    assert_eq!(refusal("train = 3\n", &[]), "continuation.toml:1: train = 3: expected a section, [train]");
    assert_eq!(refusal(MINIMAL, &["train={steps=3}"]), "--set train={steps=3}: expected a section, [train]");
    let error = refusal(&format!("{MINIMAL}[trian]\n"), &[]);
    assert!(error.starts_with("continuation.toml:9: unknown key \"trian\"; the sections are "), "{error}");
    assert_eq!(read(&format!("{MINIMAL}[policy]\n"), &[]).unwrap(), with(&[]));
}

/// Configs have said `task = "..."` before tasks had settings of their own.
#[test]
fn a_task_may_be_given_by_its_kind_alone() {
    let infilling = TaskSection::new(TaskKind::Infilling);
    assert_eq!(with(&[]).task, TaskSection::new(TaskKind::Continuation));
    assert_eq!(with(&["task=infilling"]).task, infilling);
    assert_eq!(with(&["task.kind=infilling"]).task, infilling);
    let section = MINIMAL.replace("task = \"continuation\"", "[task]\nkind = \"infilling\"\ntemplate = \"{y} {x}\"");
    assert_eq!(read(&section, &[]).unwrap().task, TaskSection { template: "{y} {x}".into(), ..infilling });
    assert_eq!(read(&section, &["task=continuation"]).unwrap().task.kind, TaskKind::Continuation);
    let none = MINIMAL.replace("task = \"continuation\"\n", "");
    assert_eq!(read(&none, &[]).unwrap(), with(&[]));
    assert_eq!(refusal(MINIMAL, &["task=3"]), "--set task=3: expected a section, [task]");
}

#[test]
fn a_wrong_type_names_key_value_and_what_is_allowed() {
    let text = MINIMAL.replace("steps = 10", "steps = \"many\"");
    let expected = "continuation.toml:7: train.steps = \"many\": expected a whole number, 1 or more";
    assert_eq!(refusal(&text, &[]), expected);
    let text = MINIMAL.replace("\"continuation\"", "\"translation\"");
    let expected =
        "continuation.toml:1: task.kind = \"translation\": expected \"continuation\", \"infilling\" or \"custom\"";
    assert_eq!(refusal(&text, &[]), expected);
}

#[test]
fn every_range_is_checked() {
    let (whole, count) = ("a whole number, 0 or more", "a whole number, 1 or more");
    let (positive, negative) = ("a finite number above 0", "a finite number below 0");
    let (share, below_one) = ("a number from 0 to 1", "a number from 0 to below 1");
    let regex = "a regular expression in Rust's syntax, which has no look-around and no back-references";
    let modules = "\"all-linear\", a regular expression for module names, or a list of names";
    let cases = [
        (
            "task.template",
            vec!["", "Middle:", "{z}", "3"],
            "a text with {x}, {y} or both in it, or other fields of the data",
        ),
        ("task.separator", vec!["3"], "a text"),
        ("data.limit", vec!["0", "1.5"], count),
        ("data.validation", vec!["-1"], whole),
        ("model.precision", vec!["f16", "16"], "\"f32\", \"bf16\" or \"int8\""),
        ("adapter.rank", vec!["0"], count),
        ("adapter.alpha", vec!["0", "-1", "nan", "inf"], positive),
        ("adapter.dropout", vec!["1", "-0.1", "nan"], below_one),
        ("adapter.target_modules", vec!["[]", "[\"\"]", "\"\"", "(", "3"], modules),
        ("adapter.rank_stabilised", vec!["1", "yes"], "true or false"),
        ("policy.min_length", vec!["-1"], whole),
        ("policy.max_length", vec!["0"], count),
        ("policy.stop_strings", vec!["[\"\"]", "."], "a list of texts, none of them empty"),
        ("policy.stop_tokens", vec!["[-1]", "[4294967296]", "13"], "a list of token ids"),
        ("policy.allow", vec!["(", "(?=x)", "3"], regex),
        ("policy.forbid", vec!["(", r"(a)\1"], regex),
        ("reward.temperature_start", vec!["0", "inf"], positive),
        ("reward.temperature_end", vec!["0", "-1"], positive),
        ("reward.temperature_horizon", vec!["-1"], whole),
        ("reward.floor", vec!["0", "1", "-inf", "nan"], negative),
        ("objective.lambda", vec!["0", "1.1", "inf"], "a number above 0, at most 1"),
        ("objective.log_z_learning_rate", vec!["0"], positive),
        ("explore.on_policy", vec!["-0.1", "nan"], share),
        ("explore.tempered", vec!["1.1"], share),
        ("explore.replay", vec!["2"], share),
        ("explore.temperature_min", vec!["0"], positive),
        ("explore.temperature_max", vec!["inf"], positive),
        ("buffer.capacity", vec!["0"], count),
        ("buffer.similarity_tolerance", vec!["-0.1", "1.1"], share),
        ("buffer.seed_from_data", vec!["1", "yes"], "true or false"),
        ("optimizer.learning_rate", vec!["0", "nan"], positive),
        ("optimizer.warmup_steps", vec!["-1"], whole),
        ("optimizer.beta1", vec!["1"], below_one),
        ("optimizer.beta2", vec!["-0.1"], below_one),
        ("optimizer.epsilon", vec!["0"], positive),
        ("optimizer.weight_decay", vec!["-0.1", "inf"], "a finite number, 0 or more"),
        ("optimizer.clip_norm", vec!["0"], positive),
        ("train.steps", vec!["0"], count),
        ("train.seed", vec!["-1", "0.5"], whole),
        ("train.queries_per_step", vec!["0"], count),
        ("train.samples_per_query", vec!["0"], count),
        ("train.micro_batch", vec!["-1"], whole),
        ("train.recompute", vec!["1"], "true or false"),
        ("train.checkpoint_every", vec!["0"], count),
        ("train.samples_every", vec!["0"], count),
        ("train.threads", vec!["-1"], whole),
        ("evaluate.every", vec!["-1"], whole),
        ("evaluate.samples_per_query", vec!["0"], count),
        ("evaluate.seed", vec!["-1"], whole),
    ];
    for (key, values, expected) in cases {
        for value in values {
            let set = format!("{key}={value}");
            assert_eq!(refusal(MINIMAL, &[&set]), format!("--set {set}: expected {expected}"));
        }
    }
}

#[test]
fn every_choice_is_the_one_that_messages_offer() {
    let keys = [
        "task.kind",
        "reward.mask",
        "objective.name",
        "objective.normaliser",
        "objective.root_flow",
        "buffer.sampling",
        "optimizer.decay",
    ];
    for key in keys {
        let message = refusal(MINIMAL, &[&format!("{key}=0")]);
        let choices: Vec<&str> = message.split('"').skip(1).step_by(2).collect();
        assert!(choices.len() >= 2, "{message}");
        for choice in choices {
            let text = with(&[&format!("{key}={choice}")]).to_toml().unwrap();
            let name = key.split('.').next_back().unwrap();
            assert!(text.contains(&format!("{name} = \"{choice}\"\n")), "{text}");
        }
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let text = format!("{MINIMAL}[policy]\nmin_length = 30\n");
    let expected = "continuation.toml:10: policy.min_length = 30 is above policy.max_length = 20";
    assert_eq!(refusal(&text, &[]), expected);
    let expected = "--set policy.max_length=25: policy.min_length = 30 is above policy.max_length = 25";
    assert_eq!(refusal(&text, &["policy.max_length=25"]), expected);
    let expected = "--set explore.replay=0.5: explore.on_policy + explore.tempered + explore.replay = 1.25: \
                    expected a sum of 1";
    assert_eq!(refusal(MINIMAL, &["explore.replay=0.5"]), expected);
    let expected = "--set explore.temperature_min=3: explore.temperature_min = 3 is above explore.temperature_max = 2";
    assert_eq!(refusal(MINIMAL, &["explore.temperature_min=3"]), expected);
    let expected = "--set data.limit=50: data.limit = 50 leaves no prompt to train on, \
                    with data.validation = 50 held out of them";
    assert_eq!(refusal(MINIMAL, &["data.limit=50"]), expected);
    assert!(read(MINIMAL, &["data.limit=50", "data.validation_path=held_out.txt"]).is_ok());
    assert!(
        read(MINIMAL, &["explore.on_policy=0.3333333", "explore.tempered=0.3333333", "explore.replay=0.3333333"])
            .is_ok()
    );
}

#[test]
fn the_stop_is_given_in_one_way() {
    let config = with(&["policy.stop_tokens=[13]"]);
    assert_eq!((config.policy.stop_tokens, config.policy.stop_strings), (vec![13], vec![]));
    let expected = "--set policy.stop_strings=[]: \
                    give policy.stop_strings or policy.stop_tokens, and leave the other empty";
    assert_eq!(refusal(MINIMAL, &["policy.stop_strings=[]"]), expected);
    let expected = "--set policy.stop_strings=[\"!\"]: \
                    give policy.stop_strings or policy.stop_tokens, and leave the other empty";
    assert_eq!(refusal(MINIMAL, &["policy.stop_tokens=[13]", "policy.stop_strings=[\"!\"]"]), expected);
}

#[test]
fn one_sample_per_query_is_refused_where_there_is_nothing_to_compare_it_with() {
    let one = "train.samples_per_query=1";
    let expected = "--set train.samples_per_query=1: train.samples_per_query = 1: expected 2 or more, \
                    because VarGrad and PPO compare the trajectories of a query";
    assert_eq!(refusal(MINIMAL, &[one]), expected);
    assert_eq!(refusal(MINIMAL, &[one, "objective.name=vargrad", "objective.root_flow=learned"]), expected);
    assert_eq!(refusal(MINIMAL, &[one, "objective.name=tb", "policy.min_length=0"]), expected);
    assert!(read(MINIMAL, &[one, "objective.root_flow=learned"]).is_ok());
    assert!(read(MINIMAL, &[one, "policy.min_length=0"]).is_ok());
    assert_eq!(refusal(MINIMAL, &[one, "objective.root_flow=learned", "train.method=ppo"]), expected);
    assert!(read(MINIMAL, &[one, "train.method=sft"]).is_ok());
}

#[test]
fn the_resolved_config_loads_back_equal() {
    let configs = [
        vec![],
        vec![
            "model.path=a \"quoted\"\n[model]\npath",
            "model.adapter=start",
            "data.limit=1000",
            "data.validation_path=v",
            "adapter.target_modules=[\"c_attn\", \"c_proj\"]",
            "policy.stop_tokens=[13, 4294967295]",
            "policy.allow=^[a-z\\s]*$",
            "policy.forbid='''\"'''",
            "optimizer.learning_rate=0.1e-300",
            "optimizer.epsilon=1.0000000000000002",
            "optimizer.clip_norm=3",
            "model.precision=bf16",
            "train.seed=9223372036854775807",
            "train.method=ppo",
            "ppo.kl_target=3",
        ],
        vec!["task=infilling", "task.template={y}\n\t{x}", "task.separator="],
        vec!["task.template={topic}", "buffer.seed_from_data=true", EVERY_TERM],
        vec!["policy.stop_strings=[\"\\n\\n\", \"\\t.\"]", "optimizer.decay=linear"],
    ];
    for sets in configs {
        let config = with(&sets);
        let text = config.to_toml().unwrap();
        assert_eq!(Config::from_toml(&text, "config.toml", &[]).unwrap(), config, "{text}");
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }
}

#[test]
fn the_resolved_config_says_what_is_not_set() {
    let text = with(&["data.limit=100"]).to_toml().unwrap();
    let first = "# Not set: data.validation_path, model.adapter, optimizer.clip_norm, policy.allow, policy.forbid, \
                 ppo.kl_target";
    assert_eq!(text.lines().next(), Some(first));
}

#[test]
fn a_template_makes_a_task_of_ones_own() {
    assert_eq!(with(&[]).task.kind, TaskKind::Continuation);
    let none = MINIMAL.replace("task = \"continuation\"\n", "");
    let task = read(&none, &["task.template=About {topic}:"]).unwrap().task;
    assert_eq!((task.kind, task.template.as_str()), (TaskKind::Custom, "About {topic}:"));
    assert_eq!(with(&["task=custom"]).task.template, "{x}");
}

#[test]
fn a_file_is_named_by_its_path() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.toml");
    let error = Config::load(&path, &[]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
    std::fs::write(&path, MINIMAL.replace("seed", "sed")).unwrap();
    let expected = format!("{}:8: unknown key \"train.sed\"; did you mean \"train.seed\"?", path.display());
    assert_eq!(Config::load(&path, &[]).unwrap_err().to_string(), expected);
}

proptest::proptest! {
    #[test]
    fn no_input_panics(text in ".{0,80}", set in ".{0,40}") {
        let _ = read(&text, &[&set]);
        let _ = read(MINIMAL, &[&format!("train.steps={set}")]);
    }
}
