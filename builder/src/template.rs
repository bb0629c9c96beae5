//! Filling in the templates of `templates/`, which are part of this crate.

use handlebars::{Handlebars, no_escape};
use serde::Serialize;

/// `template` with `data` in it, as it is: what comes out is never HTML.
///
/// # Panics
/// When the template is malformed or names what `data` has not. Both are fixed when the builder is compiled,
/// and a test renders each template.
pub(crate) fn render(template: &str, data: &impl Serialize) -> String {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(no_escape);
    handlebars.render_template(template, data).expect("a test renders each template")
}
