"""The reports of `nf-edge sign` and `nf-edge verify`."""

from nf_edge.artifact.signed import Signed, Verified
from nf_edge.render.table import Part, body
from nf_edge.render.text import counted


def signed_parts(signed: Signed) -> list[Part]:
    files = signed.files
    line = f"{signed.signature} signs the manifest and {counted(len(files), 'file')}: {', '.join(files)}"
    return [body([line])]


def verified_parts(verified: Verified) -> list[Part]:
    files = counted(len(verified.files), "file")
    artifact = verified.artifact
    signed = f"{artifact.path} was signed with the key of {verified.public_key}: the manifest and {files}"
    return [body([signed, f"status: {artifact.manifest.status}"])]
