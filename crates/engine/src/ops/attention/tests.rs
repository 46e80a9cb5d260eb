use super::*;
use crate::TreeLayout;
use crate::check::{gradient, tensor, weighted_sum};
use crate::cpu::arch;

const HEADS: Heads = Heads { heads: 4, kv_heads: 2, head_dim: 3, scale: 0.6 };

/// Two trees; in the first, children that see parts of their parents, three levels deep.
fn forest() -> TreeLayout {
    let mut layout = TreeLayout::new();
    let prompt = layout.root(3);
    let z = layout.child(prompt, 3, 4);
    layout.child(z, 5, 2);
    layout.child(z, 7, 1);
    layout.child(prompt, 2, 2);
    let other = layout.root(2);
    layout.child(other, 2, 3);
    layout
}

fn attend(layout: &TreeLayout, heads: Heads, qkv: &Tensor) -> Attended {
    let [q, k, v] = [heads.q_columns(), heads.k_columns(), heads.v_columns()].map(|range| qkv.columns(range));
    forward(&layout.attention_plan(), heads, q, k, v)
}

/// Attention of one row by its definition, over the rows on its path.
fn slow_row(qkv: &Tensor, path: &[usize], row: usize, head: usize) -> Vec<f32> {
    let columns = |base: Range<usize>, head: usize| base.start + head * 3..base.start + head * 3 + 3;
    let q = &qkv.row(row)[columns(HEADS.q_columns(), head)];
    let key = |r: usize| &qkv.row(r)[columns(HEADS.k_columns(), head / 2)];
    let value = |r: usize| &qkv.row(r)[columns(HEADS.v_columns(), head / 2)];
    let weights: Vec<f32> =
        path.iter().map(|r| (0.6 * q.iter().zip(key(*r)).map(|(a, b)| a * b).sum::<f32>()).exp()).collect();
    let total: f32 = weights.iter().sum();
    (0..3).map(|c| path.iter().zip(&weights).map(|(r, w)| w / total * value(*r)[c]).sum()).collect()
}

#[test]
fn every_row_attends_to_its_own_path_alone() {
    let layout = forest();
    let qkv = tensor(1, layout.len(), HEADS.qkv_width());
    let out = attend(&layout, HEADS, &qkv).out;
    let mut ids = Vec::new();
    // Rebuild the segments in order to walk every path.
    let mut again = TreeLayout::new();
    ids.push(again.root(3));
    ids.push(again.child(ids[0], 3, 4));
    ids.push(again.child(ids[1], 5, 2));
    ids.push(again.child(ids[1], 7, 1));
    ids.push(again.child(ids[0], 2, 2));
    ids.push(again.root(2));
    ids.push(again.child(ids[5], 2, 3));
    for id in ids {
        let path: Vec<usize> = (0..).map_while(|depth| again.row_at(id, depth)).collect();
        for row in again.rows(id) {
            let upto = path.iter().position(|r| *r == row).expect("a row is on its own path") + 1;
            for head in 0..4 {
                let found = &out.row(row)[head * 3..head * 3 + 3];
                for (found, expected) in found.iter().zip(slow_row(&qkv, &path[..upto], row, head)) {
                    assert!((found - expected).abs() < 1e-5);
                }
            }
        }
    }
}

#[test]
fn passes_finite_differences_on_a_forest() {
    let layout = forest();
    let qkv = tensor(2, layout.len(), HEADS.qkv_width());
    let c = tensor(3, layout.len(), 12);
    let d_qkv = backward(&layout.attention_plan(), HEADS, &qkv, &attend(&layout, HEADS, &qkv), &c);
    gradient(&qkv, &d_qkv, |qkv| weighted_sum(&attend(&layout, HEADS, qkv).out, &c));
}

