//! How fast the parts of the float methods are, and the methods, on one thread.
//!
//! `cargo bench -p llmcl-codecs` measures weights that are made up; `cargo bench -p llmcl-codecs -- FILE` measures also
//! those of a safetensors file, all of it.
//!
//! A figure is the best of many runs, with the median after it, in GB (10^9 bytes) of weights a second. Runs go on for
//! a second at least, so that one that was not disturbed is among them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use llmcl_codecs::bytes::ByteReader;
use llmcl_codecs::formats::safetensors;
use llmcl_codecs::rans::{self, DecoderTable, EncoderTable, Frequencies};
use llmcl_codecs::{Dtype, Method, TensorView, resolve};

const SIZES: [(&str, usize); 3] = [("64 KiB", 1 << 16), ("1 MiB", 1 << 20), ("64 MiB", 1 << 26)];
const METHODS: [&str; 4] = [
    "exponent_static",
    "exponent_mantissa_static",
    "exponent_mantissa_scaled",
    "zstd_1",
];
const LEAST: Duration = Duration::from_secs(1);
const LEAST_RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!(
        "{:34} {:>9} {:>8} {:>8} {:>8}",
        "", "", "best", "median", "ratio"
    );
    for (size, bytes) in SIZES {
        parts(size, &weights(bytes));
        let data = weights(bytes);
        // Rows of 1,024 weights, of which small ones have fewer than 32.
        let shape = [bytes as u64 / 2048, 1024];
        let view = TensorView {
            name: "weights",
            dtype: Dtype::Bf16,
            shape: &shape,
            data: &data,
        };
        methods(size, &[view]);
    }
    for path in arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
    {
        let file = std::fs::read(path).unwrap();
        let index = safetensors::read(&file).unwrap();
        let views: Vec<TensorView<'_>> = index
            .tensors
            .iter()
            .map(|tensor| tensor.view(&file).unwrap())
            .collect();
        methods("file", &views);
    }
}

/// bf16 weights that are distributed as those of a matrix are: sums of uniform numbers.
fn weights(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut weight = || {
        let (a, b) = (next(), next());
        let parts = [a, a >> 16, a >> 32, a >> 48, b, b >> 16, b >> 32, b >> 48];
        let sum: f32 = parts.iter().map(|part| f32::from(*part as u16)).sum();
        (sum / 65536.0 - 4.0) * 0.03
    };
    (0..bytes / 2)
        .flat_map(|_| ((weight().to_bits() >> 16) as u16).to_le_bytes())
        .collect()
}

/// The parts that methods are made of.
fn parts(size: &str, data: &[u8]) {
    let mut copy = vec![0; data.len()];
    show("memcpy", size, data.len(), None, || {
        copy.copy_from_slice(black_box(data));
    });
    let words = data.as_chunks::<2>().0;
    let (mut exponents, mut rest) = (vec![0; words.len()], vec![0; words.len()]);
    show("split", size, data.len(), None, || {
        let parts = exponents.iter_mut().zip(&mut rest);
        for ((exponent, rest), [low, high]) in parts.zip(black_box(words)) {
            *exponent = high << 1 | low >> 7;
            *rest = high & 0x80 | low & 0x7f;
        }
    });
    let mut joined = vec![[0; 2]; words.len()];
    show("join", size, data.len(), None, || {
        let parts = black_box(&exponents).iter().zip(&rest);
        for (word, (exponent, rest)) in joined.iter_mut().zip(parts) {
            *word = [exponent << 7 | rest & 0x7f, rest & 0x80 | exponent >> 1];
        }
    });
    assert!(joined == words);
    let mut counts = [0u32; 256];
    show("histogram", size, data.len(), None, || {
        let mut four = [[0u32; 256]; 4];
        for bytes in black_box(&exponents).as_chunks::<4>().0 {
            for (table, &byte) in four.iter_mut().zip(bytes) {
                table[usize::from(byte)] += 1;
            }
        }
        counts = std::array::from_fn(|byte| four.iter().map(|table| table[byte]).sum());
    });
    assert_eq!(counts.iter().sum::<u32>() as usize, exponents.len());
    coder(size, "a symbol a weight", data.len(), &exponents);
    // Few symbols are found in another way.
    let few: Vec<u8> = exponents.iter().map(|exponent| exponent % 16).collect();
    coder(size, "of 16", data.len(), &few);
}

/// The coder on symbols, one for each weight.
fn coder(size: &str, what: &str, bytes: usize, symbols: &[u8]) {
    let mut counts = [0u32; 256];
    for &symbol in symbols {
        counts[usize::from(symbol)] += 1;
    }
    let frequencies = Frequencies::fit(&counts).unwrap();
    let (mut scratch, mut coded) = (Vec::new(), Vec::new());
    let table = EncoderTable::new(&frequencies);
    show(&format!("rANS encode, {what}"), size, bytes, None, || {
        coded.clear();
        rans::encode(black_box(symbols), &table, &mut scratch, &mut coded);
    });
    let table = DecoderTable::new(&[frequencies]);
    let mut decoded = vec![0; symbols.len()];
    show(&format!("rANS decode, {what}"), size, bytes, None, || {
        let mut reader = ByteReader::new(black_box(&coded));
        rans::decode(
            &mut reader,
            &table,
            symbols.len(),
            &mut |at, symbols: &mut [u8]| {
                decoded[at..at + symbols.len()].copy_from_slice(symbols);
                Ok(())
            },
        )
        .unwrap();
    });
    assert!(decoded == symbols);
}

fn methods(size: &str, views: &[TensorView<'_>]) {
    for name in METHODS {
        let method = resolve(name, &Default::default()).unwrap();
        let views: Vec<TensorView<'_>> = views
            .iter()
            .filter(|view| method.takes(view.dtype))
            .copied()
            .collect();
        let bytes: usize = views.iter().map(|view| view.data.len()).sum();
        let mut encoded = Vec::new();
        encode(&*method, &views, &mut encoded);
        let ratio = bytes as f64 / encoded.len() as f64;
        show(&format!("{name} encode"), size, bytes, Some(ratio), || {
            encode(&*method, black_box(&views), &mut encoded);
        });
        let mut decoded = Vec::with_capacity(bytes);
        show(&format!("{name} decode"), size, bytes, None, || {
            decoded.clear();
            method
                .decode(black_box(&encoded), None, &mut decoded)
                .unwrap();
        });
        assert!(
            decoded
                == views
                    .iter()
                    .flat_map(|view| view.data)
                    .copied()
                    .collect::<Vec<u8>>()
        );
    }
}

fn encode(method: &dyn Method, views: &[TensorView<'_>], encoded: &mut Vec<u8>) {
    encoded.clear();
    method.encode(views, None, encoded).unwrap();
}

/// Measures and prints.
fn show(what: &str, size: &str, bytes: usize, ratio: Option<f64>, mut work: impl FnMut()) {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < LEAST || times.len() < LEAST_RUNS {
        let start = Instant::now();
        work();
        times.push(start.elapsed());
    }
    times.sort();
    let speed = |time: Duration| bytes as f64 / 1e9 / time.as_secs_f64();
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.5}"));
    println!(
        "{what:34} {size:>9} {:8.2} {:8.2} {ratio:>8}",
        speed(times[0]),
        speed(times[times.len() / 2])
    );
}
