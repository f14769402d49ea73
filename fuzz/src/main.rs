//! The targets under libFuzzer, which brings `main` along; `MANTLE_FUZZ` names the one.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mantle_fuzz::Target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("MANTLE_FUZZ").expect("MANTLE_FUZZ names a target; `cargo xtask fuzz` sets it");
    Target::ALL.into_iter().find(|target| target.name() == name).expect("a target of that name")
});

fuzz_target!(|input: &[u8]| TARGET.run(input));