/// On every instruction set, with heads that fill whole vectors and heads that do not.
#[test]
fn long_segments_go_in_tiles_and_agree_with_short_ones() {
    // A chain of one-row segments takes the row path; one long segment takes tiles.
    let mut long = TreeLayout::new();
    let rows = 2 * TILE + 5;
    long.root(rows);
    let mut chain = TreeLayout::new();
    let mut last = chain.root(1);
    for depth in 1..rows {
        last = chain.child(last, depth, 1);
    }
    for head_dim in [3, 20, 32] {
        let heads = Heads { head_dim, ..HEADS };
        let (qkv, c) = (tensor(4, rows, heads.qkv_width()), tensor(5, rows, 4 * head_dim));
        let run = |layout: &TreeLayout| {
            let attended = attend(layout, heads, &qkv);
            let d_qkv = backward(&layout.attention_plan(), heads, &qkv, &attended, &c);
            (attended.out, d_qkv)
        };
        for force in arch::available() {
            arch::with(force, || {
                let ((a, da), (b, db)) = (run(&long), run(&chain));
                for (a, b) in a.host().iter().zip(b.host()) {
                    assert!((a - b).abs() < 1e-5);
                }
                for (a, b) in da.host().iter().zip(db.host()) {
                    assert!((a - b).abs() < 1e-4);
                }
            });
        }
    }
}

/// Decoding: draws that share a prompt and follow one another's tokens in a cache, on every instruction set.
#[test]
fn queries_alone_attend_by_the_definition() {
    for (head_dim, kv_heads) in [(20, 2), (16, 4), (3, 1)] {
        let heads = Heads { heads: 4, kv_heads, head_dim, scale: 0.3 };
        // One prompt to three and one to two; a prompt that is seen in part, pieces that do not follow one another, and a draw without a
        // prompt.
        let family = [vec![0..70, 80..83], vec![0..70, 90..90], vec![0..70, 100..110, 120..121]];
        let others = [vec![5..40, 80..80], vec![5..40, 81..82], vec![0..41, 60..62, 100..139], vec![]];
        let contexts: Vec<Vec<Range<usize>>> = family.into_iter().chain(others).collect();
        let mut plan = AttentionPlan::default();
        let segment = |(query, context): (usize, &Vec<Range<usize>>)| AttentionSegment {
            queries: query..query + 1,
            context: context.clone(),
            own: 140 + query,
        };
        plan.add_group(contexts.iter().enumerate().map(segment));
        let alone = |query: usize| {
            let mut plan = AttentionPlan::default();
            plan.add_group([segment((query, &contexts[query]))]);
            plan
        };
        let (q, cache) = (tensor(6, contexts.len(), 4 * head_dim), tensor(7, 150, 2 * kv_heads * head_dim));
        let width = kv_heads * head_dim;
        let expected = |row: usize, head: usize| -> Vec<f32> {
            let keys: Vec<usize> = contexts[row].iter().cloned().flatten().chain([140 + row]).collect();
            let columns = head / (4 / kv_heads) * head_dim..;
            let score = |key: &usize| -> f32 {
                let q = &q.row(row)[heads.of(head)];
                q.iter().zip(&cache.row(*key)[columns.clone()]).map(|(q, k)| q * k).sum()
            };
            let weights: Vec<f32> = keys.iter().map(|key| (0.3 * score(key)).exp()).collect();
            let total: f32 = weights.iter().sum();
            let value = |key: usize, c: usize| cache.row(key)[width + columns.start + c];
            let mixed = |c| keys.iter().zip(&weights).map(|(key, w)| w / total * value(*key, c)).sum();
            (0..head_dim).map(mixed).chain([total.ln()]).collect()
        };
        for force in arch::available() {
            arch::with(force, || {
                let attend = |plan: &AttentionPlan| {
                    forward(plan, heads, q.view(), cache.columns(0..width), cache.columns(width..2 * width))
                };
                let attended = attend(&plan);
                for query in 0..contexts.len() {
                    let found = attend(&alone(query));
                    assert_eq!(found.out.row(query), attended.out.row(query), "whoever is beside query {query}");
                    assert_eq!(found.lse.row(query), attended.lse.row(query));
                }
                for (row, head) in (0..contexts.len()).flat_map(|row| (0..4).map(move |head| (row, head))) {
                    let found = attended.out.row(row)[heads.of(head)].iter().chain([&attended.lse.row(row)[head]]);
                    for (found, expected) in found.zip(expected(row, head)) {
                        assert!((found - expected).abs() < 1e-5, "query {row}, head {head}: {found} {expected}");
                    }
                }
            });
        }
    }
}
