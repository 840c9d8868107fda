//! Looking at a component before anything compiles or runs it: what it is, what
//! it needs, what it offers, and what its manifest says.
//!
//! Everything that does not fit is a `Misfit`, a sentence that tells its reader
//! what to do next.

mod misfit;
mod names;

use sha2::{Digest, Sha256};
use wasmparser::{
    BinaryReader, ComponentExternalKind, ComponentTypeRef, Parser, Payload, TypeBounds, Validator,
};

pub use misfit::Misfit;

use super::Manifest;

/// The contract's version that this host speaks, as in `wit/`.
pub const CONTRACT: &str = "0.1.0";

/// The custom section that a manifest may be in.
const MANIFEST_SECTION: &str = "anchorhold:manifest";

/// What the first four bytes of all WebAssembly are.
const MAGIC: &[u8] = b"\0asm";

/// What is known of a component that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// SHA-256, hex.
    pub digest: String,
    pub size: u64,
    /// The contract's version that it was built for.
    pub contract: String,
    /// The contract's interfaces that it exports, for example `chat`.
    pub exports: Vec<String>,
    /// Everything that it imports, for example `wasi:io/streams@0.2.6`.
    pub imports: Vec<String>,
    /// The manifest inside, if there is one.
    pub manifest: Option<Manifest>,
}

/// Whether a manifest inside the component counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    /// It must be right.
    Counts,
    /// A file beside the component replaces it.
    Replaced,
}

/// Looks at a component of at most `max_bytes`.
///
/// # Errors
///
/// If it is no component, is too large, was built for another contract, needs
/// what this host does not lend, or offers nothing that this host calls.
pub fn inspect(bytes: &[u8], max_bytes: u64, embedded: Embedded) -> Result<Inspection, Misfit> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > max_bytes {
        return Err(Misfit::TooLarge { max_bytes });
    }
    check_format(bytes)?;
    check_complete(bytes)?;
    Validator::new().validate_all(bytes).map_err(invalid)?;
    let outline = Outline::read(bytes)?;
    let contract = names::check(&outline.imports, &outline.exports)?;
    Ok(Inspection {
        digest: hex::encode(Sha256::digest(bytes)),
        size,
        contract,
        exports: names::offered(&outline.exports),
        manifest: outline.manifest(embedded)?,
        imports: outline.imports,
    })
}

/// Whether these are the first bytes of a component.
fn check_format(bytes: &[u8]) -> Result<(), Misfit> {
    match bytes {
        [] => Err(Misfit::Empty),
        _ if MAGIC.starts_with(bytes) => Err(Misfit::Truncated),
        _ if !bytes.starts_with(MAGIC) => Err(match std::str::from_utf8(bytes) {
            Ok(_) => Misfit::Text,
            Err(_) => Misfit::NotWasm,
        }),
        _ if bytes.len() < 8 => Err(Misfit::Truncated),
        _ if Parser::is_component(bytes) => Ok(()),
        _ if Parser::is_core_wasm(bytes) => Err(Misfit::CoreModule),
        _ => Err(Misfit::UnknownFormat),
    }
}

/// Whether all sections are there in full; a copy under way ends early.
fn check_complete(bytes: &[u8]) -> Result<(), Misfit> {
    let mut reader = BinaryReader::new(bytes, 0);
    let mut next = || -> wasmparser::Result<bool> {
        if reader.eof() {
            return Ok(false);
        }
        if reader.current_position() == 0 {
            reader.read_bytes(8)?;
            return Ok(true);
        }
        reader.read_u8()?;
        let size = reader.read_var_u32()?;
        reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?;
        Ok(true)
    };
    loop {
        match next() {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(_) => return Err(Misfit::Truncated),
        }
    }
}

/// The parts of a component that matter here.
#[derive(Default)]
struct Outline<'a> {
    imports: Vec<String>,
    /// Names of exported instances.
    exports: Vec<String>,
    /// Manifests and how deep inside they are.
    manifests: Vec<(usize, &'a [u8])>,
}

impl<'a> Outline<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Misfit> {
        let mut outline = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(invalid)? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                    outline.manifests.push((depth, section.data()));
                }
                payload if depth == 1 => outline.add(payload)?,
                _ => {}
            }
        }
        Ok(outline)
    }

    /// A part of the outermost component.
    fn add(&mut self, payload: Payload<'a>) -> Result<(), Misfit> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(invalid)?;
                    // Equal types are only names for what instances import.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        self.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The outermost manifest. The Rust SDK puts it into the core module inside.
    fn manifest(&self, embedded: Embedded) -> Result<Option<Manifest>, Misfit> {
        let read = match self.outermost() {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => parse_manifest(bytes).map(Some),
            Err(misfit) => Err(misfit),
        };
        match embedded {
            Embedded::Counts => read,
            Embedded::Replaced => Ok(read.unwrap_or(None)),
        }
    }

    fn outermost(&self) -> Result<Option<&'a [u8]>, Misfit> {
        let Some(least) = self.manifests.iter().map(|(depth, _)| *depth).min() else {
            return Ok(None);
        };
        let mut found = self.manifests.iter().filter(|(depth, _)| *depth == least);
        let first = found.next().map(|(_, bytes)| *bytes);
        if found.any(|(_, bytes)| Some(*bytes) != first) {
            return Err(Misfit::Manifest(
                "it holds two that differ; keep one".to_owned(),
            ));
        }
        Ok(first)
    }
}

fn parse_manifest(bytes: &[u8]) -> Result<Manifest, Misfit> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Misfit::Manifest("it is not UTF-8 text".to_owned()))?;
    let manifest = Manifest::parse(text).map_err(|error| Misfit::Manifest(format!("{error:#}")))?;
    check_manifest(manifest)
}

/// Whether a manifest names a contract that this host speaks.
pub(super) fn check_manifest(manifest: Manifest) -> Result<Manifest, Misfit> {
    if !manifest.contract.is_empty() && !names::is_compatible(&manifest.contract) {
        return Err(Misfit::WrongContract {
            found: manifest.contract,
        });
    }
    Ok(manifest)
}

fn invalid(error: wasmparser::BinaryReaderError) -> Misfit {
    Misfit::Invalid(error.to_string())
}

#[cfg(test)]
mod tests;
