"""Files of a Circle's site: path, media type and content hash, as the assets root commits to them."""

from __future__ import annotations

from dataclasses import dataclass

from octra.circles import limits
from octra.circles.errors import InvalidPackage
from octra.consensus.circles import blob_hash, file_leaf

# Types are fixed at build time by the file's extension: a browser is told never to guess.
MEDIA_TYPES = {
    "avif": "image/avif",
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "toml": "application/toml",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff2": "font/woff2",
    "xml": "application/xml",
}
UNKNOWN_MEDIA = "application/octet-stream"  # offered for download, never shown


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a site. `path` begins with a slash, as in its address."""

    path: str
    media: str
    encoding: str
    blob: bytes
    size: int

    @property
    def leaf(self) -> bytes:
        return file_leaf(self.path, self.media, self.encoding, self.blob)


def asset_of(path: str, data: bytes) -> Asset:
    """The asset of a file's contents."""
    if len(path.encode("utf-8")) > limits.ASSET_PATH_MAX:
        raise InvalidPackage("path_invalid", path[:64], "too long")
    return Asset(path, media_type(path), "", blob_hash(data), len(data))


def media_type(path: str) -> str:
    """Media type by extension, from the list above."""
    return MEDIA_TYPES.get(path.rpartition("/")[2].rpartition(".")[2].lower(), UNKNOWN_MEDIA)
