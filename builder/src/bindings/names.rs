//! From libsel4's names to Rust's.

use super::era::Names;

/// `name` in snake case: `IRQControl` becomes `irq_control`, `X86PDPTMap` `x86_pdpt_map`.
///
/// A new word begins at a capital after a small letter or digit, and at the last of several capitals
/// when a small letter follows. The words of [`Names::words`] stay in one piece.
pub(super) fn snake(name: &str, names: &Names) -> String {
    let mut pieces = name.to_owned();
    for word in &names.words {
        pieces = pieces.replace(word, &format!("_{}_", word.to_lowercase()));
    }
    let letters: Vec<char> = pieces.chars().collect();
    let mut snake = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| letters[index]);
        let after = letters.get(index + 1);
        let begins = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if begins {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    let words: Vec<_> = snake.split('_').filter(|word| !word.is_empty()).collect();
    words.join("_")
}

/// `name` in capitals: `X86PDPTMap` becomes `X86_PDPT_MAP`.
pub(super) fn capitals(name: &str, names: &Names) -> String {
    snake(name, names).to_uppercase()
}

/// `name` as a function or parameter: in snake case, and no keyword.
pub(super) fn identifier(name: &str, names: &Names) -> String {
    const KEYWORDS: &[&str] = &[
        "as", "box", "const", "fn", "in", "loop", "match", "mod", "move", "ref", "self", "type", "use",
        "yield",
    ];
    let snake = snake(name, names);
    if KEYWORDS.contains(&snake.as_str()) { format!("{snake}_") } else { snake }
}

/// `name` without the longest of the prefixes that the era takes off.
pub(super) fn stripped<'a>(name: &'a str, names: &Names) -> &'a str {
    let rests = names.strip_prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix.as_str()));
    rests.min_by_key(|rest| rest.len()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { strip_prefixes: vec!["seL4_".into(), "seL4_X86_".into()], words: vec!["CNode".into()] }
    }

    #[test]
    fn words_are_told_apart_by_their_capitals() {
        for (name, expected) in [
            ("Untyped_Retype", "untyped_retype"),
            ("TCBSetMCPriority", "tcb_set_mc_priority"),
            ("IRQControl_GetIOAPIC", "irq_control_get_ioapic"),
            ("CNodeCancelBadgedSends", "cnode_cancel_badged_sends"),
            ("CNode_Copy", "cnode_copy"),
            ("X86PDPTMap", "x86_pdpt_map"),
            ("X86IOPortIn8", "x86_io_port_in8"),
            ("PML4Map", "pml4_map"),
            ("bufferFrame", "buffer_frame"),
            ("rip", "rip"),
        ] {
            assert_eq!(snake(name, &names()), expected);
        }
        assert_eq!(capitals("NBSend", &names()), "NB_SEND");
        assert_eq!(identifier("type", &names()), "type_");
    }

    #[test]
    fn the_longest_prefix_is_taken_off() {
        for (name, expected) in [("seL4_X86_Page", "Page"), ("seL4_TCB", "TCB"), ("other", "other")] {
            assert_eq!(stripped(name, &names()), expected);
        }
    }
}
