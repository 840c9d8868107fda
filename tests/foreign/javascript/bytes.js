/** Bytes and text. QuickJS has no TextEncoder and no TextDecoder. */

/** Percent-encoding is UTF-8, which `unescape` turns into one character for each byte. */
export function toUtf8(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (byte) => byte.charCodeAt(0));
}

export function fromUtf8(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${hex(byte)}`).join(''));
}

export function toHex(bytes) {
  return Array.from(bytes, hex).join('');
}

function hex(byte) {
  return byte.toString(16).padStart(2, '0');
}
