//! Media, written and read back.
