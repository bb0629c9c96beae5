//! What a client takes (RFC 9110, 12.5.1).

/// Whether `accept` takes PNG: of all that fit, the most exact range counts.
pub(crate) fn takes_png(accept: &str) -> bool {
    let ranks = ["*/*", "image/*", "image/png"];
    let ranges = accept.split(',').filter_map(|range| {
        let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
        let rank = ranks.iter().position(|rank| name.trim().eq_ignore_ascii_case(rank))?;
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
