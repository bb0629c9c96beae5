//! Texts in targets of requests.

use percent_encoding::percent_decode_str;
use selkie::prelude::*;

/// A text without its `%`; none when it is no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

/// The value of a name in a query.
pub(crate) fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(other, _)| *other == name).and_then(|(_, value)| decode(&value.replace('+', "%20")))
}
