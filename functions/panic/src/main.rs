//! Panics. A smoke test of it must fail.

#![no_std]
#![no_main]

use selkie::prelude::*;

selkie::entry!(main);

fn main(_: &mut System) {
    println!("about to panic");
    panic!("as it should");
}
