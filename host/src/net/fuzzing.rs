//! What must hold of every address that an agent may ask.

use super::address::is_public;
use super::target::{Target, matches_pattern};
use crate::config::HttpLimits;

/// Checks an address and where it redirects to.
pub(crate) fn target(url: &str, location: &str) {
    let limits = HttpLimits::default();
    let Ok(target) = Target::parse(url, &limits) else {
        return;
    };
    check(&target);
    let again = Target::parse(target.url.as_str(), &limits).expect("its text is an address");
    assert!(again.host == target.host && again.same_origin(&target));
    if let Ok(next) = target.join(location, &limits) {
        check(&next);
    }
}

fn check(target: &Target) {
    let Target { url, host, private } = target;
    assert!(
        matches!(url.scheme(), "http" | "https") && !private,
        "{url}"
    );
    assert!(
        url.username().is_empty() && url.password().is_none(),
        "{url}"
    );
    assert!(!host.is_empty() && matches_pattern(host, host), "{host:?}");
    // As the one who dials reads it.
    let dialled = url.host_str().unwrap_or_default();
    let address = dialled.trim_matches(['[', ']']).parse().ok();
    assert!(address.is_none_or(is_public), "{url} is not public");
}
