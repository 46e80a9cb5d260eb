//! Prints what the machine can do at best and what products of several shapes reach.

use std::hint::black_box;
use std::time::Instant;

use amortize_engine::{Device, Precision, Weight, ops::linear, probe};

fn main() {
    println!("memory: {:.1} GB/s", probe::memory_bandwidth() / 1e9);
    let device = Device::cpu();
    for precision in Precision::ALL {
        println!("{precision}: {:.0} Gflop/s", probe::product_rate(precision) / 1e9);
        for (rows, inputs, outputs) in
            [(16, 768, 50257), (16, 768, 2304), (16, 3072, 768), (416, 768, 3072), (416, 3072, 768)]
        {
            let weight = Weight::new(&device, outputs, inputs, &vec![0.1; outputs * inputs], precision);
            let x = device.from_host(rows, inputs, &vec![0.1; rows * inputs]);
            let dy = device.from_host(rows, outputs, &vec![0.1; rows * outputs]);
            let mut dx = device.zeros(rows, inputs);
            let flops = 2.0 * (rows * inputs * outputs) as f64;
            let rate = |body: &mut dyn FnMut()| {
                let mut best = f64::INFINITY;
                for _ in 0..15 {
                    let started = Instant::now();
                    body();
                    best = best.min(started.elapsed().as_secs_f64());
                }
                flops / best / 1e9
            };
            let forward = rate(&mut || drop(black_box(linear::forward(&x, &weight, None))));
            let backward = rate(&mut || linear::backward_input(&dy, &weight, &mut dx));
            println!("  {rows:4} x {inputs} -> {outputs}: forward {forward:.0}, backward {backward:.0} Gflop/s");
        }
    }
}
