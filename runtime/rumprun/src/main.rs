//! The platform that NetBSD's rump kernel runs on.

#![no_std]
#![no_main]

use selkie::System;

selkie::entry!(run);

fn run(_: &mut System) -> u8 {
    0
}
