//! Makes small pictures of large ones.

#![no_std]
#![no_main]

use selkie::prelude::*;

selkie::entry!(main);

fn main(_: &mut System) {}
