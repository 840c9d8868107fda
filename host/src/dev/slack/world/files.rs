//! Files: announced, uploaded, shared, downloaded.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Result, World};

#[derive(Debug, Clone, Serialize)]
pub(in crate::dev::slack) struct File {
    pub(in crate::dev::slack) id: String,
    pub(in crate::dev::slack) name: String,
    pub(in crate::dev::slack) title: String,
    pub(in crate::dev::slack) mimetype: String,
    pub(in crate::dev::slack) user: String,
    /// How long it was said to be.
    pub(in crate::dev::slack) size: u64,
    #[serde(skip)]
    pub(in crate::dev::slack) bytes: Vec<u8>,
    /// Whether it has been put somewhere.
    pub(in crate::dev::slack) is_complete: bool,
    pub(in crate::dev::slack) channels: Vec<String>,
    created: i64,
}

impl World {
    pub(in crate::dev::slack) fn file(&self, id: &str) -> Result<&File> {
        Ok(self
            .files
            .iter()
            .find(|file| file.id == id)
            .ok_or("file_not_found")?)
    }

    pub(in crate::dev::slack) fn file_mut(&mut self, id: &str) -> Result<&mut File> {
        let mut all = self.files.iter_mut();
        Ok(all.find(|file| file.id == id).ok_or("file_not_found")?)
    }

    /// Makes room for a file; answers its id.
    pub(in crate::dev::slack) fn announce_file(
        &mut self,
        user: &str,
        name: &str,
        size: u64,
    ) -> String {
        let id = self.id("F");
        self.files.push(File {
            id: id.clone(),
            name: name.to_owned(),
            title: name.to_owned(),
            mimetype: mimetype(name).to_owned(),
            user: user.to_owned(),
            size,
            bytes: Vec::new(),
            is_complete: false,
            channels: Vec::new(),
            created: self.seconds(),
        });
        id
    }

    /// A file of a person, as their clients upload it: at once.
    pub(in crate::dev::slack) fn add_file(
        &mut self,
        user: &str,
        name: &str,
        mime: Option<&str>,
        bytes: Vec<u8>,
    ) -> String {
        let id = self.announce_file(user, name, bytes.len() as u64);
        if let Ok(file) = self.file_mut(&id) {
            file.bytes = bytes;
            file.is_complete = true;
            if let Some(mime) = mime {
                mime.clone_into(&mut file.mimetype);
            }
        }
        id
    }

    /// As a message shows it: of people of other teams only that there is one.
    pub(in crate::dev::slack) fn file_in_message(&self, file: &File) -> Value {
        let owner = self.user(&file.user);
        match owner.is_ok_and(|user| user["is_stranger"] == true) {
            true => json!({
                "id": file.id, "created": file.created, "timestamp": file.created,
                "user": file.user, "mode": "file_access", "file_access": "check_file_info",
            }),
            false => self.file_view(file),
        }
    }

    /// As `files.info` shows it.
    pub(in crate::dev::slack) fn file_view(&self, file: &File) -> Value {
        let base = &self.setup.base_url;
        let (id, name) = (&file.id, &file.name);
        let path: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || ".-".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let (_, kind) = name.rsplit_once('.').unwrap_or(("", "text"));
        json!({
            "id": id, "name": name, "title": file.title, "mimetype": file.mimetype,
            "filetype": kind, "pretty_type": kind.to_uppercase(), "user": file.user,
            "size": file.size, "mode": "hosted", "is_external": false, "is_public": false,
            "created": file.created, "timestamp": file.created, "channels": file.channels,
            "file_access": "visible", "editable": false,
            "url_private": format!("{base}/files-pri/{id}/{path}"),
            "url_private_download": format!("{base}/files-pri/{id}/download/{path}"),
            "permalink": format!("{base}/files/{id}"),
        })
    }
}

fn mimetype(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "md" => "text/markdown",
        "csv" => "text/csv",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "txt" | "log" => "text/plain",
        _ => "application/octet-stream",
    }
}
