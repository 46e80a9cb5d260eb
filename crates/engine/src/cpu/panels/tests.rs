use super::steps::{RowStep, TileRow};
use super::store::Line;
use super::tiles::RowTiles;
use super::*;
use crate::Device;
use crate::check::numbers;

/// What a kernel sees of its operands.
fn seen(value: f32, precision: Precision) -> f32 {
    if Steps::of(precision) == Steps::Singles { value } else { rounded_to_bf16(value) }
}

/// Three loops: `y = start + 0.5 x Wᵀ`.
fn slow_forward(w: &[f32], x: &[f32], inputs: usize, outputs: Range<usize>, y: &mut [f32]) {
    let width = outputs.len();
    for (x, y) in x.chunks(inputs).zip(y.chunks_mut(width)) {
        for (y, output) in y.iter_mut().zip(outputs.clone()) {
            *y += 0.5 * x.iter().zip(&w[output * inputs..]).map(|(x, w)| x * w).sum::<f32>();
        }
    }
}

fn slow_backward(w: &[f32], dy: &[f32], inputs: usize, outputs: Range<usize>, dx: &mut [f32]) {
    for (dy, dx) in dy.chunks(outputs.len()).zip(dx.chunks_mut(inputs)) {
        for (dy, output) in dy.iter().zip(outputs.clone()) {
            for (dx, w) in dx.iter_mut().zip(&w[output * inputs..]) {
                *dx += dy * w;
            }
        }
    }
}

/// Equal up to the rounding of f32 sums.
fn assert_close(found: &[f32], expected: &[f32]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4 * expected.abs().max(1.0), "{found} {expected}");
    }
}

const SHAPES: [(usize, usize); 6] = [(1, 1), (31, 7), (64, 33), (100, 530), (33, 4), (70, 1100)];

/// Every product on every instruction set agrees with three loops over the weights as they are stored.
fn check(precision: Precision) {
    for (outputs, inputs) in SHAPES {
        let packed = Panels::pack(outputs, inputs, &numbers(1, outputs * inputs), precision);
        let w = packed.unpack();
        for n in [1, 2, 5, 12, 13, 29] {
            for panels in [0..packed.count(), packed.count() - 1..packed.count()] {
                let range = packed.outputs_of(&panels);
                let (x, dy) = (numbers(2, n * inputs), numbers(3, n * range.len()));
                for force in arch::available() {
                    arch::with(force, || {
                        // What the kernel sees of its left operand, and of a weight that is no bf16 yet.
                        let seen =
                            |values: &[f32]| -> Vec<f32> { values.iter().map(|v| seen(*v, precision)).collect() };
                        let w = seen(&w);
                        let (mut y, mut dx) = (dy.clone(), x.clone());
                        slow_forward(&w, &seen(&x), inputs, range.clone(), &mut y);
                        slow_backward(&w, &seen(&dy), inputs, range.clone(), &mut dx);
                        let (mut found_y, mut found_dx) = (dy.clone(), x.clone());
                        let operand = packed.operand(RowsView::new(&x, inputs), 0.5, &Device::cpu());
                        packed.forward(panels.clone(), &operand, Start::There, Target::new(&mut found_y, range.len()));
                        let operand = packed.operand(RowsView::new(&dy, range.len()), 1.0, &Device::cpu());
                        packed.backward(panels.clone(), &operand, Start::There, Target::new(&mut found_dx, inputs));
                        assert_close(&found_y, &y);
                        assert_close(&found_dx, &dx);
                    });
                }
            }
        }
    }
}

#[test]
fn f32_products_agree_with_three_loops_on_every_instruction_set() {
    check(Precision::F32);
}

#[test]
fn bf16_products_agree_with_three_loops_on_every_instruction_set() {
    check(Precision::Bf16);
}

#[test]
fn int8_products_agree_with_three_loops_on_every_instruction_set() {
    check(Precision::Int8);
}

/// Updates on whole panels, on others, and none on some columns, beside products of their own.
#[test]
fn an_updated_product_is_the_sum_of_products() {
    let (n, outputs, rank) = (29, 164, 7);
    for (inputs, precision) in [(70, Precision::F32), (1100, Precision::Bf16), (70, Precision::Int8)] {
        let packed = Panels::pack(outputs, inputs, &numbers(1, outputs * inputs), precision);
        let beside = if precision == Precision::F32 { Precision::F32 } else { Precision::Bf16 };
        let columns = [32..96, 128..164, 3..33];
        let bs = columns.clone().map(|part| Panels::pack(part.len(), rank, &numbers(2, part.len() * rank), beside));
        let (x, u) = (numbers(3, n * inputs), numbers(4, n * rank));
        for force in arch::available() {
            arch::with(force, || {
                let device = Device::cpu();
                let x = packed.operand(RowsView::new(&x, inputs), 1.0, &device);
                let u = bs[0].operand(RowsView::new(&u, rank), 0.5, &device);
                let (mut expected, mut found) = (vec![0.0; n * outputs], vec![9.0; n * outputs]);
                packed.forward(0..packed.count(), &x, Start::Zero, Target::new(&mut expected, outputs));
                let updates = columns.clone().into_iter().zip(&bs).map(|(columns, b)| Update { b, u: &u, columns });
                for Update { b, u, columns } in updates.clone() {
                    let target = Target::columns(&mut expected, outputs, columns.start);
                    b.forward(0..b.count(), u, Start::There, target);
                }
                let updates: Vec<Update> = updates.collect();
                packed.forward_updated(&x, &updates, Start::Zero, Target::new(&mut found, outputs));
                assert_close(&found, &expected);
            });
        }
    }
}

