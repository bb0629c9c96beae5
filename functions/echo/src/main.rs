//! Repeats what is typed at its console, until somebody types `quit`.

#![no_std]
#![no_main]

use selkie::{input::Input, prelude::*};

selkie::entry!(main);

/// The rest of a longer line is left out.
const LONGEST: usize = 256;

fn main(sys: &mut System) -> Result<()> {
    let input = Input::new(sys)?;
    let mut buffer = [0; LONGEST];
    println!("Type a line; `quit` ends.");
    loop {
        let line = input.read_line(&mut buffer)?;
        println!("{} bytes: {}", line.len(), String::from_utf8_lossy(line));
        if line == b"quit" {
            return Ok(());
        }
    }
}
