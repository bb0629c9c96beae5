//! Greets, and says where it runs: the smallest function that does something.

#![no_std]
#![no_main]

use selkie::prelude::*;

selkie::entry!(main);

fn main(sys: &mut System) {
    let name = args().next().unwrap_or("world");
    println!("Hello, {name}!");
    println!("This is seL4 {} with {} MiB of memory.", sys.kernel_version(), sys.memory_size() >> 20);
}
