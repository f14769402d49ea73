//! What Mantle's kernel program and its agent share: wire formats and map layouts.
#![no_std]

pub mod wire;
