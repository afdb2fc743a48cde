//! Placeholders: the templates that other tools fill in before they ask.
//!
//! `{{ args.name }}`, `{{ namespace }}`, `${scope}`: a value is put in where one is known, and the rest stays as it is and is named.

/// The text with its placeholders filled in, and the names of those that have no value.
pub(crate) fn fill(
    text: &str,
    open: &str,
    close: &str,
    value: impl Fn(&str) -> Option<String>,
) -> (String, Vec<String>) {
    let (mut out, mut missing) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let inner = &rest[start + open.len()..];
        let Some(end) = inner.find(close) else { break };
        let name = inner[..end].trim();
        out.push_str(&rest[..start]);
        match value(name) {
            Some(value) => out.push_str(&value),
            None => {
                out.push_str(&rest[start..start + open.len() + end + close.len()]);
                if !missing.iter().any(|m| m == name) {
                    missing.push(name.to_owned());
                }
            }
        }
        rest = &inner[end + close.len()..];
    }
    out.push_str(rest);
    (out, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_filled_in_and_others_are_named_once() {
        let value = |name: &str| (name == "a").then(|| "1".to_owned());
        let (text, missing) = fill("{{a}}-{{ b }}-{{ a }}-{{b}}-{{", "{{", "}}", value);
        assert_eq!((text.as_str(), missing), ("1-{{ b }}-1-{{b}}-{{", vec!["b".to_owned()]));
        assert_eq!(fill("é${x}", "${", "}", |_| Some("ü".into())), ("éü".into(), vec![]));
    }
}
