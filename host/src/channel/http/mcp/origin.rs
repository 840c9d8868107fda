//! Which pages in browsers may talk to `/mcp`: those of this machine, of this
//! host's own address, and what the operator names.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};

use super::super::{Code, Problem};
use crate::config::Server;

/// Refuses a page from elsewhere. What is no page sends no origin.
///
/// # Errors
///
/// `forbidden`.
pub(super) fn check(headers: &HeaderMap, server: &Server) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    if is_allowed(origin, headers, server) {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "pages of this origin may not talk to /mcp; [server] allowed_origins names those that may",
    ))
}

fn is_allowed(origin: &str, headers: &HeaderMap, server: &Server) -> bool {
    if server.allowed_origins.iter().any(|known| known == origin) {
        return true;
    }
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    match (uri.scheme(), uri.authority()) {
        (Some(_), Some(authority)) => {
            is_loopback(authority.host())
                || (!is_local(&server.listen) && is_asked(authority.as_str(), headers))
        }
        _ => false,
    }
}

/// Whether the request was sent to the host that the page is from.
fn is_asked(authority: &str, headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

/// Whether only this machine is listened to: then a name that leads here and is
/// not this machine's is a trick (DNS rebinding).
fn is_local(listen: &str) -> bool {
    match listen.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => listen.starts_with("localhost:"),
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: &str, listen: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "agents.example:8080".parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        let server = Server {
            listen: listen.to_owned(),
            allowed_origins: vec!["https://console.example".to_owned()],
            ..Server::default()
        };
        check(&headers, &server).is_ok()
    }

    #[test]
    fn pages_of_this_machine_and_named_ones_may() {
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:5173",
            "https://console.example",
        ] {
            assert!(allowed(origin, "127.0.0.1:8080"), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "https://console.example.evil",
            "localhost",
        ] {
            assert!(!allowed(origin, "0.0.0.0:8080"), "{origin}");
        }
    }

    #[test]
    fn the_own_address_counts_where_others_can_reach_it() {
        assert!(allowed("http://agents.example:8080", "0.0.0.0:8080"));
        assert!(!allowed("http://agents.example:8080", "127.0.0.1:8080"));
    }
}
