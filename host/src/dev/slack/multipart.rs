//! The one part of a multipart body that an upload is: Slack's SDK for JavaScript wraps files so,
//! that for Python does not. No more of the format is read than these send.

use memchr::memmem;

/// The content of the first part; the whole body if it has none.
pub(super) fn content<'a>(kind: &str, body: &'a [u8]) -> &'a [u8] {
    first(kind, body).unwrap_or(body)
}

fn first<'a>(kind: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let parameters = kind.strip_prefix("multipart/form-data;")?;
    let boundary = parameters.trim().strip_prefix("boundary=")?;
    let boundary = boundary.trim_matches('"');
    let start = memmem::find(body, b"\r\n\r\n")? + 4;
    let end = memmem::find(&body[start..], format!("\r\n--{boundary}").as_bytes())?;
    Some(&body[start..start + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_wrapped_or_as_it_is() {
        let wrapped =
            b"--x\r\nContent-Disposition: form-data; name=\"body\"\r\n\r\na\r\n\r\nb\r\n--x--\r\n";
        assert_eq!(
            content("multipart/form-data; boundary=x", wrapped),
            b"a\r\n\r\nb"
        );
        assert_eq!(
            content("multipart/form-data; boundary=\"x\"", wrapped),
            b"a\r\n\r\nb"
        );
        assert_eq!(content("application/octet-stream", b"a"), b"a");
        assert_eq!(content("multipart/form-data; boundary=y", b"a"), b"a");
    }
}