#[test]
fn a_stored_weight_is_as_near_as_its_precision_allows() {
    for (outputs, inputs) in SHAPES {
        let w = numbers(1, outputs * inputs);
        assert_eq!(Panels::pack(outputs, inputs, &w, Precision::F32).unpack(), w);
        for (stored, w) in Panels::pack(outputs, inputs, &w, Precision::Bf16).unpack().iter().zip(&w) {
            assert!((stored - w).abs() <= w.abs() / 256.0, "{stored} {w}");
        }
        let int8 = Panels::pack(outputs, inputs, &w, Precision::Int8).unpack();
        for (stored, w) in int8.chunks(inputs).zip(w.chunks(inputs)) {
            for (stored, w) in stored.chunks(BLOCK).zip(w.chunks(BLOCK)) {
                let largest = w.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                for (stored, w) in stored.iter().zip(w) {
                    assert!((stored - w).abs() <= 1.001 * largest / 254.0, "{stored} {w}");
                }
            }
        }
    }
}

#[test]
fn a_product_writes_its_own_columns_over_what_it_starts_from() {
    let w = numbers(1, 40 * 3);
    let packed = Panels::pack(40, 3, &w, Precision::F32);
    let x = numbers(2, 2 * 3);
    let operand = packed.operand(RowsView::new(&x, 3), 1.0, &Device::cpu());
    let bias = numbers(3, 40);
    let mut plain = vec![0.0; 2 * 40];
    packed.forward(0..2, &operand, Start::There, Target::new(&mut plain, 40));
    let mut found = vec![9.0; 2 * 50];
    packed.forward(0..2, &operand, Start::Bias(&bias), Target::columns(&mut found, 50, 5));
    for (found, plain) in found.chunks(50).zip(plain.chunks(40)) {
        assert!(found[..5].iter().chain(&found[45..]).all(|value| *value == 9.0));
        for ((found, plain), bias) in found[5..45].iter().zip(plain).zip(&bias) {
            assert_eq!(*found, plain + bias);
        }
    }
    packed.forward(0..2, &operand, Start::Zero, Target::columns(&mut found, 50, 5));
    assert_eq!(found[5..45], plain[..40]);
}

#[test]
fn rows_may_be_some_columns_of_a_wider_buffer() {
    let packed = Panels::pack(5, 4, &numbers(1, 20), Precision::F32);
    let wide = numbers(2, 3 * 9);
    let narrow: Vec<f32> = wide.chunks(9).flat_map(|row| row[2..6].to_vec()).collect();
    let (mut a, mut b) = (vec![0.0; 15], vec![0.0; 15]);
    let view = RowsView::columns(&wide, 9, 2..6);
    packed.forward(0..1, &packed.operand(view, 1.0, &Device::cpu()), Start::Zero, Target::new(&mut a, 5));
    packed.forward(
        0..1,
        &packed.operand(RowsView::new(&narrow, 4), 1.0, &Device::cpu()),
        Start::Zero,
        Target::new(&mut b, 5),
    );
    assert_eq!(a, b);
}

