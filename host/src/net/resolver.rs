//! Names to addresses, of which only public ones come out. The client connects
//! to what is answered here and to nothing else, so there is no moment between
//! the check and the connection in which a name could change its meaning.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::address::is_public;

/// A name has no public address.
#[derive(Debug, Error)]
#[error("the name has no public address")]
pub(super) struct NotPublic;

/// How names are looked up; tests have their own.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's way.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Answers public addresses only, unless `any`.
pub(super) struct Resolver {
    pub(super) lookup: Lookup,
    pub(super) any: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let looked_up = (self.lookup)(name.as_str().to_owned());
        let any = self.any;
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = looked_up
                .await?
                .into_iter()
                .filter(|&address| any || is_public(address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if addresses.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
