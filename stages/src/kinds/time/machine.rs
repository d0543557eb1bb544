//! What a speed depends on beside the program: the machine.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use llmcl_stages_api::machine::FactSort;
use llmcl_stages_api::value::Value;

/// How many threads run at once here.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The model of the CPU, as the system names it; the architecture where it does not.
pub(super) fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model_name(&info).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn model_name(info: &str) -> Option<String> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        let value = value.trim();
        (key.trim() == "model name" && !value.is_empty()).then(|| value.to_owned())
    })
}

/// The extensions of the instruction set that this CPU has, out of those that codecs use.
fn simd() -> Vec<&'static str> {
    extensions()
        .iter()
        .filter(|(_, detected)| *detected)
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(target_arch = "x86_64")]
fn extensions() -> [(&'static str, bool); 12] {
    [
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512dq", is_x86_feature_detected!("avx512dq")),
        ("avx512vbmi", is_x86_feature_detected!("avx512vbmi")),
        ("avx512vbmi2", is_x86_feature_detected!("avx512vbmi2")),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn extensions() -> [(&'static str, bool); 0] {
    []
}

/// The part of the key that says on what machine a speed was measured; there is one.
pub(super) static PROCESSOR: FactSort = FactSort {
    name: "processor",
    find: |_| Ok(Value::Record(environment())),
};

fn environment() -> BTreeMap<String, Value> {
    let simd = simd().into_iter().map(|name| Value::Text(name.to_owned()));
    BTreeMap::from([
        ("cpu".to_owned(), Value::Text(cpu())),
        (
            "threads".to_owned(),
            crate::columns::count(threads() as u64),
        ),
        ("simd".to_owned(), Value::List(simd.collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_read_from_the_systems_list() {
        let info =
            "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\nmodel name\t: other\n";
        assert_eq!(model_name(info).as_deref(), Some("AMD EPYC 9R14"));
        assert_eq!(model_name("processor\t: 0\n"), None);
    }
}
