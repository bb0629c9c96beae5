//! Sizes and periods with units, in and out.

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes.
pub const MIB: u64 = 1 << 20;
/// 1 GiB in bytes.
pub const GIB: u64 = 1 << 30;

/// Units of sizes with their bytes, small to large.
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", GIB)];
/// Units of periods with their milliseconds, small to large.
const PERIODS: [(&str, u64); 3] = [("ms", 1), ("s", 1000), ("min", 60_000)];

/// Units that people write for sizes, lower case, and the one that is meant.
const SIZE_HABITS: [(&str, &str); 15] = [
    ("b", "B"),
    ("byte", "B"),
    ("bytes", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("ki", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mi", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gi", "GiB"),
    ("gib", "GiB"),
];
/// The same for periods.
const PERIOD_HABITS: [(&str, &str); 13] = [
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("ms", "ms"),
    ("s", "s"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("m", "min"),
    ("min", "min"),
    ("minute", "min"),
    ("minutes", "min"),
];

/// Why a size or a period is none, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadQuantity {
    /// What is wrong, to follow the quoted text.
    pub(super) what: String,
    /// What to do.
    pub(super) help: String,
}

/// The bytes of `text`, for instance `64 MiB`.
pub(super) fn parse_size(text: &str) -> Result<u64, BadQuantity> {
    parse(text, "a size", "64 MiB", &SIZES, &SIZE_HABITS)
}

/// The milliseconds of `text`, for instance `500 ms`.
pub(super) fn parse_period(text: &str) -> Result<u64, BadQuantity> {
    parse(text, "a period", "20 s", &PERIODS, &PERIOD_HABITS)
}

/// `bytes` with the largest unit that leaves a whole number, for instance `64 MiB`.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

/// `millis` with the largest unit that leaves a whole number, for instance `20 s`.
pub fn show_period(millis: u64) -> String {
    show(millis, &PERIODS)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor));
    let (unit, factor) = fitting.unwrap_or(&units[0]);
    format!("{} {unit}", amount / factor)
}

fn parse(
    text: &str,
    kind: &str,
    example: &str,
    units: &[(&str, u64)],
    habits: &[(&str, &str)],
) -> Result<u64, BadQuantity> {
    let list = units.iter().map(|(unit, _)| format!("`{unit}`")).collect::<Vec<_>>().join(", ");
    let bad = |what: String, help: String| Err(BadQuantity { what, help });
    let write = format!("write a whole number and a unit ({list}), for instance `\"{example}\"`");
    let trimmed = text.trim();
    let digits = trimmed.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = (&trimmed[..digits], trimmed[digits..].trim());
    if number.is_empty() {
        return bad(format!("is not {kind}"), write);
    }
    if unit.is_empty() {
        return bad("has no unit".into(), write);
    }
    if unit.starts_with(['.', ',']) {
        return bad("is not a whole number".into(), format!("{write}; a smaller unit avoids the fraction"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let habit = habits.iter().find(|(habit, _)| *habit == unit.to_lowercase());
        let help = match habit {
            Some((_, meant)) => format!("write `\"{number} {meant}\"`"),
            None => write,
        };
        return bad(format!("has the unit `{unit}`, which is none of {list}"), help);
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)) {
        Some(amount) => Ok(amount),
        None => bad("is too large".into(), "write a smaller number".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_periods_are_read_as_they_are_shown() {
        for bytes in [0, 1, 4096, 64 * KIB, 3 * MIB + 1, 6 * GIB, u64::MAX] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [0, 1, 1500, 30_000, 60_000, 61_000] {
            assert_eq!(parse_period(&show_period(millis)), Ok(millis));
        }
        assert_eq!(show_size(64 * MIB), "64 MiB");
        assert_eq!(show_period(90_000), "90 s");
        assert_eq!(parse_size("64MiB"), Ok(64 * MIB));
    }

    #[test]
    fn habitual_units_are_told_the_right_one() {
        assert_eq!(parse_size("64 MB").unwrap_err().help, "write `\"64 MiB\"`");
        assert_eq!(parse_size("64k").unwrap_err().help, "write `\"64 KiB\"`");
        assert_eq!(parse_period("2 Minutes").unwrap_err().help, "write `\"2 min\"`");
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            " ",
            "MiB",
            "-1 MiB",
            "1.5 GiB",
            "64",
            "64 XiB",
            "99999999999999999999 B",
            "17179869184 GiB",
            "٣ MiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