#[test]
fn bf16_rounds_to_even_and_keeps_what_is_no_number() {
    assert_eq!(rounded_to_bf16(1.0 + 1.0 / 256.0), 1.0);
    assert_eq!(rounded_to_bf16(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
    assert!(rounded_to_bf16(f32::NAN).is_nan());
    assert_eq!(rounded_to_bf16(f32::NEG_INFINITY), f32::NEG_INFINITY);
}

/// Rows packed and lines transposed by shuffles are those of plain loops, bit for bit.
#[test]
fn fast_transposes_agree_with_plain_loops_on_every_instruction_set() {
    let x = numbers(1, WIDTH * WIDTH + 700);
    let lines: [Line; WIDTH] = std::array::from_fn(|i| Line(x[i * WIDTH..(i + 1) * WIDTH].try_into().unwrap()));
    for force in arch::available() {
        arch::with(force, || {
            if !native::has_transposes() {
                return;
            }
            let mut found = [Line::ZERO; WIDTH];
            native::transpose_lines(&lines, &mut found);
            assert_eq!(found, std::array::from_fn(|i| Line(std::array::from_fn(|j| lines[j].0[i]))));
            for (height, width) in [(1, 1), (6, 8), (6, 37), (5, 3), (2, 64), (1, 17)] {
                let view = RowsView::columns(&x[..height * 100], 100, 3..3 + width);
                let (mut found, mut plain) = (vec![9.0; height * width], vec![0.0; height * width]);
                steps::pack_plainly(height, |i| view.row(i), 0.5, &mut plain);
                native::pack_singles(height, |i| view.row(i), 0.5, &mut found);
                assert_eq!(found, plain);
            }
        });
    }
}

/// Sums shorter and longer than a strip; rows and columns that fill no tile and no panel, and of a wider buffer.
#[test]
fn products_of_changing_operands_agree_with_three_loops_on_every_instruction_set() {
    let device = Device::cpu();
    for (n, rows, cols) in [(1, 1, 1), (3, 6, 32), (65, 13, 33), (515, 31, 7), (1030, 12, 70), (0, 2, 3)] {
        let (a, b, before) = (numbers(1, n * (rows + 5)), numbers(2, n * (cols + 3)), numbers(3, rows * cols));
        let (a, b) = (RowsView::columns(&a, rows + 5, 2..2 + rows), RowsView::columns(&b, cols + 3, 3..3 + cols));
        for (force, precision) in arch::available().into_iter().flat_map(|force| Precision::ALL.map(|p| (force, p))) {
            arch::with(force, || {
                let seen = |value: f32| seen(value, precision);
                let dot =
                    |i: usize, j: usize| -> f32 { (0..n).map(|row| seen(a.row(row)[i]) * seen(b.row(row)[j])).sum() };
                let products: Vec<f32> = (0..rows * cols).map(|at| 0.5 * dot(at / cols, at % cols)).collect();
                let sums: Vec<f32> = products.iter().zip(&before).map(|(product, before)| product + before).collect();
                for (start, expected) in [(Start::Zero, products), (Start::There, sums)] {
                    let mut found = before.clone();
                    multiply_transposed(a, b, 0.5, (start, Target::new(&mut found, cols)), precision, &device);
                    assert_close(&found, &expected);
                }
            });
        }
    }
}

#[test]
fn packed_columns_are_rows_of_the_transpose_on_every_instruction_set() {
    let device = Device::cpu();
    let width = 103;
    for n in [150, 151] {
        let x = numbers(1, n * (width + 4));
        let view = RowsView::columns(&x, width + 4, 1..1 + width);
        let transposed: Vec<f32> = (0..width).flat_map(|col| (0..n).map(move |row| view.row(row)[col])).collect();
        let transposed = RowsView::new(&transposed, n);
        for force in arch::available() {
            arch::with(force, || {
                assert_same_columns::<f32>(view, transposed, &device);
                match arch::bf16() {
                    Bf16::Widened => {}
                    Bf16::Pairs => assert_same_columns::<u32>(view, transposed, &device),
                    Bf16::Tiles => assert_same_columns::<TileRow>(view, transposed, &device),
                }
            });
        }
    }
}

fn assert_same_columns<T: RowStep + PartialEq + std::fmt::Debug>(x: RowsView, transposed: RowsView, device: &Device) {
    let (found, expected) = (RowTiles::<T>::columns_of(x, 0.5, device), RowTiles::rows_of(transposed, 0.5, device));
    assert_eq!(found.tiles, expected.tiles);
    let steps = 0..transposed.width().div_ceil(T::VALUES);
    for tile in &expected.tiles {
        assert_eq!(found.part(tile, &steps), expected.part(tile, &steps));
    }
}

/// Rows are multiplied in blocks, and a row knows nothing of the others in its block.
#[test]
fn a_row_of_a_product_does_not_depend_on_the_rows_around_it() {
    let device = Device::cpu();
    // Some blocks of rows in every precision, and one.
    let (n, few, long, short) = (1200, 400, 530, 70);
    let x = numbers(2, n * long);
    for precision in Precision::ALL {
        let down = Panels::pack(short, long, &numbers(1, short * long), precision);
        let up = Panels::pack(long, short, &numbers(1, short * long), precision);
        let forward = |x: &[f32]| {
            let mut y = vec![0.0; x.len() / long * short];
            let operand = down.operand(RowsView::new(x, long), 1.0, &device);
            down.forward(0..down.count(), &operand, Start::Zero, Target::new(&mut y, short));
            y
        };
        let backward = |dy: &[f32]| {
            let mut dx = vec![0.0; dy.len() / long * short];
            let operand = up.operand(RowsView::new(dy, long), 1.0, &device);
            up.backward(0..up.count(), &operand, Start::Zero, Target::new(&mut dx, short));
            dx
        };
        for force in arch::available() {
            arch::with(force, || {
                assert!(forward(&x) == x.chunks(few * long).flat_map(forward).collect::<Vec<f32>>());
                assert!(backward(&x) == x.chunks(few * long).flat_map(backward).collect::<Vec<f32>>());
            });
        }
    }
}
