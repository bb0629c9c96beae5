//! What a request asks for, read from its query and fields.

use crate::{MAX_SIDE, Size};

/// Sides of a small picture when nobody says.
pub const SIDE: usize = 128;

impl Size {
    /// What the query asks for; none where a side is no number from 1 to [`MAX_SIDE`]. A side that is not named follows from
    /// the other one; without any, both are [`SIDE`].
    pub fn of_query(query: &str) -> Option<Self> {
        let side = |name| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let text = pairs.find(|(other, _)| *other == name).map(|(_, text)| text);
            text.map(|text| text.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side)))
        };
        Some(match (side("width"), side("height")) {
            (None, None) => Self { width: SIDE, height: SIDE },
            (Some(width), None) => Self { width: width?, height: MAX_SIDE },
            (None, Some(height)) => Self { width: MAX_SIDE, height: height? },
            (Some(width), Some(height)) => Self { width: width?, height: height? },
        })
    }
}

/// Whether a client that says `accept` takes PNG: of all ranges that fit, the most exact one counts (RFC 9110, 12.5.1).
pub fn takes_png(accept: &str) -> bool {
    const RANGES: [&str; 3] = ["*/*", "image/*", "image/png"];
    let ranges = accept.split(',').filter_map(|range| {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        let rank = RANGES.iter().position(|range| name.trim().eq_ignore_ascii_case(range))?;
        Some((rank, !is_zero(parameters)))
    });
    accept.trim().is_empty() || ranges.max_by_key(|(rank, _)| *rank).is_some_and(|(_, taken)| taken)
}

/// Whether the parameters have a quality of 0: not at all.
fn is_zero(parameters: &str) -> bool {
    let mut pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
    let quality =
        pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("q")).map(|(_, value)| value.trim());
    quality
        .is_some_and(|value| value.starts_with('0') && value.bytes().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_come_from_the_query() {
        let size = |query| Size::of_query(query).map(|Size { width, height }| (width, height));
        assert_eq!(size(""), Some((SIDE, SIDE)));
        assert_eq!(size("v=7"), Some((SIDE, SIDE)));
        assert_eq!(size("width=64"), Some((64, MAX_SIDE)));
        assert_eq!(size("height=1&v=7&width=1024"), Some((1024, 1)));
        for query in ["width=0", "width=1025", "height=", "width=12px", "width=-1", "width=10&height=x"] {
            assert_eq!(size(query), None, "{query}");
        }
    }

    #[test]
    fn the_most_exact_range_counts() {
        for accept in
            ["*/*", "", "image/*", "IMAGE/PNG", "text/html, image/png;q=0.1", "image/webp, */*;q=0.5"]
        {
            assert!(takes_png(accept), "{accept}");
        }
        for accept in ["image/webp", "text/html", "*/*, image/png;q=0", "image/*; q=0.000, */*", "image/pngs"]
        {
            assert!(!takes_png(accept), "{accept}");
        }
    }
}
