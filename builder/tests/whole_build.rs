//! Whole builds, from a recipe to an image: what is built when, and that it is the same everywhere.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

mod common;

use common::Checkout;

#[test]
fn an_image_is_built_once() {
    let checkout = Checkout::new();
    let first = checkout.build().good();
    println!("{first:?}");
    assert!(first.ran("root task"));
    let second = checkout.build().good();
    println!("{second:?}");
    assert!(second.nothing_to_do());
    assert_eq!(first.members(), second.members());
}
